//! The delivery queue: three io threads, at most 250 in flight, no retry (bitbucket-dc.md 2.6).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::flavour;
use super::record::{Invocation, Invocations};
use super::send::{Outgoing, Sender, Sent};
use crate::Payloads;
use crate::app::App;
use crate::control::requests::Numbered;
use crate::json::{Json, object};
use crate::state::ids::WebhookId;
use crate::state::webhook::Webhook;

/// `plugin.webhooks.io.threads`
const IO_THREADS: usize = 3;
/// `plugin.webhooks.dispatch.inflight.max`: beyond it events are skipped.
const IN_FLIGHT_MAX: usize = 250;
/// With `reverse` and without `hold`: deliveries this close together change their order.
const REVERSE_WINDOW: Duration = Duration::from_millis(50);

/// What happens to deliveries on their way (`PUT /sim/v1/delivery-mode`).
#[expect(clippy::struct_excessive_bools, reason = "a document's independent switches")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DeliveryMode {
    /// Each goes out twice, with two request ids.
    pub(crate) duplicate: bool,
    /// They wait until released.
    pub(crate) hold: bool,
    /// Later ones go first.
    pub(crate) reverse: bool,
    /// They never go out.
    pub(crate) drop: bool,
}

/// A delivery on its way.
#[derive(Clone, Debug)]
struct Delivery {
    webhook: WebhookId,
    scope: (&'static str, String),
    outgoing: Outgoing,
}

/// All deliveries of the instance.
pub(crate) struct Deliveries {
    /// What was delivered or skipped.
    pub(crate) log: Numbered,
    /// For `/latest` and `/statistics`.
    pub(crate) invocations: Invocations,
    sender: Sender,
    payloads: Payloads,
    count: AtomicU64,
    mode: Mutex<DeliveryMode>,
    waiting: Mutex<Vec<Delivery>>,
    breakers: Mutex<HashMap<WebhookId, Breaker>>,
    queue: mpsc::Sender<Vec<Delivery>>,
    unstarted: Mutex<Option<mpsc::Receiver<Vec<Delivery>>>>,
}

impl Deliveries {
    /// An empty queue.
    pub(crate) fn new(payloads: Payloads) -> anyhow::Result<Deliveries> {
        let (queue, receiver) = mpsc::channel(IN_FLIGHT_MAX);
        Ok(Deliveries {
            log: Numbered::default(),
            invocations: Invocations::default(),
            sender: Sender::new()?,
            payloads,
            count: AtomicU64::new(0),
            mode: Mutex::default(),
            waiting: Mutex::default(),
            breakers: Mutex::default(),
            queue,
            unstarted: Mutex::new(Some(receiver)),
        })
    }

    /// Starts the io threads.
    pub(crate) fn start(&self, app: &App, stop: &CancellationToken) {
        let Some(receiver) = lock(&self.unstarted).take() else {
            return;
        };
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        for _ in 0..IO_THREADS {
            let (app, receiver) = (app.clone(), Arc::clone(&receiver));
            let worker = async move {
                loop {
                    let batch = receiver.lock().await.recv().await;
                    let Some(batch) = batch else { break };
                    for delivery in batch {
                        app.deliveries().deliver(&app, delivery).await;
                    }
                }
            };
            tokio::spawn(stop.clone().run_until_cancelled_owned(worker));
        }
    }

    /// Sends an event to these hooks, as the mode says.
    pub(crate) fn emit(
        &self,
        app: &App,
        hooks: &[&Webhook],
        scope: (&'static str, String),
        key: &str,
        payload: &Json,
    ) {
        let mode = *lock(&self.mode);
        for hook in hooks {
            for _ in 0..=u8::from(mode.duplicate) {
                let nth = self.count.fetch_add(1, Ordering::Relaxed);
                let outgoing = Outgoing {
                    url: hook.url.clone(),
                    event_key: key.to_owned(),
                    body: flavour::text(payload, self.payloads, nth),
                    secret: hook.secret.clone(),
                    credentials: hook.credentials.clone(),
                    verify_tls: hook.ssl_verification_required,
                };
                self.dispatch(
                    app,
                    mode,
                    Delivery {
                        webhook: hook.id,
                        scope: scope.clone(),
                        outgoing,
                    },
                );
            }
        }
    }

    fn dispatch(&self, app: &App, mode: DeliveryMode, delivery: Delivery) {
        if mode.drop {
            self.skip(app, &delivery, "dropped by the delivery mode");
        } else if mode.hold {
            lock(&self.waiting).push(delivery);
        } else if mode.reverse {
            let first = {
                let mut waiting = lock(&self.waiting);
                waiting.push(delivery);
                waiting.len() == 1
            };
            if first {
                let app = app.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(REVERSE_WINDOW).await;
                    app.deliveries().release(&app);
                });
            }
        } else {
            self.enqueue(app, vec![delivery]);
        }
    }

