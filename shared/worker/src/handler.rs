//! Handler: what a service is to JetStream. A function from a decoded value to what is published next.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use pipeline::failure::Failure;
use pipeline::ids::RunId;
use pipeline::message::Message;
use pipeline::run::{Run, Waited};

use crate::Publication;

/// One hop. Everything may be delivered twice, so every effect of `handle` is idempotent.
pub trait Handler: Send + Sync + 'static {
    /// What it takes.
    type Input: Message;

    /// Does the work and returns what is to be published. The acknowledgement comes after that.
    fn handle(
        &self,
        input: Self::Input,
        delivery: &Delivery,
    ) -> impl Future<Output = Result<Vec<Publication>, Failure>> + Send;

    /// The run that ends when the input is refused or given up.
    fn run_of(&self, input: &Self::Input) -> Option<FailedRun>;

    /// Inputs with the same key are the same work: while one is executed in this process, a newer delivery is
    /// adopted (settled together with it), not started. A redelivery of the same message always is.
    fn key(&self, input: &Self::Input) -> Option<String> {
        let _ = input;
        None
    }
}

/// The run that ends with a failed message.
#[derive(Debug, Clone)]
pub enum FailedRun {
    /// It has a record.
    Existing(RunId),
    /// It may have none yet; this one is created, already ended.
    Create(Box<Run>),
}

/// What is known of the message beside its value.
#[derive(Debug)]
pub struct Delivery {
    /// Its subject.
    pub subject: String,
    /// Its place in the stream.
    pub sequence: u64,
    /// How often it has been delivered, this time included.
    pub delivered: u64,
    /// Which attempt this is, from 1: deliveries that waited for something that was away are not counted.
    pub attempt: u32,
    /// What it waited for before this delivery, where something was away.
    pub waited: Option<Waited>,
    /// When it was published.
    pub published_at: Timestamp,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    fence: Mutex<Option<(RunId, u32)>>,
}

impl Delivery {
    /// A first delivery of a message.
    pub fn first(subject: impl Into<String>, sequence: u64, published_at: Timestamp) -> Self {
        Self {
            subject: subject.into(),
            sequence,
            delivered: 1,
            attempt: 1,
            waited: None,
            published_at,
            traceparent: None,
            fence: Mutex::new(None),
        }
    }

    /// This worker took `run` and holds `attempt`. From now on the message is settled only while the run's record
    /// still says so: JetStream lets a late ack settle the delivery of the worker that took over.
    pub fn fence(&self, run: &RunId, attempt: u32) {
        *self.held() = Some((run.clone(), attempt));
    }

    pub(crate) fn fenced(&self) -> Option<(RunId, u32)> {
        self.held().clone()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<(RunId, u32)>> {
        // A panic cannot happen between lock and unlock; a poisoned lock still holds the right value.
        self.fence
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How a service consumes a stream. The durable consumer's name is the service's.
#[derive(Debug, Clone)]
pub struct ConsumerSpec {
    /// The stream.
    pub stream: &'static str,
    /// The durable consumer.
    pub durable: &'static str,
    /// Subjects it takes; empty for all of the stream.
    pub filters: Vec<String>,
    /// How long after the last sign of life a message is delivered to another worker.
    pub ack_wait: Duration,
    /// Messages in the hands of all workers together.
    pub max_ack_pending: i64,
    /// Messages in the hands of this process.
    pub concurrency: usize,
    /// Attempts before a message is given up.
    pub attempts_max: u32,
    /// How long one attempt may take.
    pub deadline: Duration,
    /// Where a consumer that does not exist yet begins.
    pub deliver: Deliver,
}

/// Where a new consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deliver {
    /// With the oldest message.
    All,
    /// With the newest message of each subject: for followers of records.
    LastPerSubject,
}
