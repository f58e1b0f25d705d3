//! Dispatch: where nothing runs on a lane, the next wanted run gets its brief and its job.
//!
//! Safe to repeat from any point: the lane's claim says who prepares, the lane's one job subject says what is
//! prepared, and a run that cannot be prepared is ended rather than left to block those behind it.

use bitbucket::PullRequest;
use jiff::Timestamp;
use pipeline::failure::{Counts, Failure};
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::job::Job;
use pipeline::message::decode;
use pipeline::run::{FailureReport, Outcome, Run, RunState};
use pipeline::subject;
use tracing::Instrument;

use crate::builder::{Builder, lane_of_run, not_yet};
use crate::lane::{Entry, Lane, Running, Standing, Turn};
use crate::limits::{
    DISPATCH_TRIES_MAX, DISPATCH_WAIT_MAX, EDIT_WAIT_MAX, QUEUE_MAX, RECORD_MISSING_MAX, SLOT_LOOKS,
    SLOT_PAUSE, SLOT_RETRY,
};
use crate::prepare::Prepared;
use crate::records;

/// What became of one look at a lane.
enum Look {
    /// Nothing more to do now.
    Done,
    /// A run gave up its place: look again.
    Again,
}

/// What is in a lane's job slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Free,
    /// This run's job.
    Ours,
    /// The job of a run that has ended and whose worker has not let go yet.
    Taken,
    /// A job of another build, which may be any run's.
    Unreadable,
}

impl Builder {
    /// Gives the next run of a lane its job, if nothing runs there. `known` is the pull request where it was read a
    /// moment ago. A failure that passes is not counted as an attempt of the message that led here, since that is
    /// about another run or about many: tries are counted by run.
    pub(crate) async fn dispatch(&self, lane: &str, known: Option<&PullRequest>) -> Result<(), Failure> {
        // Each look ends or begins a run, so that a full queue bounds their number.
        for _ in 0..=QUEUE_MAX {
            match self.look(lane, known).await {
                Ok(Look::Done) => return Ok(()),
                Ok(Look::Again) => {}
                Err(Failure::Retry {
                    after, code, cause, ..
                }) => return Err(Failure::unavailable(code, after, cause)),
                Err(failure) => return Err(failure),
            }
        }
        Err(not_yet(SLOT_RETRY, "the queue did not come to rest"))
    }

    async fn look(&self, key: &str, known: Option<&PullRequest>) -> Result<Look, Failure> {
        let Some(lane) = self.lanes.get(key).await? else {
            return Ok(Look::Done);
        };
        let now = Timestamp::now();
        match lane.turn(&self.process, now) {
            Turn::Idle | Turn::Busy => Ok(Look::Done),
            // The other process may have died: come back when its claim has run out.
            Turn::Claimed { until } => {
                let after = until.duration_since(now).unsigned_abs();
                Err(not_yet(after, "another process prepares this lane's job"))
            }
            Turn::Next(entry) => match self.wanted(key, &lane, &entry).await? {
                Wanted::Yes(run) => self.begin(key, &run, known).await,
                Wanted::NotYet => Ok(Look::Done),
                Wanted::No => {
                    self.finish(key, &entry.run).await?;
                    Ok(Look::Again)
                }
            },
        }
    }

    /// Looks at the record of the run that is next.
    async fn wanted(&self, key: &str, lane: &Lane, entry: &Entry) -> Result<Wanted, Failure> {
        let record = self.runs.get(&subject::run_key(&entry.run)).await?;
        let outcome = match lane.standing(entry) {
            Standing::Wanted => None,
            Standing::Deleted => Some(records::because(FailureCode::CommentDeleted)),
            Standing::Withdrawn => Some(records::because(FailureCode::RequestWithdrawn)),
            Standing::Closed => Some(records::because(FailureCode::PullRequestClosed)),
            Standing::Stopped => Some(records::stopped_by(lane.stopper_of(entry, record.as_ref()))),
        };
        if let Some(outcome) = outcome {
            self.end(&entry.run, RunState::Cancelled, outcome).await?;
            return Ok(Wanted::No);
        }
        let Some(run) = record else {
            // Its admission is about to write it, and then comes here itself.
            let waited = Timestamp::now().duration_since(entry.at);
            if waited <= RECORD_MISSING_MAX {
                return Ok(Wanted::NotYet);
            }
            tracing::warn!(run.id = %entry.run, lane = key, "a waiting run never got a record");
            return Ok(Wanted::No);
        };
        if run.state.is_terminal() {
            return Ok(Wanted::No);
        }
        Ok(Wanted::Yes(Box::new(run)))
    }

