//! Dead letters: what could not be handled, with everything needed to understand it and to send it again.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::message::{Message, VERSION, encode};
use pipeline::subject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::publish::trace_headers;
use crate::{ConsumerSpec, Delivery, Error, Nats};

/// Bytes of the payload that a letter keeps: the letter itself has to stay below the server's limit of 1 MiB
/// also when every byte is escaped.
const PAYLOAD_BYTES_MAX: usize = 128 * 1024;
/// Characters of the cause that a letter keeps.
const CAUSE_CHARS_MAX: usize = 2_000;
/// One letter.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// JetStream stores one message per id: burying twice leaves one letter.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// A message that was given up, in the stream `DEAD`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// Message version.
    pub v: u32,
    /// When it was given up.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The durable consumer that gave it up.
    pub service: String,
    /// Where it was.
    pub stream: String,
    /// Its subject.
    pub subject: String,
    /// Its place in the stream.
    pub sequence: u64,
    /// How often it was delivered.
    pub delivered: u64,
    /// The run that ended with it.
    pub run: Option<RunId>,
    /// What people were told.
    pub code: FailureCode,
    /// For whoever looks: the error, the panic, the parser's words.
    pub cause: String,
    /// Its bytes.
    pub payload: Payload,
    /// How many bytes it had; more than kept where it was too large for a letter.
    pub payload_bytes: usize,
}

impl Message for DeadLetter {
    const NAME: &'static str = "dead-letter";
}

/// Bytes, readable where they are text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "encoding", content = "content", rename_all = "kebab-case")]
pub enum Payload {
    /// As it is.
    Text(String),
    /// Standard base64, with padding.
    Base64(String),
}

impl Payload {
    fn of(bytes: &[u8]) -> Self {
        let kept = &bytes[..bytes.len().min(PAYLOAD_BYTES_MAX)];
        match std::str::from_utf8(kept) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(kept)),
        }
    }

    /// The bytes again.
    pub fn bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Base64(text) => STANDARD.decode(text),
        }
    }
}

/// Publishes the letter of a message that is given up.
pub(crate) async fn bury(
    nats: &Nats,
    spec: &ConsumerSpec,
    delivery: &Delivery,
    payload: &Bytes,
    run: Option<RunId>,
    code: FailureCode,
    cause: &str,
) -> Result<(), Error> {
    let letter = DeadLetter {
        v: VERSION,
        at: Timestamp::now(),
        service: spec.durable.to_owned(),
        stream: spec.stream.to_owned(),
        subject: delivery.subject.clone(),
        sequence: delivery.sequence,
        delivered: delivery.delivered,
        run,
        code,
        cause: cause.chars().take(CAUSE_CHARS_MAX).collect(),
        payload: Payload::of(payload),
        payload_bytes: payload.len(),
    };
    let mut headers = trace_headers();
    headers.insert(
        MESSAGE_ID,
        format!("{}.{}.{}", spec.durable, spec.stream, delivery.sequence),
    );
    let subject = subject::dead(spec.durable);
    nats.write(
        &subject,
        headers,
        Bytes::from(encode(&letter)),
        None,
        PUBLISH_TIMEOUT,
    )
    .await?;
    telemetry::metrics::dead_letters(spec.durable).inc();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_that_of_the_type() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/dead-letter.v1.json");
        let stale = pipeline::schema::keep(path.as_ref(), &schemars::schema_for!(DeadLetter)).unwrap();
        assert!(
            !stale,
            "{path} was rewritten: look at the difference and commit it"
        );
    }
}
