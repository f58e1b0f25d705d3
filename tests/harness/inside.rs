//! A look inside: run records, dead letters and what waits in JetStream. For teardown and for faults, never for what a
//! person would see.

use anyhow::{Context, Result};
use pipeline::run::Run;
use worker::Nats;

use crate::world::World;

/// A connection to the world's NATS.
pub async fn connect(world: &World) -> Result<Nats> {
    let settings = match &world.nats {
        Some(server) => config::Nats {
            url: Some(server.url()),
            ..config::Nats::default()
        },
        None => worker::managed::running(&world.data_dir()).context("no managed nats-server runs")?,
    };
    Ok(Nats::connect(&settings, "harness").await?)
}

/// All run records.
pub async fn runs(nats: &Nats) -> Result<Vec<Run>> {
    Ok(nats.runs().list().await?)
}

/// Messages in a stream.
pub async fn messages(nats: &Nats, stream: &str) -> Result<u64> {
    Ok(nats.stream_messages(stream).await?)
}

/// The dead letters, for messages.
pub async fn dead_letters(nats: &Nats) -> Result<Vec<String>> {
    const LETTERS_MAX: usize = 100;
    let read = nats
        .read_stream(
            pipeline::subject::DEAD,
            pipeline::subject::DEAD_ALL,
            worker::ReadFrom::Start,
            LETTERS_MAX,
        )
        .await?;
    let letters = read
        .iter()
        .map(|m| format!("{}: {}", m.subject, String::from_utf8_lossy(&m.payload)));
    Ok(letters.collect())
}

/// The trace id that the first message of a stream on these subjects carries; the last one's of `JOBS`.
pub async fn first_trace_id(nats: &Nats, stream: &str, subjects: &str) -> Result<String> {
    let message = if stream == pipeline::subject::JOBS {
        // A work queue has no other readers than its workers.
        nats.last_on_subject(stream, subjects).await?
    } else {
        nats.read_stream(stream, subjects, worker::ReadFrom::Start, 1)
            .await?
            .pop()
    };
    let message = message.with_context(|| format!("nothing on {subjects}"))?;
    let header = message.headers.get("traceparent");
    let header = header.with_context(|| format!("{} carries no trace", message.subject))?;
    trace_id(header.as_str())
}

/// The trace id in a W3C `traceparent`.
pub fn trace_id(traceparent: &str) -> Result<String> {
    let id = traceparent.split('-').nth(1);
    Ok(id
        .with_context(|| format!("no trace id in {traceparent}"))?
        .to_owned())
}

/// The process id of the nats-server that `up` runs, as it has recorded it; an error unless it is that process.
pub fn managed_nats_pid(world: &World) -> Result<u32> {
    let record = std::fs::read(world.data_dir().join("nats/access.json"))?;
    let record: serde_json::Value = serde_json::from_slice(&record)?;
    let pid = record["process"]["pid"].as_u64().context("a pid is recorded")?;
    let command = String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/cmdline"))?).into_owned();
    let directory = world.data_dir();
    let directory = directory.to_str().context("a path of ours is UTF-8")?;
    anyhow::ensure!(command.contains(directory), "{pid} is another process: {command}");
    Ok(u32::try_from(pid)?)
}

/// Deletes every artifact, as a store that was lost would.
pub async fn lose_artifacts(world: &World) -> Result<()> {
    let server = world.nats.as_ref().context("roles run apart")?;
    let client = async_nats::connect(server.url()).await?;
    let stream = async_nats::jetstream::new(client)
        .get_stream(format!("OBJ_{}", pipeline::subject::ARTIFACTS))
        .await?;
    stream.purge().await?;
    Ok(())
}
