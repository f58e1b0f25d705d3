//! Plays one sequence: does what people do, and writes down what they did and saw.

use std::time::Duration;

use anyhow::{Context, Result};
use pipeline::run::Run;
use serde_json::Value;
use tests::person::Person;
use tests::setup::branch;
use tests::thread::{self, Comment};
use tests::world::{ROLES, World};
use tokio::time::{Instant, interval};

use super::steps::{Ask, Sequence, Step};

/// How often people look. Several look at once, at a simulator that shares its processor with what is tested.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long people wait for what is promised: runs of all sequences under way share the resolver's hands, and a machine
/// that builds something beside them takes ten times as long for each.
pub(super) const PATIENCE: Duration = Duration::from_mins(5);

/// People at one pull request.
#[derive(Clone)]
pub(super) struct People {
    alice: Person,
    bob: Person,
    root: Person,
    pub(super) number: usize,
}

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
        ended: Vec<String>,
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
}

/// Everything that can be known of a sequence once all is quiet.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) acts: Vec<Act>,
    pub(super) runs: Vec<Run>,
    pub(super) bots: Vec<Comment>,
    /// The source branch, newest first.
    pub(super) log: Vec<Commit>,
    /// What the roles logged of its runs, and what went wrong with any.
    pub(super) lines: Vec<String>,
}

/// A comment of alice's as she remembers it.
struct Own {
    id: u64,
    version: u32,
    touched: u32,
    ask: Ask,
    is_deleted: bool,
}

impl People {
    pub(super) fn at(world: &World, number: usize) -> Self {
        Self {
            alice: world.alice(),
            bob: world.bob(),
            root: world.root(),
            number,
        }
    }

    fn id(&self) -> u64 {
        self.number as u64
    }

    /// Does all of it; what was done and seen.
    pub(super) async fn play(&self, sequence: &Sequence) -> Result<Vec<Act>> {
        let (mut acts, mut own, mut is_open) = (Vec::new(), Vec::<Own>::new(), true);
        for step in &sequence.steps {
            let act = match step {
                Step::Writes(ask) => Some(self.alice_writes(&mut own, *ask).await?),
                Step::BobAsks => {
                    let ask = Ask::Change(0);
                    let comment = self.bob.comments(self.id(), &ask.text(0)).await?;
                    Some(Act::Wrote {
                        comment,
                        by_alice: false,
                        ask,
                    })
                }
                Step::Edits(which, ask) => self.edits(pick(&mut own, *which), *ask).await?,
                Step::Touches(which) => {
                    let comment = pick(&mut own, *which);
                    comment.touched += 1;
                    self.edits(comment, comment.ask).await?
                }
                Step::Deletes(which) => self.deletes(pick(&mut own, *which)).await?,
                Step::Declines | Step::Merges if is_open => {
                    is_open = !self.closes(*step == Step::Merges).await?;
                    (!is_open).then_some(Act::Closed)
                }
                Step::Declines | Step::Merges => None,
                Step::SeesWork(which) | Step::SeesEnd(which) => {
                    let comment = pick(&mut own, *which);
                    let is_answered = is_open && comment.ask != Ask::Nothing && !comment.is_deleted;
                    let is_end = matches!(step, Step::SeesEnd(_));
                    if is_answered {
                        Some(self.sees(comment.id, is_end).await?)
                    } else {
                        None
                    }
                }
            };
            acts.extend(act);
        }
        Ok(acts)
    }

    async fn alice_writes(&self, own: &mut Vec<Own>, ask: Ask) -> Result<Act> {
        let comment = self.alice.comments(self.id(), &ask.text(0)).await?;
        own.push(Own {
            id: comment,
            version: 0,
            touched: 0,
            ask,
            is_deleted: false,
        });
        Ok(Act::Wrote {
            comment,
            by_alice: true,
            ask,
        })
    }

    async fn edits(&self, comment: &mut Own, ask: Ask) -> Result<Option<Act>> {
        if comment.is_deleted || (comment.touched == 0 && comment.ask == ask) {
            return Ok(None);
        }
        self.alice
            .edits(self.id(), comment.id, &ask.text(comment.touched))
            .await?;
        comment.version += 1;
        comment.ask = ask;
        Ok(Some(Act::Edited {
            comment: comment.id,
            version: comment.version,
            ask,
        }))
    }

