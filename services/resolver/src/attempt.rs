//! One worker's hold on one run: every change it makes goes through the fencing token.

use std::time::Duration;

use jiff::Timestamp;
use pipeline::effect::Effect;
use pipeline::event::Repository;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, CommitId};
use pipeline::run::{Fenced, Outcome, Plan, Run, RunState, Setup, TRANSCRIPTS_MAX, Usage};
use pipeline::subject;
use tokio_util::sync::{CancellationToken, DropGuard};
use worker::Nats;

use crate::bounds::bounded;
use crate::patience::Patience;

/// How often a worker looks whether its run was stopped; half the two seconds people are promised.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// A taken run.
pub(crate) struct Attempt {
    nats: Nats,
    /// The record as it was when taken.
    pub(crate) run: Run,
    /// The fencing token.
    pub(crate) number: u32,
    /// With what is away once the agent is done.
    pub(crate) patience: Patience,
}

/// How a run is going to end.
#[derive(Debug)]
pub(crate) enum Ending {
    /// With this state and outcome, if the attempt is still ours.
    Ends { state: RunState, outcome: Box<Outcome> },
    /// It has ended already, or another worker has it: nothing is written.
    NotOurs,
}

impl Ending {
    pub(crate) fn new(state: RunState, outcome: Outcome) -> Self {
        Self::Ends {
            state,
            outcome: Box::new(outcome),
        }
    }

    pub(crate) fn failed(code: FailureCode, detail: Option<String>) -> Self {
        Self::new(RunState::Failed, Outcome::of_failure(code, detail))
    }
}

impl Attempt {
    pub(crate) fn new(nats: Nats, run: Run, number: u32) -> Self {
        Self {
            nats,
            run,
            number,
            patience: Patience::default(),
        }
    }

    /// Whether this attempt may still act, asked of the record now. Called right before everything irreversible.
    pub(crate) async fn is_held(&self) -> Result<bool, Failure> {
        let run = self.record().await?;
        Ok(run.is_some_and(|run| run.held_by(self.number).is_ok()))
    }

    /// Notes the branch people read about.
    pub(crate) async fn on_branch(&self, branch: &str) -> Result<(), Failure> {
        self.change(|run| run.branch = Some(branch.to_owned())).await
    }

    /// Notes what the target repository is called now: writes are not redirected, and the status reply is one.
    pub(crate) async fn renamed(&self, repository: &Repository) -> Result<(), Failure> {
        self.change(|run| run.repository = repository.clone()).await
    }

    /// Notes the commit the work starts from.
    pub(crate) async fn working_on(&self, base: &CommitId) -> Result<(), Failure> {
        let key = subject::run_key(&self.run.id);
        let runs = self.nats.runs();
        let begun = runs.update(&key, |run| run.begin(self.number, base.clone()));
        log_if_fenced(begun.await?.err());
        Ok(())
    }

    /// Notes who works and how confined, right before the agent starts.
    pub(crate) async fn set_up(&self, setup: Setup) -> Result<(), Failure> {
        let setup = Box::new(setup);
        self.change(|run| run.setup = Some(setup.clone())).await
    }

    /// Notes a step, in a few words, and what this attempt used so far.
    pub(crate) async fn step(&self, step: String, usage: Usage) -> Result<(), Failure> {
        let number = self.number;
        let usage = self.run.usage.plus(usage);
        let key = subject::run_key(&self.run.id);
        let noted = self
            .nats
            .runs()
            .update(&key, |run| {
                run.usage = usage;
                run.step(number, step.clone())
            })
            .await?;
        log_if_fenced(noted.err());
        Ok(())
    }

    /// Notes a step that uses no model.
    pub(crate) async fn note(&self, step: String) -> Result<(), Failure> {
        let key = subject::run_key(&self.run.id);
        let runs = self.nats.runs();
        let noted = runs.update(&key, |run| run.step(self.number, step.clone()));
        log_if_fenced(noted.await?.err());
        Ok(())
    }