    /// Claims the lane for a run and prepares its job.
    async fn begin(&self, key: &str, run: &Run, known: Option<&PullRequest>) -> Result<Look, Failure> {
        let Some(_preparing) = self.begin_to_prepare(&run.id) else {
            return Ok(Look::Done);
        };
        let _seat = self.seats.take(&run.credential.connection).await?;
        let slot = self.free_slot(run).await?;
        let now = Timestamp::now();
        let claim = |lane: &mut Lane| {
            Some((
                lane.claim(&run.id, &self.process, now)?,
                lane.digest_of(run.comment).cloned(),
            ))
        };
        let Some((_, Some((claimed, digest)))) = self.change_lane(key, claim).await? else {
            return Ok(Look::Again);
        };
        if slot == Slot::Ours {
            return self.begun(key, &run.id).await;
        }
        // From now on edits come too late; one that came just before may not have reached the record.
        let run = &self
            .runs
            .get(&subject::run_key(&run.id))
            .await?
            .unwrap_or_else(|| run.clone());
        // What was told to have come too late comes no more, and neither does what was written before it.
        let is_edited = !run.edited_late && digest.is_some_and(|digest| digest != run.digest);
        let is_behind = is_edited || claimed.entry.merged.len() > run.merged.len();
        if is_behind && now.duration_since(claimed.since) < EDIT_WAIT_MAX {
            return Err(not_yet(
                SLOT_RETRY,
                "an edit or an addition is about to reach the run",
            ));
        }
        let span = tracing::info_span!("dispatch", run.id = %run.id);
        telemetry::trace::follow(&span, run.traceparent.as_deref());
        match Box::pin(self.prepare(run, known)).instrument(span).await {
            Ok(Prepared::Published) => self.begun(key, &run.id).await,
            Ok(Prepared::Ended) => {
                self.finish(key, &run.id).await?;
                Ok(Look::Again)
            }
            Err(failure) => self.not_prepared(key, &claimed, failure).await,
        }
    }

    async fn begun(&self, key: &str, run: &RunId) -> Result<Look, Failure> {
        if let Some((lane, ())) = self.change_lane(key, |lane| lane.dispatched(run)).await? {
            self.tell_places(&lane).await?;
        }
        Ok(Look::Done)
    }

    /// A job that cannot be prepared ends its run; one that could not be prepared yet is tried again, for a time.
    async fn not_prepared(&self, key: &str, claimed: &Running, failure: Failure) -> Result<Look, Failure> {
        let run = &claimed.entry.run;
        let (report, cause) = match failure {
            Failure::Retry {
                after,
                counts,
                code,
                cause,
            } => {
                let mut tries = claimed.tries;
                if counts == Counts::AsAttempt {
                    let missed = self.change_lane(key, |lane| lane.missed(run)).await?;
                    tries = missed.map_or(tries, |(_, tries)| tries);
                }
                let waited = Timestamp::now().duration_since(claimed.since);
                if tries < DISPATCH_TRIES_MAX && waited <= DISPATCH_WAIT_MAX {
                    return Err(Failure::Retry {
                        after,
                        counts,
                        code,
                        cause,
                    });
                }
                (FailureReport { code, detail: None }, cause)
            }
            Failure::Refuse { report } => (report, anyhow::anyhow!("refused")),
            Failure::Abandon { report, cause } => (report, cause),
        };
        tracing::error!(run.id = %run, code = report.code.as_str(), error = format!("{cause:#}"), "no job for a run");
        self.end(run, RunState::Failed, records::failure(report)).await?;
        self.finish(key, run).await?;
        Ok(Look::Again)
    }

    /// Waits a moment for the worker of the run before to let go of the lane's slot.
    async fn free_slot(&self, run: &Run) -> Result<Slot, Failure> {
        for _ in 0..SLOT_LOOKS {
            let slot = self.slot(run).await?;
            if matches!(slot, Slot::Free | Slot::Ours) {
                return Ok(slot);
            }
            tokio::time::sleep(SLOT_PAUSE).await;
        }
        Err(not_yet(SLOT_RETRY, "the lane's job slot is not free yet"))
    }

    /// What the lane's one job subject holds.
    async fn slot(&self, run: &Run) -> Result<Slot, Failure> {
        let subject = subject::job_of_lane(&run.instance, run.repository.id, &run.lane);
        let Some(message) = self.nats.last_on_subject(subject::JOBS, &subject).await? else {
            return Ok(Slot::Free);
        };
        Ok(match decode::<Job>(&message.payload) {
            Ok(job) if job.run == run.id => Slot::Ours,
            Ok(_) => Slot::Taken,
            Err(_) => Slot::Unreadable,
        })
    }

    /// Whether `JOBS` holds the job of `run`. One that cannot be read counts: in a rolling upgrade its run goes on.
    pub(crate) async fn has_job(&self, run: &Run) -> Result<bool, Failure> {
        Ok(matches!(self.slot(run).await?, Slot::Ours | Slot::Unreadable))
    }

    /// Ends a run by what the watchdog found, and lets the next one begin.
    pub(crate) async fn give_up(&self, run: &Run, state: RunState, outcome: Outcome) -> Result<(), Failure> {
        let lane = lane_of_run(run);
        self.end(&run.id, state, outcome).await?;
        self.finish(&lane, &run.id).await?;
        Ok(())
    }
}

/// Whether the run that is next is to begin.
enum Wanted {
    Yes(Box<Run>),
    NotYet,
    No,
}
