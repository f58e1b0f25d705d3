//! Pull: one message at a time from a durable consumer, asked for only when there is a hand free to take it.
//!
//! The client's own message stream asks again by itself while its user is busy; the message it then gets waits
//! unseen in a buffer until its `ack_wait` is over. Here a request goes out only in [`Pull::next`].

use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::nats::API_TIMEOUT;
use crate::{Error, Nats};

/// How long the server holds a request that it has no message for.
const EXPIRES: Duration = Duration::from_mins(1);
/// How often it says that it still holds it.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Silence after which the request counts as lost: two heartbeats and some.
const SILENCE_MAX: Duration = Duration::from_secs(11);
/// Before asking again after an answer that was neither a message nor the end of the request.
const PAUSE: Duration = Duration::from_millis(250);
/// How long messages already on the wire are waited for when pulling ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// One hand that takes messages.
pub(crate) struct Pull {
    nats: Nats,
    subject: String,
    connections: watch::Receiver<u64>,
    inbox: Option<Inbox>,
}

struct Inbox {
    name: String,
    subscriber: Subscriber,
    /// Whether the server holds a request of ours.
    asked: bool,
}

/// What came of waiting.
pub(crate) enum Pulled {
    /// A message; it is ours until `ack_wait` is over.
    Message(Box<Message>),
    /// The consumer does not exist any more.
    ConsumerGone,
    /// Told to stop.
    Stopped,
}

/// What an answer means for the request it answers.
enum Answer {
    Message,
    StillHeld,
    Over,
    ConsumerGone,
    Refused(String),
}

impl Inbox {
    /// The message that has come and was not read yet. There is one at most: a request is for one.
    fn unread(mut self) -> Option<Message> {
        while let Some(Some(message)) = self.subscriber.next().now_or_never() {
            if matches!(meaning(&message), Answer::Message) {
                return Some(message);
            }
        }
        None
    }
}

