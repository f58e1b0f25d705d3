//! The baseline: async-nats as its documentation shows it. Publish, wait for the acknowledgement, publish the next.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;

use crate::ingest::load::Client;

/// A JetStream call that takes longer has failed.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Clients start at different messages.
const STRIDE: usize = 7;

/// The stream that ingest writes to.
pub(crate) struct Events {
    jetstream: Context,
}

/// A message as ingest stored it.
pub(crate) struct Stored {
    subject: String,
    /// Its bytes.
    pub(crate) payload: Bytes,
}

impl Events {
    /// Connects to the server, on a connection of its own.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let client = async_nats::connect(url).await?;
        Ok(Self {
            jetstream: jetstream::ContextBuilder::new().timeout(CALL_MAX).build(client),
        })
    }

    /// The first `count` messages.
    pub(crate) async fn stored(&self, count: usize) -> Result<Arc<Vec<Stored>>> {
        let stream = self.jetstream.get_stream(pipeline::subject::EVENTS).await?;
        let mut stored = Vec::new();
        for sequence in 1..=count as u64 {
            let message = stream
                .get_raw_message(sequence)
                .await
                .with_context(|| format!("message {sequence}"))?;
            stored.push(Stored {
                subject: message.subject.to_string(),
                payload: message.payload,
            });
        }
        Ok(Arc::new(stored))
    }

    /// Empties the stream.
    pub(crate) async fn purge(&self) -> Result<()> {
        self.jetstream
            .get_stream(pipeline::subject::EVENTS)
            .await?
            .purge()
            .await?;
        Ok(())
    }
}

/// One task of the raw loop. All share one connection to the server, as ingest's deliveries do.
pub(crate) struct RawPublisher {
    jetstream: Context,
    messages: Arc<Vec<Stored>>,
    next: usize,
}

impl RawPublisher {
    /// One that publishes `messages` again and again, beginning at another one than other numbers.
    pub(crate) fn new(events: &Events, messages: &Arc<Vec<Stored>>, number: usize) -> Self {
        Self {
            jetstream: events.jetstream.clone(),
            messages: messages.clone(),
            next: number * STRIDE,
        }
    }
}

impl Client for RawPublisher {
    async fn once(&mut self) -> Result<()> {
        let message = &self.messages[self.next % self.messages.len()];
        self.next += 1;
        let published = self
            .jetstream
            .publish(message.subject.clone(), message.payload.clone())
            .await?;
        published.await?;
        Ok(())
    }
}
