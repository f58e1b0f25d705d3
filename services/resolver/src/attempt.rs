//! One worker's hold on one run: every change it makes goes through the fencing token.

use std::time::Duration;

use jiff::Timestamp;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use pipeline::job::Artifact;
use pipeline::run::{Fenced, Outcome, Run, RunState, Usage};
use pipeline::subject;
use tokio_util::sync::{CancellationToken, DropGuard};
use worker::Nats;

use crate::bounds::bounded;

/// How often a worker looks whether its run was stopped; half the two seconds people are promised.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// A taken run.
pub(crate) struct Attempt {
    nats: Nats,
    /// The record as it was when taken.
    pub(crate) run: Run,
    /// The fencing token.
    pub(crate) number: u32,
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
        Self { nats, run, number }
    }

    /// Whether this attempt may still act, asked of the record now. Called right before everything irreversible.
    pub(crate) async fn is_held(&self) -> Result<bool, Failure> {
        let run = self.nats.runs().get(&subject::run_key(&self.run.id)).await?;
        Ok(run.is_some_and(|run| run.held_by(self.number).is_ok()))
    }

    /// Notes the branch people read about.
    pub(crate) async fn on_branch(&self, branch: &str) -> Result<(), Failure> {
        self.change(|run| run.branch = Some(branch.to_owned())).await
    }

    /// Notes the commit the work starts from.
    pub(crate) async fn working_on(&self, base: &CommitId) -> Result<(), Failure> {
        let key = subject::run_key(&self.run.id);
        let runs = self.nats.runs();
        let begun = runs.update(&key, |run| run.begin(self.number, base.clone()));
        log_if_fenced(begun.await?.err());
        Ok(())
    }

    /// Notes a step, in a few words, and what was used so far.
    pub(crate) async fn step(&self, step: String, usage: Usage) -> Result<(), Failure> {
        let number = self.number;
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

    /// Keeps the patch with the run.
    pub(crate) async fn keep_patch(&self, patch: &[u8]) -> Result<(), Failure> {
        let key = subject::artifact(&self.run.id, "patch.diff");
        self.nats.artifacts().put(&key, patch).await?;
        let artifact = Artifact {
            key,
            bytes: patch.len() as u64,
        };
        self.change(|run| {
            run.committed = true;
            run.patch = Some(artifact.clone());
        })
        .await
    }

    /// Notes what the model used in the end.
    pub(crate) async fn used(&self, usage: Usage) -> Result<(), Failure> {
        telemetry::metrics::model_tokens("input").inc_by(usage.input_tokens);
        telemetry::metrics::model_tokens("output").inc_by(usage.output_tokens);
        self.change(|run| run.usage = usage).await
    }

    /// Writes the ending.
    pub(crate) async fn finish(&self, ending: Ending) -> Result<(), Failure> {
        match ending {
            Ending::Ends { state, outcome } => self.end(state, *outcome).await,
            Ending::NotOurs => Ok(()),
        }
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
            .update(&key, |run| run.end(Some(number), state, outcome.clone(), now))
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
