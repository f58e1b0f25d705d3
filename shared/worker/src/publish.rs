//! Publish: one message, one acknowledgement.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::client::RequestErrorKind;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use pipeline::decision::{Decision, Verdict};
use pipeline::message::{Message, encode};
use pipeline::subject;

use crate::{Error, Nats};

/// How long a publish may wait for its acknowledgement: a leader election takes less (reliability-security.md 0, 3).
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// A decision is told, not awaited for long: it must not hold up the work it reports on.
const DECISION_TIMEOUT: Duration = Duration::from_secs(2);

const EXPECTED_LAST_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
const TRACEPARENT: &str = "traceparent";

/// A message to be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Where to.
    pub subject: String,
    /// The encoded message.
    pub payload: Vec<u8>,
    /// Only if the subject holds no message yet; then [`Published::Exists`] is success. Without meaning in `JOBS`,
    /// whose subjects are slots: there a taken one is [`Error::SlotTaken`].
    pub unique: bool,
}

impl Publication {
    /// `message` on `subject`, once.
    pub fn message<M: Message>(subject: String, message: &M) -> Self {
        Self {
            subject,
            payload: encode(message),
            unique: true,
        }
    }

    /// `message` on `subject`, as often as it is published: for streams that promise no uniqueness.
    pub fn repeatable<M: Message>(subject: String, message: &M) -> Self {
        Self {
            unique: false,
            ..Self::message(subject, message)
        }
    }
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Stored.
    New {
        /// Its place in the stream.
        sequence: u64,
    },
    /// The subject held a message already.
    Exists,
}

/// How a conditional publish ended.
pub(crate) enum Written {
    Stored(PublishAck),
    WrongLastSequence,
}

impl Nats {
    /// Publishes and waits for the acknowledgement, at most 5 s.
    pub async fn publish(&self, publication: Publication) -> Result<Published, Error> {
        // A taken slot holds another job as a rule; "exists" would be taken for success and lose this one.
        let is_slot = publication
            .subject
            .starts_with(subject::JOBS_ALL.trim_end_matches('>'));
        let expected = (publication.unique && !is_slot).then_some(0);
        let payload = Bytes::from(publication.payload);
        match self
            .write(
                &publication.subject,
                trace_headers(),
                payload,
                expected,
                PUBLISH_TIMEOUT,
            )
            .await?
        {
            Written::Stored(ack) => Ok(Published::New {
                sequence: ack.sequence,
            }),
            Written::WrongLastSequence => Ok(Published::Exists),
        }
    }

    /// Records a decision. Failing to is logged and counted, never fatal: the decision itself stands.
    pub async fn decide(&self, decision: Decision) {
        telemetry::metrics::decisions(&decision.role, verdict_label(decision.verdict)).inc();
        let subject = subject::decision(&decision);
        let payload = Bytes::from(encode(&decision));
        if let Err(error) = self
            .write(&subject, trace_headers(), payload, None, DECISION_TIMEOUT)
            .await
        {
            telemetry::metrics::decisions_lost().inc();
            tracing::warn!(%error, delivery.id = %decision.delivery, "a decision was not recorded");
        }
    }

    /// One publish request. `expected` is the sequence the subject's last message must have, 0 for none.
    pub(crate) async fn write(
        &self,
        subject: &str,
        mut headers: HeaderMap,
        payload: Bytes,
        expected: Option<u64>,
        timeout: Duration,
    ) -> Result<Written, Error> {
        if let Some(sequence) = expected {
            headers.insert(EXPECTED_LAST_SUBJECT_SEQUENCE, sequence.to_string());
        }
        let request = async_nats::Request::new()
            .headers(headers)
            .payload(payload)
            .timeout(Some(timeout));
        let answer = self.client().send_request(subject.to_owned(), request);
        // The outer limit also covers a client whose command queue is full while it has no connection.
        let answer = tokio::time::timeout(timeout, answer)
            .await
            .map_err(|_| Error::unavailable(subject, "no acknowledgement in time"))?
            .map_err(|error| match error.kind() {
                RequestErrorKind::MaxPayloadExceeded => Error::TooLarge {
                    subject: subject.to_owned(),
                },
                RequestErrorKind::InvalidSubject => Error::Refused {
                    what: subject.to_owned(),
                    text: error.to_string(),
                },
                _ => Error::unavailable(subject, error),
            })?;
        acknowledged(subject, &answer.payload)
    }
}

fn acknowledged(subject: &str, payload: &[u8]) -> Result<Written, Error> {
    let answer: Response<PublishAck> =
        serde_json::from_slice(payload).map_err(|error| Error::unavailable(subject, error))?;
    match answer {
        Response::Ok(ack) => Ok(Written::Stored(ack)),
        Response::Err { error } if is_wrong_last_sequence(&error) => Ok(Written::WrongLastSequence),
        Response::Err { error } => Err(Error::of_server(subject, &error)),
    }
}

/// 10071, and 10164 in a cluster where the sequence is not yet known, both mean that the subject has moved on.
fn is_wrong_last_sequence(error: &jetstream::Error) -> bool {
    matches!(
        error.error_code(),
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT
    )
}

fn verdict_label(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ignored => "ignored",
        Verdict::Duplicate => "duplicate",
        Verdict::Accepted => "accepted",
        Verdict::Queued => "queued",
        Verdict::Amended => "amended",
        Verdict::Cancelled => "cancelled",
        Verdict::Refused => "refused",
        Verdict::Failed => "failed",
    }
}

/// Headers that carry the current span's trace to whoever consumes the message.
pub(crate) fn trace_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(traceparent) = telemetry::trace::current_traceparent() {
        headers.insert(TRACEPARENT, traceparent);
    }
    headers
}

/// The trace a message carries.
pub(crate) fn traceparent(headers: Option<&HeaderMap>) -> Option<String> {
    headers?.get(TRACEPARENT).map(|value| value.as_str().to_owned())
}
