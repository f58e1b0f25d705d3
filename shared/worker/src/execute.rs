//! Execute: one message from its bytes to its settlement.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::jetstream;
use async_nats::subject::Subject;
use futures::FutureExt;
use lifecycle::Shutdown;
use pipeline::message::decode;
use tracing::Instrument;

use crate::publish::traceparent;
use crate::read::timestamp;
use crate::records::is_marker;
use crate::settle::{Held, Settlement, hand_back, skip};
use crate::verdict::{Attempt, Ended};
use crate::waits::Why;
use crate::{ConsumerSpec, Delivery, FailedRun, Handler, Nats, waits};

/// Signs of life per `ack_wait`: two may be lost before the message is given to another worker.
const BEATS_PER_ACK_WAIT: u32 = 3;

/// What all hands of one consumer share.
pub(crate) struct Execution<H> {
    pub(crate) nats: Nats,
    pub(crate) spec: ConsumerSpec,
    pub(crate) handler: Arc<H>,
    pub(crate) shutdown: Shutdown,
    pub(crate) executing: Executing,
}

/// What is being worked on in this process, by key.
#[derive(Default)]
pub(crate) struct Executing(Mutex<HashMap<String, Arc<Held>>>);

/// A key in [`Executing`], freed on drop.
struct Claim<'a> {
    executing: &'a Executing,
    key: String,
    held: Arc<Held>,
}

/// An input ready to be worked on.
struct Prepared<I> {
    input: I,
    failed_run: Option<FailedRun>,
    key: String,
}

