//! `runs show`.

use anyhow::{Context, Result, bail};
use pipeline::ids::RunId;
use pipeline::job::Artifact;
use pipeline::run::Run;
use pipeline::subject;
use worker::Nats;

use crate::arguments::{RunPart, WhichAttempt};
use crate::say;

/// Prints a run's record, or one of the artifacts kept beside it.
pub(crate) async fn show(nats: &Nats, id: &str, part: RunPart) -> Result<()> {
    let Ok(id) = RunId::new(id) else {
        bail!("{id:?} is no run's id; they look like r-0123456789ab, and `runs list` shows them");
    };
    let run = nats
        .runs()
        .get(&subject::run_key(&id))
        .await?
        .with_context(|| format!("there is no run {id}"))?;
    let of = |artifact: &Option<Artifact>| artifact.as_ref().map(|artifact| artifact.key.clone());
    let has_checks = run
        .outcome
        .as_ref()
        .is_some_and(|outcome| !outcome.checks.is_empty());
    let (key, what) = match part {
        RunPart { patch: true, .. } => (of(&run.patch), "patch"),
        RunPart { brief: true, .. } => (of(&run.brief), "brief"),
        RunPart {
            transcript: Some(attempt),
            ..
        } => (transcript(&run, attempt), "transcript"),
        RunPart { checks: true, .. } => (
            has_checks.then(|| subject::artifact(&run.id, subject::CHECKS)),
            "output of checks",
        ),
        _ => {
            say::line(&serde_json::to_string_pretty(&run)?);
            return Ok(());
        }
    };
    print_artifact(nats, &run, key.as_deref(), what).await
}

/// The transcript of that attempt, or of the last one that has one. Where there are others, standard error says so.
fn transcript(run: &Run, attempt: WhichAttempt) -> Option<String> {
    let shown = match attempt {
        WhichAttempt::Last => run.transcribed.last().copied(),
        WhichAttempt::Number(attempt) => Some(attempt),
    };
    let Some(shown) = shown else {
        // Kept before there was one for each attempt.
        return run.transcript.as_ref().map(|artifact| artifact.key.clone());
    };
    let others = run.transcribed.iter().filter(|kept| **kept != shown);
    let others: Vec<String> = others.map(|kept| format!("--transcript={kept}")).collect();
    if !others.is_empty() {
        say::note(&format!(
            "this is attempt {shown}; the others are shown by {}",
            others.join(", ")
        ));
    }
    let is_kept = run.transcribed.contains(&shown);
    is_kept.then(|| subject::transcript(&run.id, shown))
}

async fn print_artifact(nats: &Nats, run: &Run, key: Option<&str>, what: &str) -> Result<()> {
    let key = key.with_context(|| format!("run {} has no {what}", run.id))?;
    let bytes = nats.artifacts().get(key).await?;
    let bytes = bytes.with_context(|| format!("the {what} of run {} is no longer kept", run.id))?;
    say::bytes(&bytes);
    Ok(())
}
