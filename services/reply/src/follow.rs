//! Follows the run records: takes a change, reads the latest record, and goes step by step until the pull request
//! says what it says.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bitbucket::Clients;
use config::{Config, ConnectionSource, SandboxMode};
use jiff::Timestamp;
use lifecycle::Shutdown;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::run::Run;
use pipeline::subject;
use tracing::Instrument;
use worker::{Delivery, FailedRun, Handler, Nats, Publication};

use crate::next::{EDIT_PAUSE, Me, Next, next};
use crate::status::Status;
use crate::turns::{Turn, Turns};
use crate::{effects, finish};

/// Steps for one change: claim, post, edit, reaction, and as many again for what changed meanwhile.
const STEPS_MAX: usize = 16;
/// A planned edit that fails is tried again this often; after that the next change of the record brings it.
const PLANNED_TRIES_MAX: u32 = 30;

/// The handler of run records.
pub(crate) struct Follower {
    inner: Arc<Inner>,
}

struct Inner {
    status: Status,
    nats: Nats,
    turns: Turns,
    shutdown: Shutdown,
}

impl Follower {
    /// A follower with a name of its own, by which it knows its unfinished posts.
    pub(crate) fn new(
        settings: &Config,
        connections: Arc<dyn ConnectionSource>,
        nats: Nats,
        shutdown: Shutdown,
    ) -> Self {
        let status = Status {
            clients: Clients::new(Arc::clone(&connections), settings.proxy.clone()),
            connections,
            three_byte: crate::three_byte::ThreeByte::default(),
            builds: crate::build::Builds::new(settings.reply.build_status),
            runs: nats.runs(),
            artifacts: nats.artifacts(),
            poster: uuid::Uuid::new_v4().simple().to_string(),
            unsandboxed: settings.sandbox.mode == SandboxMode::Off,
            finish: settings.reply.finish,
        };
        Self {
            inner: Arc::new(Inner {
                status,
                nats,
                turns: Turns::default(),
                shutdown,
            }),
        }
    }
}

impl Handler for Follower {
    type Input = Run;

    async fn handle(&self, input: Run, delivery: &Delivery) -> Result<Vec<Publication>, Failure> {
        if let Some(turn) = self.inner.turns.take(&input.id, delivery.sequence).await {
            self.inner.clone().bring_up_to_date(&input.id, turn).await?;
        }
        Ok(Vec::new())
    }

    /// A reply that cannot be written does not end the run: the dead letter says it.
    fn run_of(&self, _: &Run) -> Option<FailedRun> {
        None
    }
}

impl Inner {
    /// Works on the run, and keeps the pauses that are asked for on the way.
    async fn bring_up_to_date(self: Arc<Self>, run: &RunId, turn: Turn) -> Result<(), Failure> {
        if let Some(left) = self.turns.paused(run, Timestamp::now()) {
            let cause = anyhow!("the status reply of {run} waits for a pause to end");
            return Err(Failure::unavailable(
                FailureCode::BitbucketRateLimited,
                Some(left),
                cause,
            ));
        }
        // A step holds a whole run record, which is more than a future should carry about.
        let done = Box::pin(self.clone().steps(run, turn)).await;
        if let Err(failure) = &done {
            Box::pin(self.status.follow_name(run, failure)).await?;
        }
        if let Err(Failure::Retry {
            after: Some(after), ..
        }) = &done
            && let Ok(until) = Timestamp::now().checked_add(*after)
        {
            self.turns.pause(run, until);
        }
        done
    }

