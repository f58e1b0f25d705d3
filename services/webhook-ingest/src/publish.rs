//! Where deliveries go before they are answered. JetStream today; the trait is the seam for a local spool.

use pipeline::decision::Decision;
use pipeline::event::Event;
use pipeline::subject;
use worker::{Error, IngestPublisher, Nats, Publication};

/// A place that keeps an event safe. `Ok` means it will not be lost.
pub(crate) trait Publish: Send + Sync + 'static {
    /// Stores the event, within the publish budget of 5 s.
    fn publish(&self, event: &Event) -> impl Future<Output = Result<(), NotStored>> + Send;
    /// Records why a delivery was not passed on. Losing one is logged and counted, never an error.
    fn decide(&self, decision: Decision) -> impl Future<Output = ()> + Send;
}

/// Why an event was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStored {
    /// The same delivery may be stored later.
    #[error("{0}")]
    Unavailable(Error),
    /// It never will be: it is larger than the server takes.
    #[error("{0}")]
    TooLarge(Error),
}

/// The stream `EVENTS`.
pub(crate) struct JetStream {
    nats: Nats,
    publisher: IngestPublisher,
}

impl JetStream {
    pub(crate) fn new(nats: Nats) -> Self {
        Self {
            publisher: nats.ingest_publisher(),
            nats,
        }
    }
}

impl Publish for JetStream {
    async fn publish(&self, event: &Event) -> Result<(), NotStored> {
        let publication = Publication::repeatable(subject::event(event), event);
        match self.publisher.publish(publication).await {
            Ok(_) => Ok(()),
            Err(error @ Error::TooLarge { .. }) => Err(NotStored::TooLarge(error)),
            Err(error) => Err(NotStored::Unavailable(error)),
        }
    }

    async fn decide(&self, decision: Decision) {
        self.nats.decide(decision).await;
    }
}