impl Pull {
    pub(crate) fn new(nats: &Nats, stream: &str, durable: &str) -> Self {
        let mut connections = nats.connections();
        connections.borrow_and_update();
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}");
        Self {
            nats: nats.clone(),
            subject,
            connections,
            inbox: None,
        }
    }

    /// The next message, however long it takes; requests lost with a connection are made again.
    pub(crate) async fn next(&mut self, stop: &CancellationToken) -> Pulled {
        loop {
            if stop.is_cancelled() {
                return Pulled::Stopped;
            }
            if let Err(error) = self.ask().await {
                tracing::warn!(%error, "cannot ask for messages");
                self.give_up_request(stop).await;
                continue;
            }
            let Some(inbox) = &mut self.inbox else { continue };
            let answer = tokio::select! {
                biased;
                () = stop.cancelled() => return Pulled::Stopped,
                changed = self.connections.changed() => {
                    // The request is lost with its connection; a message that came before is not.
                    let unread = self.inbox.take().and_then(Inbox::unread);
                    if let Some(message) = unread {
                        return Pulled::Message(Box::new(message));
                    }
                    if changed.is_err() {
                        // The connection is closed for good; asking again says so, at a bearable pace.
                        self.give_up_request(stop).await;
                    }
                    continue;
                }
                answer = tokio::time::timeout(SILENCE_MAX, inbox.subscriber.next()) => answer,
            };
            let Ok(Some(message)) = answer else {
                tracing::warn!(
                    subject = self.subject,
                    "no sign of life from the server, asking again"
                );
                self.give_up_request(stop).await;
                continue;
            };
            match meaning(&message) {
                Answer::Message => {
                    inbox.asked = false;
                    return Pulled::Message(Box::new(message));
                }
                Answer::StillHeld => {}
                Answer::Over => inbox.asked = false,
                Answer::ConsumerGone => {
                    self.give_up_request(stop).await;
                    return Pulled::ConsumerGone;
                }
                Answer::Refused(why) => {
                    tracing::debug!(subject = self.subject, why, "the server ended the request");
                    self.give_up_request(stop).await;
                }
            }
        }
    }

    /// Ends pulling and returns what was already on the wire.
    pub(crate) async fn drain(mut self) -> Vec<Message> {
        let mut left = Vec::new();
        let Some(inbox) = &mut self.inbox else { return left };
        let collect = async {
            if inbox.subscriber.drain().await.is_ok() {
                while let Some(message) = inbox.subscriber.next().await {
                    if matches!(meaning(&message), Answer::Message) {
                        left.push(message);
                    }
                }
            }
        };
        if tokio::time::timeout(DRAIN_TIMEOUT, collect).await.is_err() {
            tracing::debug!(subject = self.subject, "no connection to drain");
        }
        left
    }

    /// Makes sure that the server holds a request of ours.
    async fn ask(&mut self) -> Result<(), Error> {
        let client = self.nats.client();
        let asking = async {
            let inbox = match &mut self.inbox {
                Some(inbox) => inbox,
                none => {
                    let name = client.new_inbox();
                    let subscriber = client
                        .subscribe(name.clone())
                        .await
                        .map_err(|e| Error::unavailable("subscribe", e))?;
                    none.insert(Inbox {
                        name,
                        subscriber,
                        asked: false,
                    })
                }
            };
            if !inbox.asked {
                client
                    .publish_with_reply(self.subject.clone(), inbox.name.clone(), request())
                    .await
                    .map_err(|e| Error::unavailable("pull", e))?;
                inbox.asked = true;
            }
            Ok(())
        };
        tokio::time::timeout(API_TIMEOUT, asking)
            .await
            .map_err(|_| Error::unavailable("pull", "the connection takes nothing"))?
    }

    /// Drops the inbox, and with it whatever the server still holds for it: never two requests at once.
    async fn give_up_request(&mut self, stop: &CancellationToken) {
        self.inbox = None;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn request() -> Bytes {
    let request = json!({
        "batch": 1,
        "expires": u64::try_from(EXPIRES.as_nanos()).unwrap_or(u64::MAX),
        "idle_heartbeat": u64::try_from(HEARTBEAT.as_nanos()).unwrap_or(u64::MAX),
    });
    Bytes::from(request.to_string())
}

fn meaning(message: &Message) -> Answer {
    let text = || {
        message
            .description
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    match message.status {
        None | Some(StatusCode::OK) => Answer::Message,
        Some(StatusCode::IDLE_HEARTBEAT) => Answer::StillHeld,
        Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => Answer::Over,
        Some(StatusCode::REQUEST_TERMINATED) => match text() {
            text if text.eq_ignore_ascii_case("Consumer Deleted") => Answer::ConsumerGone,
            text if text.eq_ignore_ascii_case("Batch Completed") => Answer::Over,
            text => Answer::Refused(text),
        },
        // 503: nobody answers for this consumer. It is gone, or the server is still starting; asking tells.
        Some(StatusCode::NO_RESPONDERS) => Answer::ConsumerGone,
        Some(status) => Answer::Refused(format!("{status} {}", text())),
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::consumer::{PullConsumer, pull};
    use pipeline::subject;
    use tempfile::TempDir;

    use super::*;
    use crate::Publication;
    use crate::managed::ManagedServer;

    const DURABLE: &str = "test";
    const PATIENCE: Duration = Duration::from_secs(20);
    const LOOK_INTERVAL: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_message_that_came_before_a_lost_connection_is_read() {
        let directory = TempDir::new().unwrap();
        let server = ManagedServer::start(directory.path(), None, CancellationToken::new())
            .await
            .unwrap();
        let nats = Nats::connect(&server.settings(&config::Nats::default()), "test")
            .await
            .unwrap();
        nats.ensure().await.unwrap();
        let consumer: PullConsumer = nats
            .jetstream()
            .create_consumer_on_stream(
                pull::Config {
                    durable_name: Some(DURABLE.to_owned()),
                    ..pull::Config::default()
                },
                subject::DEAD,
            )
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let mut pull = Pull::new(&nats, subject::DEAD, DURABLE);
        // Asks, and then is not looked at any more.
        pull.ask().await.unwrap();
        let letter = Publication {
            subject: subject::dead(DURABLE),
            payload: b"x".to_vec(),
            unique: false,
        };
        nats.publish(letter).await.unwrap();
        let delivered = async {
            while consumer.get_info().await.unwrap().num_ack_pending == 0 {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::time::timeout(PATIENCE, delivered).await.unwrap();
        let mut connections = nats.connections();
        connections.borrow_and_update();
        nats.client().force_reconnect().await.unwrap();
        tokio::time::timeout(PATIENCE, connections.changed())
            .await
            .unwrap()
            .unwrap();
        let pulled = tokio::time::timeout(PATIENCE, pull.next(&stop)).await.unwrap();
        let Pulled::Message(message) = pulled else {
            panic!("the message was dropped");
        };
        assert_eq!(message.payload, Bytes::from_static(b"x"));
    }
}
