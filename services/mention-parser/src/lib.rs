//! `Event` in, `Mention` or `Control` out.
//!
//! Decides from the event alone whether a comment mentions the bot and what it asks for; asks nobody anything.
//! What cannot concern us is dropped here, with a decision on record for every delivery.

use std::sync::Arc;
use std::time::Duration;

use config::{Config, ConnectionSource};
use lifecycle::{Health, Shutdown};
use pipeline::subject;
use worker::{ConsumerSpec, Deliver, Nats};

use crate::handler::{Parser, ROLE};

pub mod decide;
pub mod detect;

mod command;
mod handler;
mod prose;

/// Events in work at once: each is a millisecond of parsing and two publishes to wait for.
const CONCURRENCY: usize = 16;
/// Events in work in all processes together.
const IN_WORK_MAX: i64 = 512;
/// Parsing has no outside to wait for; an event that fails this often fails always.
const ATTEMPTS_MAX: u32 = 5;
/// A parse takes milliseconds; the rest is waiting for the decision to be stored.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs the role until `shutdown`.
pub async fn run(
    settings: Arc<Config>,
    connections: Arc<dyn ConnectionSource>,
    nats: Nats,
    health: Health,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let spec = ConsumerSpec {
        stream: subject::EVENTS,
        durable: ROLE,
        filters: Vec::new(),
        ack_wait: Duration::from_secs(settings.nats.ack_wait_seconds),
        max_ack_pending: IN_WORK_MAX,
        concurrency: CONCURRENCY,
        attempts_max: ATTEMPTS_MAX,
        deadline: DEADLINE,
        deliver: Deliver::All,
    };
    let parser = Parser {
        connections,
        nats: nats.clone(),
    };
    health.ready(ROLE);
    worker::consume(nats, spec, Arc::new(parser), shutdown).await
}
