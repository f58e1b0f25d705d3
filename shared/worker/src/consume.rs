//! Consume: the loop of a service. As many hands as it may have messages, each taking one at a time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::ConsumerErrorKind;
use lifecycle::Shutdown;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::execute::{Executing, Execution};
use crate::pull::{Pull, Pulled};
use crate::{ConsumerSpec, Deliver, Handler, Nats};

/// Pull requests that may wait at the server, of all processes of a role together.
const WAITING_MAX: i64 = 2_048;
/// How old the measured depth of the queue may be.
const DEPTH_INTERVAL: Duration = Duration::from_secs(5);
/// Before the next try to create the consumer while the server is away.
const PAUSE: Duration = Duration::from_millis(500);

/// Feeds the messages of a stream to `handler` until `shutdown`, and settles them.
///
/// Soft shutdown: nothing new is taken, what was not begun is handed back, and this returns when the running
/// handlers are done. Hard shutdown: they are dropped and their messages handed back.
/// Fails when the consumer cannot be what `spec` says, which waiting would not change.
pub async fn consume<H: Handler>(
    nats: Nats,
    spec: ConsumerSpec,
    handler: Arc<H>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let hands = spec.concurrency.max(1);
    let execution = Arc::new(Execution {
        nats,
        spec,
        handler,
        shutdown,
        executing: Executing::default(),
    });
    execution.ensure_consumer().await?;
    let mut running = JoinSet::new();
    for _ in 0..hands {
        running.spawn(take_messages(Arc::clone(&execution)));
    }
    let hands_end = async {
        while let Some(ended) = running.join_next().await {
            ended.context("a hand of the consumer broke")??;
        }
        Ok(())
    };
    tokio::select! {
        ended = hands_end => ended,
        never = execution.measure_queue() => never,
    }
}

async fn take_messages<H: Handler>(execution: Arc<Execution<H>>) -> anyhow::Result<()> {
    let (nats, spec, soft) = (&execution.nats, &execution.spec, &execution.shutdown.soft);
    let mut pull = Pull::new(nats, spec.stream, spec.durable);
    loop {
        match pull.next(soft).await {
            Pulled::Message(message) => execution.execute(*message).await,
            Pulled::ConsumerGone => execution.ensure_consumer().await?,
            Pulled::Stopped => break,
        }
    }
    for message in pull.drain().await {
        // The handler is not begun after a soft shutdown: this hands the message back.
        execution.execute(message).await;
    }
    Ok(())
}

impl<H: Handler> Execution<H> {
    /// Keeps the depth of the queue true, also while all hands are busy and take nothing. Does not end.
    async fn measure_queue(&self) -> anyhow::Result<()> {
        let depth = telemetry::metrics::queue_depth(self.spec.durable);
        let mut ticks = tokio::time::interval(DEPTH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.nats.unsettled(self.spec.stream, self.spec.durable).await {
                Ok(unsettled) => depth.set(i64::try_from(unsettled).unwrap_or(i64::MAX)),
                // The consumer may be about to be made again; whether NATS is there is told by `/readyz`.
                Err(error) => tracing::debug!(%error, consumer = self.spec.durable, "depth unknown"),
            }
        }
    }

    /// Creates the durable consumer, or brings it to what is needed; waits while the server is away.
    async fn ensure_consumer(&self) -> anyhow::Result<()> {
        while !self.shutdown.soft.is_cancelled() {
            let created = self
                .nats
                .jetstream()
                .create_consumer_on_stream(config(&self.spec), self.spec.stream)
                .await;
            let Err(error) = created else { return Ok(()) };
            if let ConsumerErrorKind::JetStream(refused) = error.kind()
                && !passes(&refused)
            {
                anyhow::bail!(
                    "{}: the consumer {} cannot be: {refused}",
                    self.spec.stream,
                    self.spec.durable
                );
            }
            tracing::warn!(%error, consumer = self.spec.durable, "cannot create the consumer yet");
            tokio::select! {
                () = self.shutdown.soft.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        Ok(())
    }
}

/// Whether an error of the server goes away by itself: it is starting, has no leader, or another role is about to
/// create the stream.
fn passes(error: &jetstream::Error) -> bool {
    error.code() >= 500 || error.code() == 404
}

fn config(spec: &ConsumerSpec) -> pull::Config {
    pull::Config {
        durable_name: Some(spec.durable.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: spec.ack_wait,
        // The worker counts: a message at the server's limit would stay, and hold its slot, unseen.
        max_deliver: -1,
        filter_subjects: spec.filters.clone(),
        max_ack_pending: spec.max_ack_pending,
        max_waiting: WAITING_MAX,
        deliver_policy: match spec.deliver {
            Deliver::All => DeliverPolicy::All,
            Deliver::LastPerSubject => DeliverPolicy::LastPerSubject,
        },
        ..pull::Config::default()
    }
}
