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
            ..plain_settings()
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

fn plain_settings() -> config::Nats {
    config::Nats {
        url: None,
        server_path: None,
        credentials_file: None,
        ca_file: None,
        cert_file: None,
        key_file: None,
        replicas: 1,
        ack_wait_seconds: 2,
        user: None,
        password: None,
    }
}
