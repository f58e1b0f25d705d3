//! The end of a scenario: nothing may be left that nobody can explain.

use anyhow::{Context, Result, ensure};
use pipeline::effect::{Effect, Progress, What};
use pipeline::run::{Run, RunState};
use pipeline::subject;

use crate::children::processes_of;
use crate::inside;
use crate::thread;
use crate::waiting::{WAIT_MAX, until};
use crate::world::World;

/// What a scenario explains beforehand.
#[derive(Debug, Default, Clone)]
pub struct Expected {
    /// Dead letters.
    pub dead_letters: u64,
    /// Processes that do not end with code 0, because the scenario broke them.
    pub broken_exit: bool,
    /// Comments that the scenario itself wrote with the bot's token.
    pub comments_with_bots_token: usize,
    /// Numbers of pull requests that somebody deleted.
    pub deleted: Vec<usize>,
    /// Commits with the bot's name beyond those of `done` runs; fewer where a pull request does not show them all.
    pub extra_commits: i64,
}

impl Expected {
    /// Commits by the bot that the pull requests show.
    fn commits_of(&self, runs: &[Run]) -> Result<usize> {
        let done = runs.iter().filter(|run| is_on_the_branch(run)).count();
        Ok(usize::try_from(i64::try_from(done)? + self.extra_commits)?)
    }
}

impl World {
    /// Waits until all is quiet, then compares what is there with what the run records explain.
    pub async fn tear_down(mut self) -> Result<()> {
        self.model.release();
        let nats = inside::connect(&self).await?;
        let deleted = &self.expected.deleted;
        let is_deleted = |run: &Run| deleted.iter().any(|number| run.pull_request.0 == *number as u64);
        // There is no place where its end could be told; that is known, too.
        let is_said =
            |run: &Run| run.reply.shows_n == Some(run.n) || is_deleted(run) && run.reply.deleted_by_person;
        let settled = until(WAIT_MAX, || async {
            let jobs = inside::messages(&nats, subject::JOBS).await.ok()?;
            let runs = inside::runs(&nats).await.ok()?;
            let all_said = runs.iter().all(|run| run.state.is_terminal() && is_said(run));
            (jobs == 0 && all_said).then_some(runs)
        })
        .await;
        let Some(runs) = settled else {
            let runs = inside::runs(&nats).await?;
            anyhow::bail!("not everything came to an end: {runs:#?}\n{}", self.logs());
        };
        let letters = inside::dead_letters(&nats).await?;
        let dead = letters.len() as u64;
        let expected = self.expected.dead_letters;
        ensure!(
            dead == expected,
            "{dead} dead letters instead of {expected}: {letters:#?}\n{}",
            self.logs()
        );

        let (mut comments, mut commits, mut printed) = (0, 0, String::new());
        let runs: Vec<Run> = runs.into_iter().filter(|run| !is_deleted(run)).collect();
        for number in (1..=self.setup.pull_requests).filter(|number| !deleted.contains(number)) {
            let pull_request = self.pull_request(number);
            let thread = pull_request.comments().await;
            comments += thread.iter().filter(|comment| comment.is_bots()).count();
            commits += pull_request.bots_commits().await.len();
            printed += &thread::print(&thread);
        }
        let effects = runs.iter().flat_map(|run| &run.effects);
        let written = effects.filter(|effect| is_comment(effect)).count();
        let explained = runs.len() + written + self.expected.comments_with_bots_token;
        ensure!(
            comments == explained,
            "{comments} comments by the bot for {} runs and {written} effects\n{printed}",
            runs.len()
        );
        let done = self.expected.commits_of(&runs)?;
        ensure!(
            commits == done,
            "{commits} commits by the bot for {done} runs that are done\n{printed}"
        );

        let (bitbucket, children) = (self.bitbucket, self.children.take_all());
        for (role, child) in children {
            let pid = child.pid();
            let log = child.log();
            let code = child
                .end()
                .await
                .with_context(|| format!("{role} does not end"))?;
            ensure!(
                code == 0 || self.expected.broken_exit,
                "{role} (pid {pid:?}) ended with {code}\n{log}"
            );
        }
        let orphans = left_over_processes(self.directory.path())?;
        ensure!(orphans.is_empty(), "processes outlived the resolver: {orphans:?}");
        bitbucket.shutdown().await;
        self.model.shutdown().await?;
        if let Some(mut nats) = self.nats.take() {
            nats.kill().await?;
        }
        Ok(())
    }
}

/// Whether an effect left a comment.
fn is_comment(effect: &Effect) -> bool {
    matches!(effect.progress, Progress::Done { comment: Some(_), .. })
}

/// Whether a run's commit is on the source branch, not on one that was made for it.
fn is_on_the_branch(run: &Run) -> bool {
    let opens_another = |effect: &Effect| matches!(effect.what, What::PullRequest { .. });
    run.state == RunState::Done && !run.effects.iter().any(opens_another)
}

/// The scenario's processes, the harness's own nats-server and the simulator's git aside.
fn left_over_processes(directory: &std::path::Path) -> Result<Vec<String>> {
    let own_server = directory.join("nats").join("server.conf");
    let own_server = own_server.to_str().context("a path of ours is UTF-8")?;
    let is_the_harness_own =
        |command: &String| command.contains(own_server) || command.contains("http-backend");
    let left = processes_of(directory)?
        .into_iter()
        .map(|process| process.command);
    Ok(left.filter(|command| !is_the_harness_own(command)).collect())
}