    /// Nothing where somebody has replied.
    async fn deletes(&self, comment: &mut Own) -> Result<Option<Act>> {
        if comment.is_deleted {
            return Ok(None);
        }
        match self.alice.deletes(self.id(), comment.id).await {
            Ok(()) => {
                comment.is_deleted = true;
                Ok(Some(Act::Deleted { comment: comment.id }))
            }
            Err(error) if error.to_string().contains("409") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it is closed now: a merge is refused where a push moves the branch at that moment.
    async fn closes(&self, merges: bool) -> Result<bool> {
        let closed = if merges {
            self.alice.merges(self.id()).await
        } else {
            self.alice.declines(self.id()).await
        };
        match closed {
            Ok(()) => Ok(true),
            Err(error) if error.to_string().contains("409") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for the bot to say something about a comment.
    async fn sees(&self, comment: u64, is_end: bool) -> Result<Act> {
        let (end, mut ticks) = (Instant::now() + PATIENCE, interval(LOOK_INTERVAL));
        while Instant::now() < end {
            ticks.tick().await;
            let thread = self.thread().await?;
            let replies: Vec<_> = thread
                .iter()
                .filter(|c| c.is_bots() && c.parent == Some(comment))
                .collect();
            let ended: Vec<_> = replies
                .iter()
                .filter(|c| c.is_final())
                .filter_map(|c| run_shown(c))
                .collect();
            let works = replies.iter().any(|c| c.text.starts_with("**Working"));
            if !ended.is_empty() || (works && !is_end) {
                // What was told is told before the branch is looked at.
                return Ok(Act::Saw {
                    comment,
                    ended,
                    log: self.log().await?,
                });
            }
        }
        Ok(Act::InVain { comment })
    }

    async fn thread(&self) -> Result<Vec<Comment>> {
        let path = format!("/pull-requests/{}/activities", self.id());
        Ok(thread::comments(&self.root.get_all(&path).await?))
    }

    /// The source branch, newest first.
    async fn log(&self) -> Result<Vec<Commit>> {
        let commits = self
            .root
            .get_all(&format!("/commits?until=refs/heads/{}", branch(self.number)))
            .await?;
        commits.iter().map(commit).collect()
    }

    /// What has become of it all.
    pub(super) async fn history(&self, acts: Vec<Act>, all: &[Run], world: &World) -> Result<History> {
        let runs: Vec<Run> = all
            .iter()
            .filter(|run| run.pull_request.0 == self.id())
            .cloned()
            .collect();
        let bots = self
            .thread()
            .await?
            .into_iter()
            .filter(Comment::is_bots)
            .collect();
        Ok(History {
            acts,
            bots,
            log: self.log().await?,
            lines: lines_about(&runs, world),
            runs,
        })
    }
}

fn lines_about(runs: &[Run], world: &World) -> Vec<String> {
    let logs = ROLES.iter().map(|role| world.path(&format!("{role}.log")));
    let text: String = logs.filter_map(|log| std::fs::read_to_string(log).ok()).collect();
    let is_about =
        |line: &&str| line.contains(" ERROR ") || runs.iter().any(|run| line.contains(run.id.as_str()));
    text.lines().filter(is_about).map(str::to_owned).collect()
}

fn pick(own: &mut [Own], which: usize) -> &mut Own {
    let at = which % own.len();
    &mut own[at]
}

/// The run whose status reply this is.
pub(super) fn run_shown(comment: &Comment) -> Option<String> {
    let marker = comment.raw.lines().next_back()?;
    let shown = marker.split_once(" run=")?.1.split_once(" n=")?.0;
    Some(shown.to_owned())
}

fn commit(value: &Value) -> Result<Commit> {
    let id = value["id"].as_str().context("a commit has an id")?.to_owned();
    let is_bots = value["author"]["name"] == "openhands";
    let message = value["message"].as_str().unwrap_or_default();
    let run = message
        .lines()
        .filter_map(|line| line.strip_prefix("Run-Id: "))
        .next_back();
    let run = is_bots.then(|| run.unwrap_or("none").to_owned());
    Ok(Commit { id, run })
}
