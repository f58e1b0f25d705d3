//! Publishing deliveries: those that wait at the same moment share one atomic batch, and so one fsync.
//!
//! A lone delivery goes at once, as a plain publish. While as many publishes are in flight as are allowed, later
//! deliveries gather and become the next batch. A batch is all or nothing, so one that fails or times out is
//! published one by one, and every caller hears of its own delivery only. `EVENTS` promises no uniqueness: a batch
//! that timed out and landed all the same leaves duplicates, which the roles behind it recognise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::publish::{Written, trace_headers};
use crate::{Error, Nats, Publication, Published};

/// Deliveries in one batch: larger ones gain little and make a failure dearer. JetStream allows 1,000.
const BATCH_MAX: usize = 64;
/// Publishes in flight. One is being synced while the next travels; more would only make batches smaller.
/// JetStream allows 50 open batches per stream.
const IN_FLIGHT_MAX: usize = 2;
/// Deliveries that may wait; beyond that a caller waits for room, within its budget.
const QUEUE_MAX: usize = 4_096;
/// One try: a server that needs longer is dead or cut off (reliability-security.md section 3, ingest protocol).
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// All tries of one delivery: Bitbucket gives up after 10 to 20 s (reliability-security.md 0, 3).
const BUDGET: Duration = Duration::from_secs(5);
/// Between two tries of one delivery.
const TRY_PAUSE: Duration = Duration::from_millis(100);

const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// Publishes deliveries to `EVENTS`. Clones share batches.
#[derive(Clone)]
pub struct IngestPublisher {
    queue: mpsc::Sender<Waiting>,
}

/// A delivery that waits for its acknowledgement.
struct Waiting {
    subject: String,
    payload: Bytes,
    headers: HeaderMap,
    until: Instant,
    answer: oneshot::Sender<Result<Published, Error>>,
}

impl IngestPublisher {
    pub(crate) fn start(nats: Nats) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(gather(nats, waiting));
        Self { queue }
    }

    /// Publishes one delivery; `Ok` only after JetStream's acknowledgement, an error within 5 s.
    /// `unique` is ignored: `EVENTS` promises none.
    pub async fn publish(&self, publication: Publication) -> Result<Published, Error> {
        let started = Instant::now();
        let until = started + BUDGET;
        let (answer, answered) = oneshot::channel();
        let subject = publication.subject.clone();
        let waiting = Waiting {
            subject: publication.subject,
            payload: Bytes::from(publication.payload),
            headers: trace_headers(),
            until,
            answer,
        };
        let gone = || Error::unavailable(&subject, "the publisher has stopped");
        let published = async {
            self.queue.send(waiting).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        };
        let result = tokio::time::timeout(BUDGET, published)
            .await
            .unwrap_or_else(|_| Err(Error::unavailable(&subject, "no acknowledgement within 5 s")));
        telemetry::metrics::publish_seconds().observe(started.elapsed().as_secs_f64());
        result
    }
}

/// Takes what waits, as soon as another publish may be in flight. Ends with the last publisher.
async fn gather(nats: Nats, mut waiting: mpsc::Receiver<Waiting>) {
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    loop {
        let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await else {
            return;
        };
        let mut batch = Vec::new();
        if waiting.recv_many(&mut batch, BATCH_MAX).await == 0 {
            return;
        }
        tokio::spawn(publish_all(nats.clone(), batch, permit));
    }
}

async fn publish_all(nats: Nats, mut batch: Vec<Waiting>, permit: OwnedSemaphorePermit) {
    // Who has stopped waiting has answered 503 already; Bitbucket's user sees a failed delivery.
    batch.retain(|waiting| !waiting.answer.is_closed());
    let committed = if batch.len() > 1 {
        commit(&nats, &batch).await
    } else {
        None
    };
    if let Some(first) = committed {
        for (sequence, waiting) in (first..).zip(batch) {
            // A caller that stopped waiting does not need its answer any more.
            let _ = waiting.answer.send(Ok(Published::New { sequence }));
        }
        return;
    }
    let started = Instant::now();
    let one_by_one = join_all(batch.into_iter().map(|waiting| publish_one(&nats, waiting)));
    // Deliveries that fail slowly must not keep later ones waiting for their turn.
    let mut one_by_one = std::pin::pin!(one_by_one);
    if tokio::time::timeout(TRY_TIMEOUT, &mut one_by_one).await.is_err() {
        tracing::warn!(waited_ms = started.elapsed().as_millis(), "publishing is slow");
        drop(permit);
        one_by_one.await;
    }
}

/// Publishes the batch and returns the sequence of its first message, or nothing when it was not committed in time.
async fn commit(nats: &Nats, batch: &[Waiting]) -> Option<u64> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let send = async {
        let (last, rest) = batch.split_last()?;
        for (number, waiting) in (1_usize..).zip(rest) {
            let headers = batch_headers(waiting, &id, number);
            let (subject, payload) = (waiting.subject.clone(), waiting.payload.clone());
            nats.client()
                .publish_with_headers(subject, headers, payload)
                .await
                .ok()?;
        }
        let mut headers = batch_headers(last, &id, batch.len());
        headers.insert(BATCH_COMMIT, "1");
        let committed = nats
            .write(&last.subject, headers, last.payload.clone(), None, TRY_TIMEOUT)
            .await;
        match committed
            .inspect_err(|error| tracing::warn!(%error, size = batch.len(), "a batch failed"))
            .ok()?
        {
            Written::Stored(ack) if ack.batch_size == Some(batch.len() as u64) => {
                Some(ack.sequence + 1 - batch.len() as u64)
            }
            Written::Stored(_) | Written::WrongLastSequence => None,
        }
    };
    tokio::time::timeout(TRY_TIMEOUT, send).await.ok().flatten()
}

fn batch_headers(waiting: &Waiting, id: &str, number: usize) -> HeaderMap {
    let mut headers = waiting.headers.clone();
    headers.insert(BATCH_ID, id);
    headers.insert(BATCH_SEQUENCE, number.to_string());
    headers
}

/// Publishes one delivery until it is acknowledged, refused for good, or its budget is used up.
async fn publish_one(nats: &Nats, waiting: Waiting) {
    let result = loop {
        let left = waiting.until.saturating_duration_since(Instant::now());
        let timeout = TRY_TIMEOUT.min(left);
        let (headers, payload) = (waiting.headers.clone(), waiting.payload.clone());
        let error = match nats
            .write(&waiting.subject, headers, payload, None, timeout)
            .await
        {
            Ok(Written::Stored(ack)) => {
                break Ok(Published::New {
                    sequence: ack.sequence,
                });
            }
            Ok(Written::WrongLastSequence) => break Ok(Published::Exists),
            Err(error @ Error::Unavailable(_)) => error,
            Err(error) => break Err(error),
        };
        if Instant::now() + TRY_PAUSE >= waiting.until || waiting.answer.is_closed() {
            break Err(error);
        }
        nats.try_another_server().await;
        tokio::time::sleep(TRY_PAUSE).await;
    };
    let _ = waiting.answer.send(result);
}
