#![doc = include_str!("../README.md")]

mod artifacts;
mod consume;
mod dead;
mod drift;
mod error;
mod execute;
mod handler;
mod ingest_publisher;
pub mod managed;
mod nats;
mod publish;
mod pull;
mod read;
mod records;
mod settle;
mod streams;
mod verdict;
mod waits;

pub use artifacts::{ARTIFACT_BYTES_MAX, Artifacts};
pub use consume::consume;
pub use dead::{DeadLetter, Payload};
pub use drift::Drift;
pub use error::Error;
pub use handler::{ConsumerSpec, Deliver, Delivery, FailedRun, Handler};
pub use ingest_publisher::IngestPublisher;
pub use nats::Nats;
pub use publish::{Publication, Published};
pub use read::{ReadFrom, StoredMessage};
pub use records::{Created, LIST_MAX, Records};
pub use verdict::{Attempt, Ended, Verdict, verdict};
