//! Signed deliveries in, events out.
//!
//! `POST /integration/bitbucket-dc/connections/{id}/events`, and nothing else, in this order: size limit, connection,
//! signature over the raw bytes, parse, publish, and 2xx only after the publish acknowledgement. It makes no
//! Bitbucket call and holds no Bitbucket token.
//!
//! Absent here: a parser for unsigned bytes (only `signature::VerifiedBody` has one), an answer that tells why a
//! signature was refused, a 2xx without an acknowledgement.

mod activity;
mod answer;
mod body;
mod delivery;
mod publish;
mod receive;
mod signature;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use config::{Config, ConnectionSource};
use lifecycle::http::{self, HttpLimits};
use lifecycle::{Health, Shutdown};
use tokio::net::TcpListener;
use worker::Nats;

pub use activity::ConnectionActivity;
use activity::Ledger;
use publish::JetStream;
use receive::Ingest;

/// Bitbucket's path, also printed by `config check`.
const PATH: &str = "/integration/bitbucket-dc/connections/{id}/events";

/// What was counted last may be written this long after the last request.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Takes deliveries until the soft token, finishes the requests in flight, and ends.
pub async fn run(
    listener: TcpListener,
    settings: Arc<Config>,
    connections: Arc<dyn ConnectionSource>,
    nats: Nats,
    health: Health,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let tls = tls::server_config(&settings.ingest).context("TLS of the ingest listener")?;
    let (ledger, written) = Ledger::start(nats.records(ConnectionActivity::BUCKET));
    let publish = JetStream::new(nats);
    let ingest = Ingest::new(connections, publish, ledger, settings.ingest.body_bytes_max);
    let limits = HttpLimits {
        tls,
        ..HttpLimits::default()
    };
    health.ready("webhook-ingest");
    http::serve(listener, receive::router(ingest), limits, shutdown).await?;
    health.not_ready("webhook-ingest", "stopped");
    // The router is gone, and with it the last one who counts; the ledger writes what is left and ends.
    if tokio::time::timeout(LAST_WRITE_TIMEOUT, written).await.is_err() {
        tracing::warn!("the last counts of deliveries were not written");
    }
    Ok(())
}
