//! Job in, pushed commit out: clone, let the coding agent patch, commit, push, read back, and write down what happened.
//!
//! The outcome goes into the run record; `services/reply` tells people. A job may be taken twice: the run's `attempt`
//! is the fencing token, and the branch is searched for the run's trailer before anything is repeated.

mod apply;
mod attempt;
mod bounds;
mod checks;
mod commit_style;
mod commits;
mod course;
mod deliver;
mod effects;
mod gate;
mod git_door;
mod hand_back;
mod handler;
mod instructions;
mod keep;
mod message;
mod moved;
mod new_branch;
mod passes;
mod patching;
mod patience;
mod policy;
mod push;
mod reach;
mod recover;
mod result;
mod resume;
mod secrets;
mod still_may;
mod terms;
#[cfg(test)]
mod testing;
mod told;
mod undo;
mod update;
mod verdict;
mod words;
mod work_tree;
mod workshop;

use std::sync::Arc;
use std::time::Duration;

use config::{Config, ConnectionSource};
use lifecycle::{Health, Shutdown};
use worker::{ConsumerSpec, Deliver, Nats};

use crate::handler::Resolver;

pub use crate::workshop::{Model, Workshop};

/// Jobs one process works on at the same time; agents wait for the model most of the time.
const JOBS_AT_ONCE: usize = 4;
/// Takes of one run before it is given up: a run that kills its worker must not do so for ever.
pub(crate) const ATTEMPTS_MAX: u32 = 3;
/// What fetch, commit, push and their retries may take beyond the agent's own time.
const MARGIN: Duration = Duration::from_secs(600);
const _: () = assert!(
    MARGIN.as_secs() > patience::PATIENCE.as_secs(),
    "waiting for what is away must fit into a job's time"
);

/// Runs the role until shutdown.
pub async fn run(
    settings: Arc<Config>,
    connections: Arc<dyn ConnectionSource>,
    workshop: Workshop,
    nats: Nats,
    health: Health,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let resolver = Arc::new(Resolver::new(
        &settings,
        connections,
        workshop,
        nats.clone(),
        health.clone(),
    )?);
    let spec = ConsumerSpec {
        stream: pipeline::subject::JOBS,
        durable: "resolver",
        filters: vec![pipeline::subject::JOBS_ALL.to_owned()],
        ack_wait: Duration::from_secs(settings.nats.ack_wait_seconds),
        max_ack_pending: 1000,
        concurrency: JOBS_AT_ONCE,
        attempts_max: ATTEMPTS_MAX,
        deadline: job_time(Duration::from_secs(settings.limits.run_seconds)),
        deliver: Deliver::All,
    };
    health.ready("resolver");
    worker::consume(nats, spec, resolver, shutdown).await
}

/// How long one attempt at a job may take whose agent may work for `run_time`. Both the consumer and the watchdog go
/// by it: an agent that uses all of its time must still be able to push, after the repository's checks.
fn job_time(run_time: Duration) -> Duration {
    run_time + checks::TIME_MAX + MARGIN
}
