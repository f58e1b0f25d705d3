//! Settle: the only place that acks.
//!
//! Order matters: outputs are published and the run record is written before this; the acknowledgement comes last.
//! When any step before it fails, nothing is sent, and the message comes again after `ack_wait`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::subject::Subject;
use bytes::Bytes;
use jiff::Timestamp;
use pipeline::failure::{Counts, Failure};
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::run::{FailureReport, Fenced, Outcome, Run, RunState, Waited};
use pipeline::subject;
use serde_json::json;

use crate::verdict::{Attempt, Ended, Verdict, verdict};
use crate::waits::Why;
use crate::{ConsumerSpec, Created, Delivery, Error, FailedRun, Nats, dead, waits};

/// How long the server may take to confirm an acknowledgement; without it the message comes again.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// A sign of life that cannot be sent by then is skipped; the next one follows.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(2);
/// Naks are spread by up to this share of their pause, so that what failed together does not return together.
const JITTER: f64 = 0.25;

/// The deliveries that one execution answers for: its own, and those adopted meanwhile. Of each message only the
/// newest delivery matters.
pub(crate) struct Held(Mutex<BTreeMap<u64, Subject>>);

impl Held {
    pub(crate) fn new(sequence: u64, reply: Subject) -> Self {
        Self(Mutex::new(BTreeMap::from([(sequence, reply)])))
    }

    pub(crate) fn adopt(&self, sequence: u64, reply: Subject) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(sequence, reply);
    }

    /// Tells the server that work goes on: `ack_wait` begins anew.
    pub(crate) async fn progress(&self, nats: &Nats) {
        for reply in self.replies() {
            let sent = nats.client().publish(reply, Bytes::from_static(b"+WPI"));
            if tokio::time::timeout(PROGRESS_TIMEOUT, sent).await.is_err() {
                tracing::debug!("a sign of life could not be sent");
            }
        }
    }

    /// Answers every delivery and waits for the server's confirmation.
    async fn answer(&self, nats: &Nats, words: Bytes) {
        for reply in self.replies() {
            let request = async_nats::Request::new()
                .payload(words.clone())
                .timeout(Some(ACK_TIMEOUT));
            let answered = nats.client().send_request(reply, request);
            let problem = match tokio::time::timeout(ACK_TIMEOUT, answered).await {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no confirmation in time".to_owned(),
            };
            tracing::warn!(problem, "the message may be delivered again");
        }
    }

    fn replies(&self) -> Vec<Subject> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }
}

/// Everything there is to know about one message at the moment its handling has ended.
pub(crate) struct Settlement<'a> {
    pub(crate) nats: &'a Nats,
    pub(crate) spec: &'a ConsumerSpec,
    pub(crate) delivery: &'a Delivery,
    pub(crate) attempt: Attempt,
    pub(crate) held: &'a Held,
    pub(crate) payload: &'a Bytes,
    pub(crate) failed_run: Option<FailedRun>,
}

/// Why nothing is sent.
enum Silent {
    /// Another worker took the run over; a word of ours would settle its delivery.
    Overtaken,
    /// A step before the acknowledgement did not succeed.
    NotReady(Error),
}

impl From<Error> for Silent {
    fn from(error: Error) -> Self {
        Self::NotReady(error)
    }
}

