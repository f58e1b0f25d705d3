//! The agent at work: started with the brief, watched, and its steps noted in the run record.

use std::time::Duration;

use agent::{ModelChoice, Progress, Report, Task};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::job::Job;
use pipeline::run::Usage;
use tokio::sync::mpsc;

use crate::attempt::Attempt;
use crate::handler::Resolver;
use crate::instructions::Instructions;
use crate::secrets::{self, Known};
use crate::terms::Terms;
use crate::work_tree::WorkTree;
use crate::workshop::Workshop;

/// Steps that may wait to be noted; the agent waits when the record is slower.
const STEPS_WAITING_MAX: usize = 32;
/// Steps are noted at most this often; what a person reads need not be faster.
const STEP_INTERVAL: Duration = Duration::from_secs(1);

/// Transcripts of one attempt together: what an artifact may have.
#[expect(clippy::cast_possible_truncation, reason = "32 MiB fit into any pointer")]
const TRANSCRIPT_BYTES_MAX: usize = worker::ARTIFACT_BYTES_MAX as usize;

/// What the agent said and how it ended. Says nothing about what is in the work tree.
#[derive(Debug)]
pub(crate) enum Patched {
    /// It came back by itself or at a limit.
    Reported(Report),
    /// It could not go on.
    Broke(agent::Error),
}

/// What an attempt's agents have used and written so far: one that is started again in the same attempt goes on counting.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    usage: Usage,
    transcript: Vec<u8>,
}

impl Tally {
    /// Adds one agent's. Of transcripts the first ones are kept, as many as an artifact holds.
    fn add(&mut self, usage: Usage, transcript: &[u8]) {
        self.usage = self.usage.plus(usage);
        if self.transcript.len() + transcript.len() > TRANSCRIPT_BYTES_MAX {
            tracing::warn!(bytes = transcript.len(), "the transcript of a pass is not kept");
        } else {
            self.transcript.extend_from_slice(transcript);
        }
    }
}

/// Runs the agent to its end. Where nobody can say that everything of it is dead, its directories stay as they are.
pub(crate) async fn run_agent(
    resolver: &Resolver,
    job: &Job,
    attempt: &Attempt,
    (tree, instructions): (&WorkTree, &Instructions),
    (terms, known, tally): (&Terms, &Known, &mut Tally),
) -> Result<Patched, Failure> {
    let brief = resolver
        .nats
        .artifacts()
        .get(&job.brief.key)
        .await?
        .ok_or_else(|| {
            let cause = anyhow::anyhow!("brief {} is not in the object store", job.brief.key);
            Failure::abandon(FailureCode::Internal, None, cause)
        })?;
    let (workshop, settings) = (&resolver.workshop, &resolver.settings);
    let mut brief = String::from_utf8_lossy(&brief).into_owned();
    if let Some(told) = &terms.told {
        brief.push_str("\n# The working directory\n\n");
        brief.push_str(told);
        brief.push('\n');
    }
    brief.push_str(terms.told_of_commit.as_deref().unwrap_or_default());
    attempt.set_up(workshop.setup(terms)).await?;
    let (stopped, _watch) = attempt.watch();
    let task = Task {
        run: job.run.clone(),
        brief: instructions.with_brief(&brief),
        work_tree: tree.path().to_owned(),
        home: tree.home().to_owned(),
        tmp: tree.tmp().to_owned(),
        model: Some(ModelChoice {
            name: terms.model.name.clone(),
            prices: terms.model.prices,
            effort: terms.effort,
        }),
        limits: Workshop::limits(settings, terms, &attempt.run.usage.plus(tally.usage)),
        cancel: stopped,
    };
    let (sender, receiver) = mpsc::channel(STEPS_WAITING_MAX);
    let (ended, ()) = tokio::join!(
        workshop.agent.run(task, sender),
        note_steps(attempt, receiver, (known, tally.usage))
    );
    let (usage, transcript, patched) = match ended {
        Ok(mut report) => {
            let transcript = std::mem::take(&mut report.transcript);
            (report.usage, transcript, Patched::Reported(report))
        }
        Err(broken) if broken.error.may_live_on() => {
            tree.leave();
            resolver.gate.may_live_on(&job.run, &broken.error);
            // Whatever else fails now, the run must not be taken again.
            return Err(Failure::from(*broken.error));
        }
        Err(broken) => (broken.usage, broken.transcript, Patched::Broke(*broken.error)),
    };
    let used = usage_of(&usage);
    telemetry::metrics::model_tokens("input").inc_by(used.input_tokens);
    telemetry::metrics::model_tokens("output").inc_by(used.output_tokens);
    tally.add(used, &transcript);
    let note = || attempt.worked(tally.usage, &tally.transcript);
    attempt.patience.with("note what was used", note).await?;
    Ok(patched)
}

/// Notes steps, without secrets, until the agent has dropped its sender, with what was used on top of `before`. A step
/// that cannot be noted is only missed by readers.
async fn note_steps(
    attempt: &Attempt,
    mut progress: mpsc::Receiver<Progress>,
    (known, before): (&Known, Usage),
) {
    let mut usage = before;
    let mut latest = None;
    let mut ticks = tokio::time::interval(STEP_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            said = progress.recv() => match said {
                Some(Progress::Step(step)) => latest = Some(secrets::redacted(&step, known)),
                Some(Progress::Usage(used)) => usage = before.plus(usage_of(&used)),
                None => break,
            },
            _ = ticks.tick(), if latest.is_some() => note(attempt, latest.take(), usage).await,
        }
    }
    note(attempt, latest, usage).await;
}

async fn note(attempt: &Attempt, step: Option<String>, usage: Usage) {
    if let Some(step) = step
        && let Err(failure) = attempt.step(step, usage).await
    {
        tracing::warn!(run.id = %attempt.run.id, ?failure, "a step could not be noted");
    }
}

fn usage_of(used: &agent::Usage) -> Usage {
    Usage {
        turns: used.turns,
        input_tokens: used.input_tokens,
        cached_tokens: used.cached_input_tokens,
        output_tokens: used.output_tokens,
        usd: used.usd,
    }
}
