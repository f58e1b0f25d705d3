//! Webhooks as they come over the wire, in the old, the new and the mixed flavour.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use bitbucket::webhook::{Parsed, WebhookEvent, parse};
use bitbucket_sim::Payloads;
use http::Method;
use pipeline::event::EventBody;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::world::{World, demo};

/// A delivery is a local request; longer means that it does not come.
const DELIVERY_WAIT: Duration = Duration::from_secs(10);

/// Subscribes to all events that the pipeline uses; bodies come out.
async fn subscribe(world: &World) -> UnboundedReceiver<Vec<u8>> {
    let (sender, receiver) = unbounded_channel();
    let sender = Arc::new(Mutex::new(sender));
    let app = Router::new().fallback(async move |body: axum::body::Bytes| {
        sender.lock().unwrap().send(body.to_vec()).unwrap();
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let events = [
        "pr:comment:added",
        "pr:comment:edited",
        "pr:comment:deleted",
        "pr:modified",
        "pr:declined",
    ];
    let webhook = json!({"name": "resolver", "url": url, "active": true, "events": events,
        "configuration": {"secret": "s"}});
    world.rest("root-t", Method::POST, "webhooks", &webhook).await;
    receiver
}

async fn next(bodies: &mut UnboundedReceiver<Vec<u8>>) -> WebhookEvent {
    let body = tokio::time::timeout(DELIVERY_WAIT, bodies.recv())
        .await
        .expect("a delivery")
        .unwrap();
    match parse(&body).unwrap() {
        Parsed::Event(event) => *event,
        ignored @ Parsed::Ignored { .. } => panic!("{ignored:?}"),
    }
}

#[tokio::test]
async fn what_people_do_comes_as_events_in_every_flavour() {
    for payloads in [Payloads::V9, Payloads::V10, Payloads::Mixed] {
        let world = World::with_payloads(payloads).await;
        let mut bodies = subscribe(&world).await;
        let root = world.comments("alice-t", json!({"text": "@openhands fix"})).await;
        let added = next(&mut bodies).await;
        assert_eq!(added.repository, demo());
        assert_eq!(
            added.actor.as_ref().map(|actor| actor.name.as_str()),
            Some("alice")
        );
        let EventBody::CommentAdded { comment } = &added.body else {
            panic!("{added:?}")
        };
        assert_eq!((comment.id.0, comment.parent), (root, None));
        assert!(
            comment.created_at.is_some() && comment.updated_at.is_some(),
            "{payloads:?} {comment:?}"
        );

        world
            .comments("alice2-t", json!({"text": "+1", "parent": {"id": root}}))
            .await;
        let EventBody::CommentAdded { comment } = next(&mut bodies).await.body else {
            panic!("not added")
        };
        assert_eq!(comment.parent.map(|parent| parent.0), Some(root));

        let path = format!("pull-requests/1/comments/{root}");
        let edit = json!({"text": "@openhands stop", "version": 0});
        world.rest("alice-t", Method::PUT, &path, &edit).await;
        let EventBody::CommentEdited {
            comment,
            previous_text,
        } = next(&mut bodies).await.body
        else {
            panic!("not edited")
        };
        assert_eq!((comment.version, comment.text.as_str()), (1, "@openhands stop"));
        assert_eq!(previous_text.as_deref(), Some("@openhands fix"));

        let version = added.pull_request.unwrap().version;
        let decline = format!("pull-requests/1/decline?version={version}");
        world.rest("alice-t", Method::POST, &decline, &Value::Null).await;
        let declined = next(&mut bodies).await;
        assert_eq!(declined.body, EventBody::PullRequestDeclined);
        assert_eq!(declined.pull_request.unwrap().state, "DECLINED");
    }
}
