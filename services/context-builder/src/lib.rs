//! `Mention` in, `Job` out.
//!
//! The only writer of lanes: it decides who may, what waits, what is next and when a run is given up, and builds
//! the brief of a run when its turn comes.

use std::sync::Arc;
use std::time::Duration;

use config::{Config, ConnectionSource};
use lifecycle::{Health, Shutdown};
use pipeline::subject;
use worker::{ConsumerSpec, Deliver, Nats};

use crate::admission::Admission;
use crate::builder::{Builder, ROLE};
use crate::controls::Controls;
use crate::follow::Follower;

mod admission;
mod builder;
mod context;
mod controls;
mod dispatch;
mod earlier;
mod follow;
mod lane;
mod limits;
mod pause;
mod permission;
mod prepare;
mod records;
mod repository_file;
mod seats;
mod watchdog;

/// Runs the role until `shutdown`.
pub async fn run(
    settings: Arc<Config>,
    connections: Arc<dyn ConnectionSource>,
    nats: Nats,
    health: Health,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let builder = Arc::new(Builder::new(Arc::clone(&settings), connections, nats.clone()));
    let ack_wait = Duration::from_secs(settings.nats.ack_wait_seconds);
    let admission = Arc::new(Admission(Arc::clone(&builder)));
    let controls = Arc::new(Controls(Arc::clone(&builder)));
    let follower = Arc::new(Follower(Arc::clone(&builder)));
    health.ready(ROLE);
    tokio::try_join!(
        worker::consume(nats.clone(), mentions(ack_wait), admission, shutdown.clone()),
        worker::consume(nats.clone(), closings(ack_wait), controls, shutdown.clone()),
        worker::consume(nats, ended_runs(ack_wait), follower, shutdown.clone()),
        async {
            watchdog::watch(builder, shutdown).await;
            Ok(())
        },
    )?;
    Ok(())
}

/// Mentions: a few REST calls each, some of them slow.
fn mentions(ack_wait: Duration) -> ConsumerSpec {
    ConsumerSpec {
        stream: subject::MENTIONS,
        durable: ROLE,
        filters: vec![subject::MENTIONS_COMMENTS.to_owned()],
        ack_wait,
        max_ack_pending: limits::IN_WORK_MAX,
        concurrency: limits::CONCURRENCY,
        attempts_max: limits::ATTEMPTS_MAX,
        deadline: limits::HANDLER_DEADLINE,
        deliver: Deliver::All,
    }
}

/// Controls have a consumer of their own, so that a stop never waits behind slow briefs. A moved branch concerns
/// nobody here: a brief is built on the branch as it is when the run's turn comes.
fn closings(ack_wait: Duration) -> ConsumerSpec {
    ConsumerSpec {
        durable: "context-builder-controls",
        filters: vec![
            subject::MENTIONS_DELETED.to_owned(),
            subject::MENTIONS_CLOSED.to_owned(),
        ],
        ..mentions(ack_wait)
    }
}

/// Changes of run records, of which the ends matter.
fn ended_runs(ack_wait: Duration) -> ConsumerSpec {
    ConsumerSpec {
        stream: "KV_runs",
        durable: "context-builder-runs",
        filters: vec!["$KV.runs.>".to_owned()],
        deliver: Deliver::LastPerSubject,
        ..mentions(ack_wait)
    }
}