    /// Keeps what the repository's checks printed with the run. What is too large to be kept is only missed by readers.
    pub(crate) async fn keep_check_outputs(&self, text: &[u8]) -> Result<(), Failure> {
        let key = subject::artifact(&self.run.id, subject::CHECKS);
        match self.nats.artifacts().put(&key, text).await {
            Ok(_) => Ok(()),
            Err(error @ worker::Error::TooLarge { .. }) => {
                tracing::warn!(run.id = %self.run.id, %error, "the output of the checks is not kept");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Notes that the work is these commits now, and keeps the patch that they come to with the run. `false` when that is
    /// too large to be kept.
    pub(crate) async fn keep_patch(&self, commits: &[CommitId], patch: &[u8]) -> Result<bool, Failure> {
        let key = subject::artifact(&self.run.id, subject::PATCH);
        let kept = match self.nats.artifacts().put(&key, patch).await {
            Ok(artifact) => Some(artifact),
            Err(worker::Error::TooLarge { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        self.change(|run| {
            run.patch.clone_from(&kept);
            run.contained.clear();
        })
        .await?;
        self.committed(commits, &[]).await?;
        Ok(kept.is_some())
    }

    /// Keeps the plan that was made with the run, so that it can be approved. A plan is short enough to be kept.
    pub(crate) async fn keep_plan(&self, text: &str) -> Result<(), Failure> {
        let key = subject::artifact(&self.run.id, subject::PLAN);
        let kept = self.nats.artifacts().put(&key, text.as_bytes()).await?;
        let plan = Plan::of(kept, text.as_bytes());
        self.change(|run| run.plan = Some(plan.clone())).await
    }

    /// Notes the commits of the work, the newest last; only what was noted is pushed, and taken for ours later. With them
    /// the threads that have no commit there, because the branch has their change already. `false` where the run is not
    /// ours any more: nothing may be pushed then.
    pub(crate) async fn committed(
        &self,
        commits: &[CommitId],
        contained: &[CommentId],
    ) -> Result<bool, Failure> {
        let key = subject::run_key(&self.run.id);
        let runs = self.nats.runs();
        let note = |run: &mut Run| {
            for commit in commits {
                run.commit(self.number, commit)?;
            }
            for thread in contained {
                run.contain(self.number, *thread)?;
            }
            Ok::<(), Fenced>(())
        };
        let noted = runs.update(&key, note).await?;
        let is_held = noted.is_ok();
        log_if_fenced(noted.err());
        Ok(is_held)
    }

    /// The record as it is now, with the commits that were noted.
    pub(crate) async fn record(&self) -> Result<Option<Run>, Failure> {
        Ok(self.nats.runs().get(&subject::run_key(&self.run.id)).await?)
    }

    /// Notes what is to be done to the pull request once the run has ended as it should; in place of what an earlier
    /// attempt had planned.
    pub(crate) async fn plan(&self, effects: &[Effect]) -> Result<(), Failure> {
        if effects.is_empty() && self.run.effects.is_empty() {
            return Ok(());
        }
        self.change(|run| run.effects = effects.to_vec()).await
    }

    /// Adds to what is planned, once.
    pub(crate) async fn plan_also(&self, effects: &[Effect]) -> Result<(), Failure> {
        self.change(|run| {
            run.effects.retain(|planned| !effects.contains(planned));
            run.effects.extend_from_slice(effects);
        })
        .await
    }

    /// Notes what this attempt used in the end, and keeps the transcript of its model calls with the run, beside those of
    /// the attempts before it. One that is too large to be kept is only missed by readers.
    pub(crate) async fn worked(&self, usage: Usage, transcript: &[u8]) -> Result<(), Failure> {
        let key = subject::transcript(&self.run.id, self.number);
        let kept = if transcript.is_empty() {
            None
        } else {
            match self.nats.artifacts().put(&key, transcript).await {
                Ok(artifact) => Some(artifact),
                Err(error @ worker::Error::TooLarge { .. }) => {
                    tracing::warn!(run.id = %self.run.id, %error, "the transcript is not kept");
                    None
                }
                Err(error) => return Err(error.into()),
            }
        };
        let total = self.run.usage.plus(usage);
        self.change(|run| {
            run.usage = total;
            if kept.is_some() {
                run.transcript.clone_from(&kept);
                // May be noted twice.
                run.transcribed.retain(|attempt| *attempt != self.number);
                run.transcribed.push(self.number);
                let surplus = run.transcribed.len().saturating_sub(TRANSCRIPTS_MAX);
                run.transcribed.drain(..surplus);
            }
        })
        .await
    }

    /// Writes the ending.
    pub(crate) async fn finish(&self, ending: Ending) -> Result<(), Failure> {
        let Ending::Ends { state, outcome } = ending else {
            return Ok(());
        };
        let end = || self.end(state, (*outcome).clone());
        self.patience.with("write the ending", end).await
    }

    /// Ends the run, unless it has ended or was overtaken meanwhile.
    pub(crate) async fn end(&self, state: RunState, mut outcome: Outcome) -> Result<(), Failure> {
        outcome.left_out.extend(self.left_out().await?);
        let outcome = bounded(outcome);
        let now = Timestamp::now();
        let number = self.number;
        let key = subject::run_key(&self.run.id);
        let ended = self
            .nats
            .runs()
            .update(&key, |run| {
                run.end(Some(number), state, outcome.clone(), now)?;
                let waited = self.patience.waited().filter(|waited| waited.told().is_some());
                run.waited = waited.or(run.waited);
                Ok::<(), Fenced>(())
            })
            .await?;
        if ended.is_ok() {
            let code = outcome
                .failure
                .as_ref()
                .map_or("-", |failure| failure.code.as_str());
            telemetry::metrics::runs_ended(state.as_str(), code).inc();
            let seconds = now.duration_since(self.run.queued_at).as_secs_f64();
            telemetry::metrics::run_seconds(state.as_str()).observe(seconds);
            tracing::info!(run.id = %self.run.id, attempt = number, %state, code, "run ended");
        }
        log_if_fenced(ended.err());
        Ok(())
    }

    /// A token that is cancelled when the run is ended by someone else or taken by another worker.
    pub(crate) fn watch(&self) -> (CancellationToken, DropGuard) {
        let stopped = CancellationToken::new();
        let watching = CancellationToken::new();
        let (nats, key, number) = (self.nats.clone(), subject::run_key(&self.run.id), self.number);
        let (stop, until) = (stopped.clone(), watching.clone());
        tokio::spawn(until.run_until_cancelled_owned(async move {
            let mut ticks = tokio::time::interval(WATCH_INTERVAL);
            loop {
                ticks.tick().await;
                // A record that cannot be read now is read again in a second; only a clear answer stops the agent.
                if let Ok(Some(run)) = nats.runs().get(&key).await
                    && run.held_by(number).is_err()
                {
                    stop.cancel();
                    return;
                }
            }
        }));
        (stopped, watching.drop_guard())
    }

    /// Waits for a step that may be left at any moment; `None` when somebody else ends the run, or another worker takes
    /// it, before the step is over.
    pub(crate) async fn unless_stopped<T>(
        &self,
        step: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Option<T>, Failure> {
        let (stopped, _watching) = self.watch();
        stopped.run_until_cancelled(step).await.transpose()
    }

    /// What the brief's builder left out, for the reply.
    async fn left_out(&self) -> Result<Vec<String>, Failure> {
        let key = subject::artifact(&self.run.id, "left-out.json");
        let Some(bytes) = self.nats.artifacts().get(&key).await? else {
            return Ok(Vec::new());
        };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(run.id = %self.run.id, %error, "the list of what was left out is unreadable");
            Vec::new()
        }))
    }

    async fn change(&self, mut change: impl FnMut(&mut Run) + Send) -> Result<(), Failure> {
        let number = self.number;
        let key = subject::run_key(&self.run.id);
        let changed = self
            .nats
            .runs()
            .update(&key, |run| {
                run.held_by(number)?;
                change(run);
                Ok::<(), Fenced>(())
            })
            .await?;
        log_if_fenced(changed.err());
        Ok(())
    }
}

/// Being overtaken is normal after a pause; whoever holds the run goes on.
fn log_if_fenced(fenced: Option<Fenced>) {
    if let Some(fenced) = fenced {
        tracing::info!(%fenced, "change to the run record left out");
    }
}

#[cfg(test)]
mod tests;