impl<H: Handler> Execution<H> {
    /// Handles one message and settles it.
    pub(crate) async fn execute(&self, message: async_nats::Message) {
        let message = jetstream::Message {
            message,
            context: self.nats.jetstream().clone(),
        };
        let (Ok(place), Some(reply)) = (message.info(), message.reply.clone()) else {
            tracing::warn!(subject = %message.subject, "not a message of a stream");
            return;
        };
        let sequence = place.stream_sequence;
        if is_marker(message.headers.as_ref()) {
            return skip(&self.nats, &self.spec, sequence, reply).await;
        }
        if self.shutdown.soft.is_cancelled() {
            return hand_back(&self.nats, &self.spec, sequence, reply).await;
        }
        let delivered = u64::try_from(place.delivered).unwrap_or(1);
        let (attempt, waited) = match waits::attempt(&self.nats, &self.spec, sequence, delivered).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, sequence, "cannot tell which attempt this is; the message comes again");
                return;
            }
        };
        let published_at = timestamp(place.published.unix_timestamp_nanos());
        let mut delivery = Delivery::first(message.subject.to_string(), sequence, published_at);
        delivery.delivered = delivered;
        delivery.attempt = attempt.number;
        delivery.waited = waited;
        delivery.traceparent = traceparent(message.headers.as_ref());
        let span = self.span(&delivery);
        telemetry::trace::follow(&span, delivery.traceparent.as_deref());
        self.work(&message, reply, &delivery, attempt)
            .instrument(span)
            .await;
    }

    async fn work(
        &self,
        message: &jetstream::Message,
        reply: Subject,
        delivery: &Delivery,
        attempt: Attempt,
    ) {
        let (prepared, failed_run, key) = match self.prepare(message, delivery) {
            Ok(Prepared {
                input,
                failed_run,
                key,
            }) => (Ok(input), failed_run, key),
            Err(ended) => (Err(ended), None, sequence_key(delivery)),
        };
        let Some(claim) = self.executing.claim(key, delivery.sequence, reply) else {
            tracing::info!("already at it; the newer delivery is adopted");
            if let Err(error) = waits::add(&self.nats, &self.spec, delivery.sequence, Why::Interrupted).await
            {
                tracing::warn!(%error, "the adopted delivery counts as an attempt");
            }
            telemetry::metrics::messages(self.spec.durable, "adopted").inc();
            return;
        };
        let in_flight = telemetry::metrics::in_flight(self.spec.durable);
        in_flight.inc();
        let ended = match prepared {
            Err(ended) => ended,
            Ok(_) if attempt.number > attempt.max => Ended::Lost,
            Ok(input) => {
                let _timer = telemetry::metrics::handler_seconds(self.spec.durable).start_timer();
                self.run(input, delivery, &claim.held).await
            }
        };
        in_flight.dec();
        let settlement = Settlement {
            nats: &self.nats,
            spec: &self.spec,
            delivery,
            attempt,
            held: &claim.held,
            payload: &message.payload,
            failed_run,
        };
        settlement.settle(ended).await;
    }

    /// Decodes the input and asks the handler what it belongs to.
    fn prepare(
        &self,
        message: &jetstream::Message,
        delivery: &Delivery,
    ) -> Result<Prepared<H::Input>, Ended> {
        let input: H::Input = decode(&message.payload).map_err(Ended::Unreadable)?;
        let asked = AssertUnwindSafe(|| (self.handler.run_of(&input), self.handler.key(&input)));
        let (failed_run, key) =
            std::panic::catch_unwind(asked).map_err(|panic| Ended::Panicked(words(&*panic)))?;
        Ok(Prepared {
            failed_run,
            key: key.unwrap_or_else(|| sequence_key(delivery)),
            input,
        })
    }

    /// Runs the handler and publishes its outputs, with signs of life until the deadline.
    async fn run(&self, input: H::Input, delivery: &Delivery, held: &Held) -> Ended {
        let handled = AssertUnwindSafe(async {
            let outputs = self.handler.handle(input, delivery).await?;
            for output in outputs {
                self.nats.publish(output).await?;
            }
            Ok(())
        })
        .catch_unwind();
        tokio::select! {
            biased;
            result = handled => match result {
                Ok(Ok(())) => Ended::Done,
                Ok(Err(failure)) => Ended::Failed(failure),
                Err(panic) => Ended::Panicked(words(&*panic)),
            },
            () = self.shutdown.hard.cancelled() => Ended::ShutDown,
            () = tokio::time::sleep(self.spec.deadline) => Ended::OutOfTime,
            never = self.beat(held) => never,
        }
    }

    /// Signs of life, every third of `ack_wait`, and at once after a lost connection: a server that was away for
    /// longer than `ack_wait` would otherwise give the message to the next worker that asks.
    async fn beat(&self, held: &Held) -> Ended {
        let mut connections = self.nats.connections();
        connections.borrow_and_update();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.spec.ack_wait / BEATS_PER_ACK_WAIT) => {}
                changed = connections.changed() => if changed.is_err() {
                    // The connection is gone for good; so is everyone who could be told.
                    std::future::pending::<()>().await;
                },
            }
            held.progress(&self.nats).await;
        }
    }

    fn span(&self, delivery: &Delivery) -> tracing::Span {
        tracing::info_span!(
            "message",
            otel.name = self.spec.durable,
            nats.consumer = self.spec.durable,
            nats.subject = delivery.subject,
            nats.sequence = delivery.sequence,
            attempt = delivery.attempt,
        )
    }
}

impl Executing {
    /// Takes the key; or, when it is taken, gives the delivery to whoever has it.
    fn claim(&self, key: String, sequence: u64, reply: Subject) -> Option<Claim<'_>> {
        let mut executing = self.lock();
        if let Some(held) = executing.get(&key) {
            held.adopt(sequence, reply);
            return None;
        }
        let held = Arc::new(Held::new(sequence, reply));
        executing.insert(key.clone(), Arc::clone(&held));
        Some(Claim {
            executing: self,
            key,
            held,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Held>>> {
        // Nothing panics between lock and unlock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.executing.lock().remove(&self.key);
    }
}

fn sequence_key(delivery: &Delivery) -> String {
    format!("#{}", delivery.sequence)
}

fn words(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".to_owned())
}
