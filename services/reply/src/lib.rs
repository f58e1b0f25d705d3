//! Run records in, what the pull request says out.
//!
//! Follows the run records and makes the pull request say what they say: 👀 on the comment that asked, one status
//! reply under it, edited in place. The only code that writes to a pull request. Everything is idempotent: a record
//! that is seen twice, by two processes or after a crash, leaves one reply.

mod again;
mod build;
mod effects;
mod finish;
mod follow;
mod limit;
mod marker;
mod next;
mod reaction;
mod record;
mod render;
#[cfg(test)]
mod sample;
mod sanitise;
mod status;
mod three_byte;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use config::{Config, ConnectionSource};
use lifecycle::{Health, Shutdown};
use worker::{ConsumerSpec, Deliver, Nats};

use crate::follow::Follower;

/// The stream behind the bucket of run records.
const STREAM: &str = "KV_runs";
/// Every record in it.
const RECORDS: &str = "$KV.runs.>";
/// Records in the hands of all processes. Those that wait for a Bitbucket that is away count, and must not keep those
/// of another one from coming.
const ACK_PENDING_MAX: i64 = 10_000;
/// Records in the hands of this process: more than the calls Bitbucket's rate limit lets through at once.
const CONCURRENCY: usize = 32;
/// Failures that are not an absence: an answer that cannot be used does not get better by asking more often.
const ATTEMPTS_MAX: u32 = 8;
/// Longer than the slowest sequence of calls for one record, each of which has its own time-out.
const DEADLINE: Duration = Duration::from_mins(5);

/// Follows the run records until `shutdown`.
pub async fn run(
    settings: Arc<Config>,
    connections: Arc<dyn ConnectionSource>,
    nats: Nats,
    health: Health,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let spec = ConsumerSpec {
        stream: STREAM,
        durable: "reply",
        filters: vec![RECORDS.to_owned()],
        ack_wait: Duration::from_secs(settings.nats.ack_wait_seconds),
        max_ack_pending: ACK_PENDING_MAX,
        concurrency: CONCURRENCY,
        attempts_max: ATTEMPTS_MAX,
        deadline: DEADLINE,
        deliver: Deliver::LastPerSubject,
    };
    let follower = Arc::new(Follower::new(
        &settings,
        connections,
        nats.clone(),
        shutdown.clone(),
    ));
    health.ready("reply");
    worker::consume(nats, spec, follower, shutdown).await
}
