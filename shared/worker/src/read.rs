//! Reading streams without consuming them: the last message of a subject, and bounded scans for `runs why`.

use std::ops::Range;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use futures::StreamExt;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{Error, Nats};

/// A scan ends after this, whatever it has found.
const SCAN_TIMEOUT: Duration = Duration::from_secs(30);
/// Messages held at a time while the newest are visited.
const PAGE_MAX: u64 = 5_000;
/// Messages asked for at a time.
const SCAN_BATCH: usize = 500;
/// The server forgets a scan's consumer this long after the scan was given up.
const SCAN_FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// A message as a stream holds it.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Its subject.
    pub subject: String,
    /// Its place in the stream.
    pub sequence: u64,
    /// When it was stored.
    pub time: Timestamp,
    /// Its bytes.
    pub payload: Bytes,
    /// Its headers.
    pub headers: HeaderMap,
}

/// Where a scan begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the oldest message.
    Start,
    /// At a place in the stream.
    Sequence(u64),
    /// With the newest message of each subject.
    LastPerSubject,
}

impl Nats {
    /// The newest message on `subject`, asked of the stream's leader.
    pub async fn last_on_subject(&self, stream: &str, subject: &str) -> Result<Option<StoredMessage>, Error> {
        let handle = self
            .jetstream()
            .get_stream_no_info(stream)
            .await
            .map_err(|e| Error::unavailable(stream, e))?;
        match handle.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(StoredMessage {
                subject: message.subject.to_string(),
                sequence: message.sequence,
                time: timestamp(message.time.unix_timestamp_nanos()),
                payload: message.payload,
                headers: message.headers,
            })),
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::InvalidSubject => Err(Error::Refused {
                    what: subject.to_owned(),
                    text: "not a subject".to_owned(),
                }),
                LastRawMessageErrorKind::JetStream(server) => Err(Error::of_server(subject, &server)),
                LastRawMessageErrorKind::Other => Err(Error::unavailable(subject, error)),
            },
        }
    }

    /// How many messages a stream holds.
    pub async fn stream_messages(&self, stream: &str) -> Result<u64, Error> {
        let found = self
            .jetstream()
            .get_stream(stream)
            .await
            .map_err(|e| Error::unavailable(stream, e))?;
        Ok(found.cached_info().state.messages)
    }

    /// How many messages a consumer has yet to settle: those that wait, and those in work.
    pub(crate) async fn unsettled(&self, stream: &str, durable: &str) -> Result<u64, Error> {
        let away = |error: &dyn std::fmt::Display| Error::unavailable(durable, error);
        let handle = self.jetstream().get_stream_no_info(stream).await;
        let found = handle.map_err(|error| away(&error))?.consumer_info(durable).await;
        let found = found.map_err(|error| away(&error))?;
        let in_work = u64::try_from(found.num_ack_pending).unwrap_or(u64::MAX);
        Ok(found.num_pending.saturating_add(in_work))
    }

    /// Shows the newest `messages_max` messages of `stream` to `look`, with their places: page by page from the newest
    /// page to the oldest, within a page oldest first. No further page is begun after 30 s. Returns whether older
    /// messages are there that were not shown.
    pub async fn visit_newest(
        &self,
        stream: &str,
        messages_max: u64,
        mut look: impl FnMut(StoredMessage),
    ) -> Result<bool, Error> {
        let found = self.jetstream().get_stream(stream).await;
        let state = found
            .map_err(|e| Error::unavailable(stream, e))?
            .cached_info()
            .state
            .clone();
        if state.messages == 0 {
            return Ok(false);
        }
        let until = Instant::now() + SCAN_TIMEOUT;
        let mut oldest_shown = state.last_sequence + 1;
        for page in newest_pages(state.first_sequence, state.last_sequence, messages_max) {
            if Instant::now() >= until {
                break;
            }
            let count_max = usize::try_from(page.end - page.start).unwrap_or(usize::MAX);
            let start = DeliverPolicy::ByStartSequence {
                start_sequence: page.start,
            };
            // Where messages are missing, as many are read of the page that was shown before.
            let messages = self.read(stream, ">", start, count_max).await?;
            messages
                .into_iter()
                .filter(|message| page.contains(&message.sequence))
                .for_each(&mut look);
            oldest_shown = page.start;
        }
        Ok(oldest_shown > state.first_sequence)
    }

    /// At most `messages_max` messages of `stream` on subjects that match `filter`, oldest first.
    pub async fn read_stream(
        &self,
        stream: &str,
        filter: &str,
        from: ReadFrom,
        messages_max: usize,
    ) -> Result<Vec<StoredMessage>, Error> {
        let deliver = match from {
            ReadFrom::Start => DeliverPolicy::All,
            ReadFrom::Sequence(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
            ReadFrom::LastPerSubject => DeliverPolicy::LastPerSubject,
        };
        self.read(stream, filter, deliver, messages_max).await
    }

    pub(crate) async fn read(
        &self,
        stream: &str,
        filter: &str,
        deliver: DeliverPolicy,
        messages_max: usize,
    ) -> Result<Vec<StoredMessage>, Error> {
        tokio::time::timeout(SCAN_TIMEOUT, self.scan(stream, filter, deliver, messages_max))
            .await
            .map_err(|_| Error::unavailable(stream, "reading it took too long"))?
    }

    async fn scan(
        &self,
        stream: &str,
        filter: &str,
        deliver: DeliverPolicy,
        messages_max: usize,
    ) -> Result<Vec<StoredMessage>, Error> {
        let away = |error: &dyn std::fmt::Display| Error::unavailable(stream, error);
        let config = pull::Config {
            deliver_policy: deliver,
            ack_policy: AckPolicy::None,
            filter_subject: filter.to_owned(),
            inactive_threshold: SCAN_FORGOTTEN_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = self
            .jetstream()
            .create_consumer_on_stream(config, stream)
            .await
            .map_err(|error| away(&error))?;
        let found = scan_with(&consumer, messages_max, &away).await;
        // The server would forget it by itself, later: many scans in a row would reach its limit of consumers.
        if let Err(error) = self
            .jetstream()
            .delete_consumer_from_stream(&consumer.cached_info().name, stream)
            .await
        {
            tracing::debug!(%error, stream, "a scan's consumer is left for the server to forget");
        }
        found
    }
}

/// The newest `messages_max` places of a stream that holds `first` to `last`, newest page first.
fn newest_pages(first: u64, last: u64, messages_max: u64) -> impl Iterator<Item = Range<u64>> {
    let end = last + 1;
    let oldest = first.max(end.saturating_sub(messages_max));
    let page_before = move |end: u64| (end > oldest).then(|| end.saturating_sub(PAGE_MAX).max(oldest)..end);
    std::iter::successors(page_before(end), move |page| page_before(page.start))
}

async fn scan_with(
    consumer: &Consumer<pull::Config>,
    messages_max: usize,
    away: &(dyn Fn(&dyn std::fmt::Display) -> Error + Sync),
) -> Result<Vec<StoredMessage>, Error> {
    let mut left = consumer.cached_info().num_pending;
    let mut found = Vec::new();
    while left > 0 && found.len() < messages_max {
        let batch = SCAN_BATCH.min(messages_max - found.len());
        let mut messages = consumer
            .fetch()
            .max_messages(batch)
            .messages()
            .await
            .map_err(|error| away(&error))?;
        let mut empty = true;
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| away(&error))?;
            let place = message.info().map_err(|error| away(&error))?;
            left = place.pending;
            found.push(StoredMessage {
                sequence: place.stream_sequence,
                time: timestamp(place.published.unix_timestamp_nanos()),
                subject: message.subject.to_string(),
                payload: message.payload.clone(),
                headers: message.headers.clone().unwrap_or_default(),
            });
            empty = false;
        }
        if empty {
            break;
        }
    }
    Ok(found)
}

/// JetStream's clock as ours. Out of range only on a server whose clock is centuries off.
pub(crate) fn timestamp(nanoseconds: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
