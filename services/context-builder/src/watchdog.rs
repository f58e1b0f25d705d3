//! Watchdog: each minute every lane is looked at, so that nothing waits or runs for ever.

use std::sync::Arc;

use jiff::Timestamp;
use lifecycle::Shutdown;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::run::{Run, RunState};
use pipeline::subject;
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::builder::Builder;
use crate::lane::{Lane, Running};
use crate::limits::{CONCURRENCY, DEADLINE_GRACE, RECORD_MISSING_MAX, SWEEP_INTERVAL};
use crate::records;

/// Sweeps at once, then each minute, until a soft shutdown.
pub(crate) async fn watch(builder: Arc<Builder>, shutdown: Shutdown) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.soft.cancelled() => return,
            _ = interval.tick() => {}
        }
        tokio::select! {
            () = shutdown.hard.cancelled() => return,
            () = builder.sweep(&shutdown) => {}
        }
    }
}

/// What a run that has its turn may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It goes on.
    Alive,
    /// It has ended and still has its place.
    Over,
    /// It is past its deadline and whoever runs it did not end it.
    Overdue,
    /// Its job is gone and it has not ended.
    Lost,
}

impl Builder {
    async fn sweep(self: &Arc<Self>, shutdown: &Shutdown) {
        // All of them: most lanes only remember, and those with work changed last.
        let mut lanes = Vec::new();
        let look = |lane: Lane| {
            if !lane.is_at_rest() {
                lanes.push(lane);
            }
        };
        match self.lanes.visit(look).await {
            Ok(()) => measure(&lanes),
            Err(error) => tracing::warn!(%error, "the lanes could not be looked at"),
        }
        // What runs comes first and asks NATS alone: a Bitbucket that does not answer must not keep it waiting.
        for lane in &lanes {
            if shutdown.is_soft() {
                return;
            }
            note(&lane.key, self.look_after(lane).await);
        }
        let mut dispatching = JoinSet::new();
        for lane in lanes {
            if shutdown.is_soft() {
                break;
            }
            if dispatching.len() >= CONCURRENCY {
                log_if_broken(dispatching.join_next().await);
            }
            let builder = Arc::clone(self);
            dispatching.spawn(async move { note(&lane.key, builder.dispatch(&lane.key, None).await) });
        }
        while let Some(ended) = dispatching.join_next().await {
            log_if_broken(Some(ended));
        }
    }

    async fn look_after(&self, lane: &Lane) -> Result<(), Failure> {
        if let Some(running) = &lane.running {
            self.look_after_run(&lane.key, running).await?;
        }
        Ok(self.tell_places(lane).await?)
    }

    async fn look_after_run(&self, lane: &str, running: &Running) -> Result<(), Failure> {
        let run = &running.entry.run;
        let Some(record) = self.runs.get(&subject::run_key(run)).await? else {
            if Timestamp::now().duration_since(running.since) > RECORD_MISSING_MAX {
                self.finish(lane, run).await?;
            }
            return Ok(());
        };
        // The order matters: a worker writes the end before it lets go of the job, so that a job that is gone
        // belongs to a record that ends before the one below is changed.
        let has_job = !running.dispatched || self.has_job(&record).await?;
        match health(&record, has_job, Timestamp::now()) {
            Health::Alive => {}
            Health::Over => drop(self.finish(lane, run).await?),
            Health::Overdue => {
                tracing::warn!(run.id = %run, "a run is past its deadline and nobody ended it");
                self.give_up(
                    &record,
                    RunState::Expired,
                    records::because(FailureCode::TimeLimit),
                )
                .await?;
            }
            Health::Lost => {
                tracing::warn!(run.id = %run, "a run has neither a job nor an end");
                self.give_up(
                    &record,
                    RunState::Failed,
                    records::because(FailureCode::WorkerLost),
                )
                .await?;
            }
        }
        Ok(())
    }
}

fn note(lane: &str, looked: Result<(), Failure>) {
    match looked {
        Ok(()) => {}
        // Somebody is at it, or something is away: the next sweep looks again.
        Err(Failure::Retry { cause, .. }) => tracing::debug!(lane, "not yet: {cause:#}"),
        Err(failure) => tracing::warn!(lane, ?failure, "a lane could not be looked after"),
    }
}

fn log_if_broken(ended: Option<Result<(), JoinError>>) {
    if let Some(Err(error)) = ended {
        tracing::error!(%error, "looking after a lane broke off");
    }
}

/// Tells how many runs wait and how many have their turn.
fn measure(lanes: &[Lane]) {
    let (queued, running) = count_runs(lanes);
    for (state, runs) in [(RunState::Queued, queued), (RunState::Running, running)] {
        telemetry::metrics::runs(state.as_str()).set(i64::try_from(runs).unwrap_or(i64::MAX));
    }
}

/// How many runs wait, and how many have their turn.
fn count_runs(lanes: &[Lane]) -> (usize, usize) {
    let queued = lanes.iter().map(|lane| lane.queue.len()).sum();
    let running = lanes.iter().filter(|lane| lane.running.is_some()).count();
    (queued, running)
}

/// Judges a run that has its turn.
pub(crate) fn health(run: &Run, has_job: bool, now: Timestamp) -> Health {
    if run.state.is_terminal() {
        Health::Over
    } else if run
        .deadline
        .is_some_and(|deadline| now.duration_since(deadline) > DEADLINE_GRACE)
    {
        Health::Overdue
    } else if has_job {
        Health::Alive
    } else {
        Health::Lost
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use pipeline::ids::RunId;

    use super::*;
    use crate::lane::tests::mention;

    #[test]
    fn a_run_is_given_up_when_it_is_overdue_or_its_job_is_gone() {
        let asked = mention(1, 0, 1, Some("x"));
        let id = RunId::derive(&asked.origin.instance, asked.comment, 0);
        let now = Timestamp::from_second(1_750_000_000).unwrap();
        let mut run = records::queued(&asked, &id, None, now);
        assert_eq!(health(&run, true, now), Health::Alive);
        assert_eq!(health(&run, false, now), Health::Lost);
        run.take(now, now + SignedDuration::from_mins(30)).unwrap();
        assert_eq!(
            health(&run, true, now + SignedDuration::from_mins(30)),
            Health::Alive
        );
        assert_eq!(
            health(&run, true, now + SignedDuration::from_mins(31)),
            Health::Alive
        );
        assert_eq!(
            health(&run, true, now + SignedDuration::from_mins(32)),
            Health::Overdue
        );
        run.end(None, RunState::Done, pipeline::run::Outcome::default(), now)
            .unwrap();
        assert_eq!(health(&run, false, now), Health::Over);
    }

    #[test]
    fn what_waits_and_what_has_its_turn_is_counted() {
        let now = Timestamp::UNIX_EPOCH;
        let mut lane = Lane::default();
        for comment in 1..=3 {
            lane.enter(&mention(comment, 0, comment, Some("x")), now);
        }
        let waiting = lane.clone();
        let first = lane.queue[0].run.clone();
        lane.claim(&first, "us", now).unwrap();
        assert_eq!(count_runs(&[lane, waiting, Lane::default()]), (5, 1));
    }
}
