//! One request: size limit, connection, signature, parse, publish, answer. In this order.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::routing::post;
use bitbucket::webhook::{Parsed, WebhookEvent};
use config::{Connection, ConnectionSource};
use pipeline::decision::Verdict;
use pipeline::ids::{ConnectionId, DeliveryId};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::PATH;
use crate::activity::Ledger;
use crate::answer::Answer;
use crate::body::Room;
use crate::delivery;
use crate::publish::{NotStored, Publish};
use crate::signature::{self, Secrets, VerifiedBody};

/// What every request needs.
pub(crate) struct Ingest<P> {
    connections: Arc<dyn ConnectionSource>,
    publish: P,
    ledger: Ledger,
    room: Room,
}

/// The one route.
pub(crate) fn router<P: Publish>(ingest: Ingest<P>) -> Router {
    Router::new()
        .route(PATH, post(receive::<P>))
        .with_state(Arc::new(ingest))
}

async fn receive<P: Publish>(
    State(ingest): State<Arc<Ingest<P>>>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let delivery = delivery::delivery_id(request.headers());
    let span = tracing::info_span!(
        "delivery",
        delivery.id = %delivery,
        connection.id = Empty,
        event.key = Empty,
        result = Empty,
    );
    // An id that is not even text is as unknown as any other.
    let id = id.ok().and_then(|Path(id)| ConnectionId::new(id).ok());
    let answer = ingest
        .answer(id, delivery, request)
        .instrument(span.clone())
        .await;
    span.record("result", answer.label());
    span.in_scope(|| tracing::debug!("answered"));
    telemetry::metrics::deliveries(answer.label()).inc();
    answer
}

impl<P: Publish> Ingest<P> {
    pub(crate) fn new(
        connections: Arc<dyn ConnectionSource>,
        publish: P,
        ledger: Ledger,
        body_bytes_max: usize,
    ) -> Self {
        Self {
            connections,
            publish,
            ledger,
            room: Room::new(body_bytes_max),
        }
    }

    async fn answer(&self, id: Option<ConnectionId>, delivery: DeliveryId, request: Request) -> Answer {
        let (head, body) = request.into_parts();
        let body = match self.room.read(&head.headers, body).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let connection = id.and_then(|id| self.connections.get(&id));
        // A wrong URL must not pass "Test connection", so an unknown connection's ping is refused like everything else.
        if body.is_ping() && connection.is_some() {
            return Answer::Ping;
        }
        let Ok(secrets) = self.secrets(connection.as_deref()) else {
            return Answer::Unavailable;
        };
        let verified = signature::verify(body, &head.headers, &secrets);
        let Some(connection) = connection else {
            return Answer::Refused;
        };
        Span::current().record("connection.id", connection.id.as_str());
        if let Ok(body) = verified {
            self.verified(&connection, delivery, body).await
        } else {
            self.ledger.refused(&connection.id);
            Answer::Refused
        }
    }

    /// The connection's secrets, or those of nobody; in any case as much work as the connection with most of them.
    fn secrets(&self, connection: Option<&Connection>) -> Result<Secrets, config::SecretError> {
        let rounds = self
            .connections
            .all()
            .iter()
            .map(|other| other.webhook_secret_files.len())
            .max();
        let secrets = match connection {
            Some(connection) => self.connections.webhook_secrets(&connection.id).inspect_err(|error| {
                tracing::error!(connection.id = %connection.id, error = %error, "a delivery cannot be verified");
            })?,
            None => Vec::new(),
        };
        Ok(Secrets::new(secrets, rounds.unwrap_or(0)))
    }

    async fn verified(&self, connection: &Connection, delivery: DeliveryId, body: VerifiedBody) -> Answer {
        match body.parse() {
            Ok(Parsed::Event(webhook)) => self.event(connection, delivery, *webhook).await,
            Ok(Parsed::Ignored { event_key, reason }) => {
                Span::current().record("event.key", event_key.as_str());
                self.ledger.accepted(&connection.id, &event_key);
                let reason = if event_key.is_empty() {
                    reason
                } else {
                    format!("{event_key}: {reason}")
                };
                self.not_passed_on(Verdict::Ignored, &reason, connection, &delivery, None)
                    .await;
                Answer::Ignored
            }
            Err(error) => {
                let reason = error.to_string();
                self.not_passed_on(Verdict::Failed, &reason, connection, &delivery, None)
                    .await;
                Answer::Malformed
            }
        }
    }

    async fn event(&self, connection: &Connection, delivery: DeliveryId, webhook: WebhookEvent) -> Answer {
        Span::current().record("event.key", webhook.event_key.as_str());
        self.ledger.accepted(&connection.id, &webhook.event_key);
        let repository = &webhook.repository;
        if !connection
            .repositories
            .covers(&repository.project, &repository.slug)
        {
            let reason = format!(
                "{}/{} is not among the connection's repositories: {}",
                repository.project, repository.slug, connection.repositories
            );
            self.not_passed_on(Verdict::Ignored, &reason, connection, &delivery, Some(&webhook))
                .await;
            return Answer::Ignored;
        }
        let event = delivery::event(webhook, connection, delivery);
        match self.publish.publish(&event).await {
            Ok(()) => Answer::Accepted,
            Err(error @ NotStored::Unavailable(_)) => {
                tracing::error!(error = %error, "a delivery was not stored");
                Answer::Unavailable
            }
            Err(error @ NotStored::TooLarge(_)) => {
                tracing::error!(error = %error, "a delivery cannot be stored");
                Answer::TooLarge
            }
        }
    }

    async fn not_passed_on(
        &self,
        verdict: Verdict,
        reason: &str,
        connection: &Connection,
        delivery: &DeliveryId,
        about: Option<&WebhookEvent>,
    ) {
        tracing::debug!(reason, "not passed on");
        self.publish
            .decide(delivery::decision(verdict, reason, connection, delivery, about))
            .await;
    }
}
