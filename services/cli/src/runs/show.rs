//! `runs show`.

use anyhow::{Context, Result, bail};
use pipeline::ids::RunId;
use pipeline::run::Run;
use pipeline::subject;
use worker::Nats;

use crate::arguments::RunPart;
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
    let artifact = match part {
        RunPart { patch: true, .. } => Some((&run.patch, "patch")),
        RunPart { brief: true, .. } => Some((&run.brief, "brief")),
        RunPart { transcript: true, .. } => Some((&run.transcript, "transcript")),
        _ => None,
    };
    let Some((artifact, what)) = artifact else {
        say::line(&serde_json::to_string_pretty(&run)?);
        return Ok(());
    };
    print_artifact(
        nats,
        &run,
        artifact.as_ref().map(|artifact| artifact.key.as_str()),
        what,
    )
    .await
}

async fn print_artifact(nats: &Nats, run: &Run, key: Option<&str>, what: &str) -> Result<()> {
    let key = key.with_context(|| format!("run {} has no {what}", run.id))?;
    let bytes = nats.artifacts().get(key).await?;
    let bytes = bytes.with_context(|| format!("the {what} of run {} is no longer kept", run.id))?;
    say::bytes(&bytes);
    Ok(())
}