    /// Sends what waits, last first if the mode says `reverse`; returns how many.
    pub(crate) fn release(&self, app: &App) -> usize {
        let mut batch = std::mem::take(&mut *lock(&self.waiting));
        if lock(&self.mode).reverse {
            batch.reverse();
        }
        let count = batch.len();
        if count > 0 {
            // One batch goes through one io thread, so that its order is kept.
            self.enqueue(app, batch);
        }
        count
    }

    fn enqueue(&self, app: &App, batch: Vec<Delivery>) {
        if let Err(refused) = self.queue.try_send(batch) {
            for delivery in refused.into_inner() {
                self.skip(app, &delivery, "too many requests in flight");
            }
        }
    }

    fn skip(&self, app: &App, delivery: &Delivery, reason: &str) {
        self.log.add(object! {
            "time": app.now(),
            "webhook": delivery.webhook,
            "event_key": &delivery.outgoing.event_key,
            "url": &delivery.outgoing.url,
            "skipped": reason,
            "body": &delivery.outgoing.body,
        });
    }

    async fn deliver(&self, app: &App, delivery: Delivery) {
        let now = app.clock().now();
        if lock(&self.breakers)
            .get(&delivery.webhook)
            .is_some_and(|breaker| breaker.skips(now))
        {
            self.skip(app, &delivery, "the webhook is unhealthy");
            return;
        }
        let (start, started) = (app.now(), Instant::now());
        let sent = self.sender.send(&delivery.outgoing).await;
        let success = sent.outcome() == "SUCCESS";
        lock(&self.breakers)
            .entry(delivery.webhook)
            .or_default()
            .note(success, app.clock().now());
        self.invocations
            .add(delivery.webhook, invocation(&delivery, &sent, start, app.now()));
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.log.add(entry(
            &delivery.outgoing,
            Some(delivery.webhook),
            &sent,
            start,
            took,
        ));
    }

    /// Sends the unsigned ping of "Test connection" and returns request and response.
    pub(crate) async fn ping(&self, app: &App, outgoing: Outgoing) -> (Sent, Json) {
        let (start, started) = (app.now(), Instant::now());
        let sent = self.sender.send(&outgoing).await;
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let logged = entry(&outgoing, None, &sent, start, took);
        self.log.add(logged.clone());
        (sent, logged)
    }

    /// The mode in force, and how many wait.
    pub(crate) fn mode(&self) -> (DeliveryMode, usize) {
        (*lock(&self.mode), lock(&self.waiting).len())
    }

    /// Changes the mode; what waits goes on waiting until released.
    pub(crate) fn set_mode(&self, mode: DeliveryMode) {
        *lock(&self.mode) = mode;
    }

    /// Forgets modes, waiting deliveries, breakers and logs.
    pub(crate) fn reset(&self) {
        *lock(&self.mode) = DeliveryMode::default();
        lock(&self.waiting).clear();
        lock(&self.breakers).clear();
        self.invocations.clear();
        self.log.clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn entry(outgoing: &Outgoing, webhook: Option<WebhookId>, sent: &Sent, time: i64, took: u64) -> Json {
    object! {
        "time": time,
        "webhook": webhook,
        "event_key": &outgoing.event_key,
        "url": &outgoing.url,
        "headers": sent.headers_json(),
        "body": &outgoing.body,
        "answer": sent.answer(),
        "outcome": sent.outcome(),
        "duration_us": took,
    }
}

fn invocation(delivery: &Delivery, sent: &Sent, start: i64, finish: i64) -> Invocation {
    let description = match &sent.result {
        Ok(received) => received.status.to_string(),
        Err(error) => error.clone(),
    };
    Invocation {
        id: u64::try_from(start).unwrap_or_default(),
        event: delivery.outgoing.event_key.clone(),
        scope: delivery.scope.clone(),
        start,
        finish,
        request: object! { "method": "POST", "url": &delivery.outgoing.url },
        outcome: sent.outcome(),
        description,
        answer: sent.result.is_ok().then(|| sent.answer()),
    }
}
