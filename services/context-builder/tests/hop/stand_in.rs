//! Stands in for the resolver: takes jobs and ends each run when told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifecycle::Shutdown;
use pipeline::failure::Failure;
use pipeline::ids::RunId;
use pipeline::job::Job;
use pipeline::run::{Outcome, Run, RunState};
use pipeline::subject;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use worker::{ConsumerSpec, Deliver, Delivery, FailedRun, Handler, Nats, Publication};

use crate::world::{LOOK, PATIENCE};

/// Takes jobs as the resolver does and ends each run when told.
pub(crate) struct StandIn {
    pub(crate) nats: Nats,
    pub(crate) taken: Arc<Mutex<Vec<RunId>>>,
    pub(crate) ends: Arc<Semaphore>,
    /// One permit lets go of one job without an end, as a worker that is lost does.
    pub(crate) lost: Arc<Semaphore>,
}

impl Handler for StandIn {
    type Input = Job;

    async fn handle(&self, job: Job, _delivery: &Delivery) -> Result<Vec<Publication>, Failure> {
        let key = subject::run_key(&job.run);
        let now = Timestamp::now();
        let taken = self
            .nats
            .runs()
            .update(&key, |run| run.take(now, now + SignedDuration::from_mins(30)))
            .await?;
        let Ok((_, attempt)) = taken else {
            return Ok(Vec::new());
        };
        self.taken.lock().unwrap().push(job.run.clone());
        tokio::select! {
            permit = self.ends.acquire() => permit.unwrap().forget(),
            () = self.until_ended(&key) => return Ok(Vec::new()),
            permit = self.lost.acquire() => {
                permit.unwrap().forget();
                return Ok(Vec::new());
            }
        }
        let end = |run: &mut Run| {
            run.end(
                Some(attempt),
                RunState::Done,
                Outcome::default(),
                Timestamp::now(),
            )
        };
        let _ = self.nats.runs().update(&key, end).await?;
        Ok(Vec::new())
    }

    fn run_of(&self, job: &Job) -> Option<FailedRun> {
        Some(FailedRun::Existing(job.run.clone()))
    }
}

impl StandIn {
    async fn until_ended(&self, key: &str) {
        while !self
            .nats
            .runs()
            .get(key)
            .await
            .unwrap()
            .unwrap()
            .state
            .is_terminal()
        {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn jobs() -> ConsumerSpec {
    ConsumerSpec {
        stream: subject::JOBS,
        durable: "resolver",
        filters: Vec::new(),
        ack_wait: Duration::from_secs(5),
        max_ack_pending: 16,
        concurrency: 4,
        attempts_max: 3,
        deadline: PATIENCE,
        deliver: Deliver::All,
    }
}

/// Takes jobs until the shutdown.
pub(crate) fn start(stand_in: StandIn, shutdown: &Shutdown) -> JoinHandle<anyhow::Result<()>> {
    tokio::spawn(worker::consume(
        stand_in.nats.clone(),
        jobs(),
        Arc::new(stand_in),
        shutdown.clone(),
    ))
}
