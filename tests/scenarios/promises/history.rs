//! What happened: what people did and saw, and what there is in the end.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use pipeline::ids::RunId;
use pipeline::run::Run;
use serde_json::Value;
use tests::setup::branch;
use tests::thread::Comment;
use tests::world::{ROLES, World};

use super::play::People;
use super::steps::Ask;

/// Every file that work leaves, each with one line.
pub(super) const WORK: &str = "work-";

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    /// A comment was written.
    Wrote { comment: u64, by_alice: bool, ask: Ask },
    /// A comment of alice's was edited.
    Edited { comment: u64, version: u32, ask: Ask },
    /// A comment of alice's was deleted.
    Deleted { comment: u64 },
    /// The pull request was declined or merged.
    Closed,
    /// Alice read the bot's replies to a comment, and the branch.
    Saw {
        comment: u64,
        /// The runs that the replies are of,
        shown: Vec<String>,
        /// and of those that had ended the verdicts.
        ended: BTreeMap<String, String>,
        log: Vec<Commit>,
    },
    /// Alice waited for a reply that did not come.
    InVain { comment: u64 },
}

/// A commit of the source branch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Commit {
    pub(super) id: String,
    /// The run it says it is of, where it is the bot's.
    pub(super) run: Option<String>,
    pub(super) is_signed_off: bool,
}

/// Everything that can be known of a sequence once all is quiet.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) acts: Vec<Act>,
    pub(super) runs: Vec<Run>,
    pub(super) bots: Vec<Comment>,
    /// The source branch, newest first.
    pub(super) log: Vec<Commit>,
    /// The commits of it that the pull request shows.
    pub(super) shown: Vec<String>,
    /// Files on the branch that work left.
    pub(super) files: usize,
    /// What the roles logged of its runs, and what went wrong with any.
    pub(super) lines: Vec<String>,
}

impl History {
    /// What has become of it all.
    pub(super) async fn of(people: &People, acts: Vec<Act>, all: &[Run], world: &World) -> Result<Self> {
        let number = people.number;
        let is_here = |run: &&Run| run.pull_request.0 == number as u64;
        let runs: Vec<Run> = all.iter().filter(is_here).cloned().collect();
        let bots = people.thread().await?.into_iter().filter(Comment::is_bots);
        let root = world.root();
        let commits = format!("/pull-requests/{number}/commits");
        let files = format!("/files?at=refs/heads/{}", branch(number));
        let is_work = |file: &&Value| file.as_str().is_some_and(|path| path.starts_with(WORK));
        Ok(Self {
            acts,
            bots: bots.collect(),
            log: people.log().await?,
            shown: root
                .get_all(&commits)
                .await?
                .iter()
                .filter_map(|commit| commit["id"].as_str().map(str::to_owned))
                .collect(),
            files: root.get_all(&files).await?.iter().filter(is_work).count(),
            lines: lines_about(&runs, world),
            runs,
        })
    }

    pub(super) fn run(&self, id: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.id.as_str() == id)
    }

    /// The status reply of a run.
    pub(super) fn reply(&self, run: &RunId) -> Option<&Comment> {
        let is_its = |reply: &&Comment| run_shown(reply).as_deref() == Some(run.as_str());
        self.bots.iter().find(is_its)
    }

    /// The runs that commits say they are of.
    pub(super) fn made(&self) -> Vec<&str> {
        of_runs(&self.log)
    }
}

pub(super) fn of_runs(log: &[Commit]) -> Vec<&str> {
    log.iter().filter_map(|commit| commit.run.as_deref()).collect()
}

fn lines_about(runs: &[Run], world: &World) -> Vec<String> {
    let logs = ROLES.iter().map(|role| world.path(&format!("{role}.log")));
    let text: String = logs.filter_map(|log| std::fs::read_to_string(log).ok()).collect();
    let is_about =
        |line: &&str| line.contains(" ERROR ") || runs.iter().any(|run| line.contains(run.id.as_str()));
    text.lines().filter(is_about).map(str::to_owned).collect()
}

/// The run whose status reply this is.
pub(super) fn run_shown(comment: &Comment) -> Option<String> {
    let marker = comment.raw.lines().next_back()?;
    let shown = marker.split_once(" run=")?.1.split_once(" n=")?.0;
    Some(shown.to_owned())
}

/// What a reply says in bold: that a run waits or works, or how it ended.
pub(super) fn verdict(reply: &Comment) -> &str {
    let mut bold = reply.text.lines().filter_map(|line| line.strip_prefix("**"));
    let verdict = bold.next().and_then(|line| line.split("**").next());
    verdict.unwrap_or_default()
}

/// A commit as Bitbucket lists it.
pub(super) fn commit(value: &Value) -> Result<Commit> {
    let id = value["id"].as_str().context("a commit has an id")?.to_owned();
    let is_bots = value["author"]["name"] == "openhands";
    let message = value["message"].as_str().unwrap_or_default();
    let mut trailers = message.lines().filter_map(|line| line.strip_prefix("Run-Id: "));
    let run = is_bots.then(|| trailers.next_back().unwrap_or("none").to_owned());
    Ok(Commit {
        id,
        run,
        is_signed_off: message.lines().any(|line| line.starts_with("Signed-off-by: ")),
    })
}