    async fn steps(self: Arc<Self>, run: &RunId, _turn: Turn) -> Result<(), Failure> {
        let key = subject::run_key(run);
        for _ in 0..STEPS_MAX {
            let Some(record) = self.nats.runs().get(&key).await? else {
                return Ok(());
            };
            let step = next(
                &record,
                self.turns.shown(run),
                Me {
                    poster: &self.status.poster,
                    sets_builds: self.status.builds.are_set(&record),
                    tells_end: finish::is_due(&record, self.status.finish),
                    has_opened: self.turns.has_opened(run),
                },
                Timestamp::now(),
            );
            let shown = match step {
                Next::Nothing => {
                    if record.state.is_terminal() {
                        self.turns.forget(run);
                    }
                    return Ok(());
                }
                Next::EditLater(pause) => {
                    self.edit_later(run, pause);
                    return Ok(());
                }
                Next::Wait(pause) => {
                    let cause = anyhow!("another process is posting the status reply of {run}");
                    return Err(Failure::unavailable(FailureCode::Internal, Some(pause), cause));
                }
                Next::PostSoon(pause) => {
                    // What starts the run changes its record, which wakes this.
                    let _ = tokio::time::timeout(pause, self.turns.news(run)).await;
                    None
                }
                Next::Post => Box::pin(self.status.post(&record, false)).await?,
                Next::LookThenPost => Box::pin(self.status.post(&record, true)).await?,
                Next::Edit => self.status.edit(&record).await?,
                Next::Effects => {
                    Box::pin(self.effects(record)).await?;
                    None
                }
                step => {
                    self.step(step, &record).await?;
                    None
                }
            };
            if let Some(shown) = shown {
                self.turns.show(run, shown);
            }
        }
        Err(Failure::retry(
            FailureCode::Internal,
            anyhow!("the record of {run} kept changing"),
        ))
    }

    /// One step that changes nothing of what the status reply shows.
    async fn step(&self, step: Next, record: &Run) -> Result<(), Failure> {
        match step {
            Next::DeleteSurplus => self.status.delete_surplus(record).await,
            Next::DeleteSurplusEffects => self.status.delete_surplus_effects(record).await,
            Next::Build => self.status.set_build(record).await,
            Next::Finish => self.status.tell_end(record).await,
            Next::OpenReaction => {
                self.turns.opened(&record.id);
                self.status.open(record).await
            }
            Next::CloseReaction => self.status.close(record).await,
            Next::Nothing
            | Next::EditLater(_)
            | Next::Wait(_)
            | Next::PostSoon(_)
            | Next::Post
            | Next::LookThenPost
            | Next::Edit
            | Next::Effects => Ok(()),
        }
    }

    /// Does the effects of a run that has ended, one after the other, as long as they are this process's to do.
    async fn effects(&self, mut record: Run) -> Result<(), Failure> {
        let key = subject::run_key(&record.id);
        // Each is settled or fails; one more look for each that another process settles meanwhile.
        for _ in 0..=record.effects.len() {
            if !effects::is_ours(&record, &self.status.poster, Timestamp::now()) {
                break;
            }
            self.status.do_effect(&record).await?;
            match self.nats.runs().get(&key).await? {
                Some(now) => record = now,
                None => break,
            }
        }
        Ok(())
    }

    /// Plans the edit that shows the last step before a long silence. The change itself is settled now: an edit that
    /// is lost with this process is made up for by the next change, at the latest by the end.
    fn edit_later(self: &Arc<Self>, run: &RunId, pause: Duration) {
        if !self.turns.plan(run) {
            return;
        }
        let (inner, run) = (self.clone(), run.clone());
        let span = tracing::info_span!("planned edit", run.id = %run);
        tokio::spawn(async move { inner.planned_edit(&run, pause).await }.instrument(span));
    }

    async fn planned_edit(self: Arc<Self>, run: &RunId, mut pause: Duration) {
        for _ in 0..PLANNED_TRIES_MAX {
            let soft = self.shutdown.soft.clone();
            tokio::select! {
                () = soft.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let turn = self.turns.take_planned(run).await;
            match self.clone().bring_up_to_date(run, turn).await {
                Ok(()) => return,
                Err(failure) => tracing::warn!(?failure, "a planned edit of the status reply failed"),
            }
            pause = EDIT_PAUSE;
        }
    }
}