impl Settlement<'_> {
    /// Decides what becomes of the message and sees to it.
    pub(crate) async fn settle(self, ended: Ended) {
        let ended = match ended {
            // The worker died between writing the ending and the acknowledgement: nothing was lost.
            Ended::Lost if self.run_has_ended().await => Ended::Done,
            ended => ended,
        };
        let verdict = verdict(&ended, &self.attempt);
        log(&ended, &verdict);
        let word = match self.carry_out(&verdict, &ended).await {
            Ok(words) => {
                self.held.answer(self.nats, words).await;
                verdict.as_str()
            }
            Err(Silent::Overtaken) => {
                tracing::warn!("another worker took over; nothing is settled here");
                "overtaken"
            }
            Err(Silent::NotReady(error)) => {
                tracing::warn!(%error, "not settled; the message comes again");
                "unsettled"
            }
        };
        telemetry::metrics::messages(self.spec.durable, word).inc();
    }

    /// Does what comes before the acknowledgement and returns its words.
    async fn carry_out(&self, verdict: &Verdict, ended: &Ended) -> Result<Bytes, Silent> {
        match verdict {
            Verdict::Ack => {
                self.still_ours().await?;
                Ok(Bytes::from_static(b"+ACK"))
            }
            Verdict::Refuse(report) => {
                self.end_run(RunState::Refused, report).await?;
                Ok(Bytes::from_static(b"+ACK"))
            }
            Verdict::Nak { after, counts } => {
                let away = away(ended);
                self.hand_back_run(away).await?;
                if *counts == Counts::NotAsAttempt {
                    let why = away.map_or(Why::Interrupted, Why::Away);
                    waits::add(self.nats, self.spec, self.delivery.sequence, why).await?;
                }
                Ok(nak(*after))
            }
            Verdict::Bury(report) => {
                self.end_run(RunState::Failed, report).await?;
                let run = self.failed_run.as_ref().map(FailedRun::id).cloned();
                let (nats, cause) = (self.nats, cause(ended));
                dead::bury(
                    nats,
                    self.spec,
                    self.delivery,
                    self.payload,
                    run,
                    report.code,
                    &cause,
                )
                .await?;
                Ok(Bytes::from(format!("+TERM {}", report.code)))
            }
        }
    }

    /// Whether the message's run is known to have ended. A record that cannot be read now is none that has.
    async fn run_has_ended(&self) -> bool {
        let Some(failed_run) = &self.failed_run else {
            return false;
        };
        let key = subject::run_key(failed_run.id());
        matches!(self.nats.runs().get(&key).await, Ok(Some(run)) if run.state.is_terminal())
    }

    /// Whether the run that the handler took is still held by it.
    async fn still_ours(&self) -> Result<(), Silent> {
        let Some((run, attempt)) = self.delivery.fenced() else {
            return Ok(());
        };
        match self.nats.runs().get(&subject::run_key(&run)).await? {
            Some(record) if record.attempt != attempt => Err(Silent::Overtaken),
            _ => Ok(()),
        }
    }

    /// The run that the handler took waits with the message: it has no deadline until it is taken again, and says what is
    /// away.
    async fn hand_back_run(&self, away: Option<FailureCode>) -> Result<(), Silent> {
        let Some((run, attempt)) = self.delivery.fenced() else {
            return Ok(());
        };
        let key = subject::run_key(&run);
        let now = Timestamp::now();
        let hand_back = |run: &mut Run| {
            run.hand_back(attempt)?;
            if let Some(code) = away.filter(|_| !run.state.is_terminal()) {
                Waited::begin(&mut run.waited, code, now);
            }
            Ok(())
        };
        match self.nats.runs().update(&key, hand_back).await {
            Ok(Err(Fenced::Overtaken { .. } | Fenced::Ended(_))) => Err(Silent::Overtaken),
            Ok(Ok(_)) | Err(Error::NotFound { .. } | Error::Undecodable { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the message's run with the report, unless it has ended already.
    async fn end_run(&self, state: RunState, report: &FailureReport) -> Result<(), Silent> {
        self.still_ours().await?;
        let Some(failed_run) = &self.failed_run else {
            return Ok(());
        };
        let now = Timestamp::now();
        let held = self
            .delivery
            .fenced()
            .filter(|(run, _)| run == failed_run.id())
            .map(|(_, attempt)| attempt);
        let end = |run: &mut Run| {
            let outcome = Outcome {
                failure: Some(report.clone()),
                ..Outcome::default()
            };
            run.end(held, state, outcome, now)
        };
        let runs = self.nats.runs();
        let key = subject::run_key(failed_run.id());
        if let FailedRun::Create(run) = failed_run {
            let mut run = (**run).clone();
            let ended = end(&mut run);
            if ended.is_ok() && runs.create(&key, &run).await? == Created::New {
                telemetry::metrics::runs_ended(state.as_str(), report.code.as_str()).inc();
                return Ok(());
            }
        }
        match runs.update(&key, end).await {
            Ok(Ok(_)) => telemetry::metrics::runs_ended(state.as_str(), report.code.as_str()).inc(),
            Ok(Err(Fenced::Ended(state))) => {
                tracing::debug!(run = %failed_run.id(), %state, "the run had ended");
            }
            Ok(Err(Fenced::Overtaken { .. })) => return Err(Silent::Overtaken),
            // Without a readable record there is nothing to end, and waiting would not bring one.
            Err(error @ (Error::NotFound { .. } | Error::Undecodable { .. })) => {
                tracing::error!(run = %failed_run.id(), %error, "the run cannot be ended");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl FailedRun {
    fn id(&self) -> &RunId {
        match self {
            Self::Existing(id) => id,
            Self::Create(run) => &run.id,
        }
    }
}

/// Hands back a message that nobody has begun to work on.
pub(crate) async fn hand_back(nats: &Nats, spec: &ConsumerSpec, sequence: u64, reply: Subject) {
    if let Err(error) = waits::add(nats, spec, sequence, Why::Interrupted).await {
        tracing::warn!(%error, "handing a message back counts as an attempt");
    }
    Held::new(sequence, reply).answer(nats, nak(Duration::ZERO)).await;
    telemetry::metrics::messages(spec.durable, "handed-back").inc();
}

/// Settles a message that is not one: a bucket's note that a record is gone.
pub(crate) async fn skip(nats: &Nats, spec: &ConsumerSpec, sequence: u64, reply: Subject) {
    Held::new(sequence, reply)
        .answer(nats, Bytes::from_static(b"+ACK"))
        .await;
    telemetry::metrics::messages(spec.durable, "marker").inc();
}

/// What is away, where that is why the message comes again.
fn away(ended: &Ended) -> Option<FailureCode> {
    match ended {
        Ended::Failed(Failure::Retry {
            counts: Counts::NotAsAttempt,
            code,
            ..
        }) => Some(*code),
        Ended::Unreadable(_) => Some(FailureCode::MessageUnreadable),
        _ => None,
    }
}

fn nak(after: Duration) -> Bytes {
    let after = after.mul_f64(rand::random_range(1.0..=1.0 + JITTER));
    let nanoseconds = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
    Bytes::from(format!("-NAK {}", json!({ "delay": nanoseconds })))
}

/// The one log line of a failure.
fn log(ended: &Ended, verdict: &Verdict) {
    let cause = cause(ended);
    match verdict {
        Verdict::Ack => tracing::debug!("done"),
        Verdict::Refuse(report) => tracing::info!(code = %report.code, "refused"),
        Verdict::Nak { after, .. } => {
            tracing::warn!(
                verdict = verdict.as_str(),
                after_ms = after.as_millis(),
                cause,
                "not done"
            );
        }
        Verdict::Bury(report) => tracing::error!(code = %report.code, cause, "given up"),
    }
}

fn cause(ended: &Ended) -> String {
    match ended {
        Ended::Done => "done".to_owned(),
        Ended::Failed(Failure::Retry { cause, .. } | Failure::Abandon { cause, .. }) => format!("{cause:#}"),
        Ended::Failed(Failure::Refuse { report }) => report.code.sentence().to_owned(),
        Ended::Unreadable(error) => error.to_string(),
        Ended::Panicked(text) => format!("panic: {text}"),
        Ended::OutOfTime => "the handler did not end by its deadline".to_owned(),
        Ended::ShutDown => "shutting down".to_owned(),
        Ended::Lost => "earlier attempts ended without a word".to_owned(),
    }
}
