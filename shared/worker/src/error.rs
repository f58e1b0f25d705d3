//! What can go wrong between us and JetStream, by what a caller does about it.

use std::time::Duration;

use async_nats::jetstream::{self, ErrorCode};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::message::DecodeError;

/// Why JetStream did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Away, overloaded or too slow. A publish that ends so may still have landed.
    #[error("NATS is not available: {0}")]
    Unavailable(String),
    /// The subject already holds the one message it may hold: another job has the lane.
    #[error("{subject} is taken")]
    SlotTaken {
        /// The subject.
        subject: String,
    },
    /// The stream takes no more messages.
    #[error("the stream behind {subject} refuses messages: {text}")]
    StoreFull {
        /// The subject.
        subject: String,
        /// The server's words.
        text: String,
    },
    /// More bytes than the server takes in one message.
    #[error("{subject}: the message is larger than the server's limit")]
    TooLarge {
        /// The subject.
        subject: String,
    },
    /// Other writers kept winning for the whole time a change may take.
    #[error("{key} kept changing under our hands")]
    Contended {
        /// The record's key.
        key: String,
    },
    /// No such record.
    #[error("there is no record {key}")]
    NotFound {
        /// The record's key.
        key: String,
    },
    /// A stored value that this build cannot read.
    #[error("{key}: {cause}")]
    Undecodable {
        /// The record's key.
        key: String,
        /// Why.
        cause: DecodeError,
    },
    /// JetStream refused for a reason that waiting does not change.
    #[error("JetStream refused {what}: {text}")]
    Refused {
        /// What was asked.
        what: String,
        /// The server's words.
        text: String,
    },
}

impl Error {
    /// Time-outs, lost connections, missing responders.
    pub(crate) fn unavailable(what: &str, cause: impl std::fmt::Display) -> Self {
        Self::Unavailable(format!("{what}: {cause}"))
    }

    /// The server's own answer to `what`, which for publishes is the subject.
    pub(crate) fn of_server(what: &str, error: &jetstream::Error) -> Self {
        let text = error.to_string();
        match error.error_code() {
            // 10077 covers both a taken slot and a full store (architecture, "Messages and state").
            ErrorCode::STREAM_STORE_FAILED if text.contains("per subject") => {
                Self::SlotTaken { subject: what.into() }
            }
            ErrorCode::STREAM_STORE_FAILED => Self::StoreFull {
                subject: what.into(),
                text,
            },
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => Self::TooLarge { subject: what.into() },
            // 500 and 503: no leader, insufficient resources, shutting down; all pass.
            _ if error.code() >= 500 => Self::Unavailable(format!("{what}: {text}")),
            _ => Self::Refused {
                what: what.into(),
                text,
            },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Unavailable(_)
            | Error::SlotTaken { .. }
            | Error::StoreFull { .. }
            | Error::Contended { .. } => Self::unavailable(FailureCode::Internal, None, error.into()),
            Error::Undecodable {
                cause: DecodeError::UnknownVersion { .. } | DecodeError::UnknownVerb { .. },
                ..
            } => Self::unavailable(FailureCode::Internal, Some(UNKNOWN_VERSION_AFTER), error.into()),
            Error::Undecodable { .. } => Self::abandon(FailureCode::MessageUnreadable, None, error.into()),
            Error::TooLarge { .. } => Self::abandon(FailureCode::Internal, None, error.into()),
            Error::NotFound { .. } | Error::Refused { .. } => {
                Self::retry(FailureCode::Internal, error.into())
            }
        }
    }
}

/// A rolling upgrade takes minutes; a message of the newer version is offered again at this pace.
pub(crate) const UNKNOWN_VERSION_AFTER: Duration = Duration::from_secs(30);
