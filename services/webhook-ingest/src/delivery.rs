//! A delivery: its id, the event made of it, and the decision recorded when it is not passed on.

use axum::http::HeaderMap;
use bitbucket::webhook::WebhookEvent;
use config::Connection;
use jiff::Timestamp;
use pipeline::decision::{Decision, Verdict};
use pipeline::event::{Event, EventBody};
use pipeline::ids::{CommentId, DeliveryId};
use pipeline::message::VERSION;
use uuid::Uuid;

/// Bitbucket's name for a delivery; not signed, so good for looking up only.
const REQUEST_ID: &str = "x-request-id";

/// Longest reason kept in a decision.
const REASON_CHARS_MAX: usize = 300;

/// Bitbucket's request id, or one made up where it is missing, doubled or not of the form that ids have.
pub(crate) fn delivery_id(headers: &HeaderMap) -> DeliveryId {
    let mut all = headers.get_all(REQUEST_ID).iter();
    let only = match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().ok().and_then(|text| DeliveryId::new(text).ok()),
        _ => None,
    };
    only.unwrap_or_else(|| {
        DeliveryId::new(Uuid::new_v4().to_string()).expect("a UUID is hex digits and hyphens")
    })
}

/// The event as it travels.
pub(crate) fn event(webhook: WebhookEvent, connection: &Connection, delivery: DeliveryId) -> Event {
    Event {
        v: VERSION,
        delivery,
        connection: connection.id.clone(),
        instance: connection.instance.clone(),
        received_at: Timestamp::now(),
        repository: webhook.repository,
        actor: webhook.actor,
        pull_request: webhook.pull_request,
        body: webhook.body,
    }
}

/// Why a delivery was not passed on; `about` is what it was about, as far as that is known.
pub(crate) fn decision(
    verdict: Verdict,
    reason: &str,
    connection: &Connection,
    delivery: &DeliveryId,
    about: Option<&WebhookEvent>,
) -> Decision {
    Decision {
        v: VERSION,
        at: Timestamp::now(),
        role: config::Role::WebhookIngest.as_str().to_owned(),
        delivery: delivery.clone(),
        connection: connection.id.clone(),
        instance: connection.instance.clone(),
        repository: about.map(|webhook| webhook.repository.clone()),
        pull_request: about
            .and_then(|webhook| webhook.pull_request.as_ref())
            .map(|pull_request| pull_request.id),
        comment: about.and_then(|webhook| comment_id(&webhook.body)),
        run: None,
        verdict,
        reason: reason.chars().take(REASON_CHARS_MAX).collect(),
    }
}

fn comment_id(body: &EventBody) -> Option<CommentId> {
    match body {
        EventBody::CommentAdded { comment }
        | EventBody::CommentEdited { comment, .. }
        | EventBody::CommentDeleted { comment } => Some(comment.id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn id_of(values: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
        }
        delivery_id(&headers).to_string()
    }

    #[test]
    fn bitbuckets_request_id_is_the_delivery_id() {
        assert_eq!(
            id_of(&[b"f0e2a1c4-7d1b-4b7e-9d0b-4d1f3b9a6c11"]),
            "f0e2a1c4-7d1b-4b7e-9d0b-4d1f3b9a6c11"
        );
        assert_eq!(id_of(&[b"@1ABCx12x34x1"]), "@1ABCx12x34x1");
    }

    #[test]
    fn a_missing_or_odd_request_id_is_replaced() {
        let long = [b'a'; 200];
        let cases: [&[&[u8]]; 7] = [
            &[],
            &[b""],
            &[b"a b"],
            &[b"a\"b"],
            &[b"\xff\xfe"],
            &[&long],
            &[b"one", b"two"],
        ];
        for values in cases {
            let id = id_of(values);
            assert_eq!((id.len(), Uuid::parse_str(&id).is_ok()), (36, true), "{values:?}");
        }
    }
}
