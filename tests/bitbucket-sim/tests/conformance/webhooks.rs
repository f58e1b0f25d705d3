//! Items 5 to 7: webhooks, their signatures, tests and failures.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::scene::{BOT, JANE, ROOT, Receiver, Scene};
use crate::shape::assert_like;

const COMMENTS: [&str; 3] = ["pr:comment:added", "pr:comment:edited", "pr:comment:deleted"];

#[tokio::test]
async fn deliveries_are_signed_and_named_and_recorded() {
    let scene = Scene::start().await;
    let receiver = Receiver::start().await;
    let hook = scene.webhook(&receiver, &COMMENTS).await;
    let listed = scene
        .repo(ROOT, "GET", &format!("/webhooks/{}", hook["id"]), None)
        .await
        .is(200);
    assert_like(include_str!("../../fixtures/rest_webhook.json"), &listed.text);
    scene.comment(JANE, json!({"text": "hi"})).await;
    let delivery = receiver.next().await;
    assert_eq!(delivery.header("x-event-key"), "pr:comment:added");
    assert_eq!(delivery.header("content-type"), "application/json; charset=utf-8");
    assert!(delivery.header("user-agent").starts_with("Atlassian HttpClient"));
    let signature = delivery.header("x-hub-signature").to_owned();
    assert!(
        signature.starts_with("sha256=") && signature.len() == 71,
        "{signature}"
    );
    let logged = scene
        .control("GET", "deliveries?after=0&wait_ms=5000", None)
        .await
        .json();
    assert_eq!(logged[0]["headers"]["X-Hub-Signature"], signature);
    assert_eq!(
        (
            logged[0]["answer"]["status"].as_u64(),
            logged[0]["answer"]["body"].as_str()
        ),
        (Some(200), Some("received"))
    );
    assert_eq!(logged[0]["body"], delivery.body);
    let path = format!("/webhooks/{}", hook["id"]);
    let latest = scene
        .repo(ROOT, "GET", &format!("{path}/latest?outcome=SUCCESS"), None)
        .await
        .is(200)
        .json();
    assert_eq!(
        (latest["event"].as_str(), latest["result"]["outcome"].as_str()),
        (Some("pr:comment:added"), Some("SUCCESS"))
    );
    scene
        .repo(ROOT, "GET", &format!("{path}/latest?outcome=FAILURE"), None)
        .await
        .is(204);
    let statistics = scene
        .repo(ROOT, "GET", &format!("{path}/statistics"), None)
        .await
        .is(200)
        .json();
    assert_eq!(statistics["counts"]["successes"], 1);
}

#[tokio::test]
async fn the_connection_test_is_unsigned_and_needs_a_url() {
    let scene = Scene::start().await;
    let receiver = Receiver::start().await;
    let hook = scene.webhook(&receiver, &COMMENTS).await;
    let url: String = percent(&receiver.url);
    scene
        .repo(
            ROOT,
            "POST",
            &format!("/webhooks/test?webhookId={}", hook["id"]),
            None,
        )
        .await
        .is(500);
    scene
        .repo(JANE, "POST", &format!("/webhooks/test?url={url}"), None)
        .await
        .is(401);
    let tested = scene
        .repo(ROOT, "POST", &format!("/webhooks/test?url={url}"), None)
        .await
        .is(200)
        .json();
    assert_eq!(tested["response"]["statusCode"], 200);
    let ping = receiver.next().await;
    assert_eq!(
        (
            ping.header("x-event-key"),
            ping.header("x-hub-signature"),
            ping.body.as_str()
        ),
        ("diagnostics:ping", "", "{\"test\": true}")
    );
}

fn percent(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}

#[tokio::test]
async fn replacing_a_webhook_removes_what_is_left_out() {
    let scene = Scene::start().await;
    let receiver = Receiver::start().await;
    let hook = scene.webhook(&receiver, &COMMENTS).await;
    assert_eq!(
        (
            hook["configuration"]["secret"].as_str(),
            hook["sslVerificationRequired"].as_bool()
        ),
        (Some("12345"), Some(true))
    );
    let path = format!("/webhooks/{}", hook["id"]);
    let refused = scene
        .repo(ROOT, "PUT", &path, Some(json!({"name": "x"})))
        .await
        .is(400);
    assert!(
        refused.text.contains("No URL was specified")
            && refused.text.contains("At least one event must be provided")
    );
    let body = json!({"name": "x", "url": receiver.url, "events": ["pr:comment:added"]});
    let replaced = scene.repo(ROOT, "PUT", &path, Some(body)).await.is(200).json();
    assert_eq!(replaced["configuration"], json!({"createdBy": "bitbucket"}));
    assert_eq!(replaced["sslVerificationRequired"], false);
    scene.comment(JANE, json!({"text": "hi"})).await;
    assert_eq!(receiver.next().await.header("x-hub-signature"), "");
    let unknown =
        json!({"name": "x", "url": receiver.url, "events": ["pr:comment:added", "pr:to_ref_updated"]});
    let refused = scene.repo(ROOT, "POST", "/webhooks", Some(unknown)).await.is(400);
    assert!(refused.text.contains("the event ${validatedValue} is unknown"));
    scene.repo(ROOT, "DELETE", &path, None).await.is(204);
    assert_eq!(scene.repo(ROOT, "GET", "/webhooks", None).await.json()["size"], 0);
}

#[tokio::test]
async fn two_webhooks_deliver_twice_with_two_request_ids() {
    let scene = Scene::start().await;
    let receiver = Receiver::start().await;
    scene.webhook(&receiver, &COMMENTS).await;
    let body = json!({"name": "project", "url": receiver.url, "events": COMMENTS});
    scene
        .api(ROOT, "POST", "/projects/PROJ/webhooks", Some(body))
        .await
        .is(201);
    scene.comment(JANE, json!({"text": "hi"})).await;
    let (one, two) = (receiver.next().await, receiver.next().await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    assert_eq!(one.body, two.body);
    assert_eq!(scene.repo(ROOT, "GET", "/webhooks", None).await.json()["size"], 1);
    assert_eq!(
        scene.repo(ROOT, "GET", "/webhooks/search", None).await.json()["size"],
        2
    );
}

/// The log's entries from `after` on, when there are `count`.
async fn entries(scene: &Scene, after: u64, count: usize) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    while found.len() < count {
        let last = after + found.len() as u64;
        let more = scene
            .control("GET", &format!("deliveries?after={last}&wait_ms=10000"), None)
            .await
            .json();
        let more = more.as_array().cloned().unwrap_or_default();
        assert!(!more.is_empty(), "only {} of {count} deliveries", found.len());
        found.extend(more);
    }
    found
}

#[tokio::test]
async fn after_five_failures_deliveries_are_skipped_and_never_retried() {
    let scene = Scene::start().await;
    let receiver = Receiver::start().await;
    scene.webhook(&receiver, &COMMENTS).await;
    scene
        .control("PUT", "clock", Some(json!({"running": false})))
        .await
        .is(200);
    receiver.status.store(503, Ordering::SeqCst);
    for number in 0..6 {
        scene.comment(JANE, json!({"text": format!("{number}")})).await;
        entries(&scene, number, 1).await;
    }
    let logged = entries(&scene, 0, 6).await;
    let outcomes: Vec<&str> = logged
        .iter()
        .map(|entry| entry["outcome"].as_str().unwrap_or("skipped"))
        .collect();
    assert_eq!(
        outcomes,
        ["FAILURE", "FAILURE", "FAILURE", "FAILURE", "FAILURE", "skipped"]
    );
    receiver.status.store(200, Ordering::SeqCst);
    scene
        .control("PUT", "clock", Some(json!({"advance_ms": 10_000})))
        .await
        .is(200);
    scene.comment(JANE, json!({"text": "again"})).await;
    assert_eq!(entries(&scene, 6, 1).await[0]["outcome"], "SUCCESS");
}

#[tokio::test]
async fn delivery_modes_duplicate_hold_reverse_and_drop() {
    let scene = Scene::start().await;
    let receiver = Receiver::start().await;
    scene.webhook(&receiver, &COMMENTS).await;
    scene
        .control(
            "PUT",
            "delivery-mode",
            Some(json!({"hold": true, "reverse": true, "duplicate": true})),
        )
        .await
        .is(200);
    for text in ["first", "second"] {
        scene.comment(JANE, json!({"text": text})).await;
    }
    assert_eq!(
        scene.control("GET", "delivery-mode", None).await.json()["waiting"],
        4
    );
    scene.control("POST", "deliveries/release", None).await.is(200);
    let mut texts = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let delivery = receiver.next().await;
        texts.push(delivery.json()["comment"]["text"].as_str().unwrap().to_owned());
        ids.insert(delivery.header("x-request-id").to_owned());
    }
    assert_eq!(
        (texts, ids.len()),
        (
            ["second", "second", "first", "first"].map(str::to_owned).to_vec(),
            4
        )
    );
    scene
        .control("PUT", "delivery-mode", Some(json!({"drop": true})))
        .await
        .is(200);
    scene.comment(JANE, json!({"text": "lost"})).await;
    assert!(entries(&scene, 4, 1).await[0]["skipped"].is_string());
    scene
        .control("PUT", "delivery-mode", Some(json!({"reverse": true})))
        .await
        .is(200);
    scene.comment(JANE, json!({"text": "third"})).await;
    assert_eq!(receiver.next().await.json()["comment"]["text"], "third");
}

#[tokio::test]
async fn pending_comments_and_reactions_are_not_told() {
    let scene = Scene::start().await;
    let receiver = Receiver::start().await;
    scene.webhook(&receiver, &COMMENTS).await;
    let draft = scene
        .comment(BOT, json!({"text": "draft", "state": "PENDING"}))
        .await;
    let path = format!(
        "/rest/comment-likes/latest/projects/PROJ/repos/demo/pull-requests/7/comments/{}/reactions/eyes",
        draft["id"]
    );
    scene.send(BOT, "PUT", &path, None).await.is(200);
    scene.comment(JANE, json!({"text": "told"})).await;
    assert_eq!(receiver.next().await.json()["comment"]["text"], "told");
    scene.pr(BOT, "PUT", "/review", Some(json!({}))).await.is(200);
    assert_eq!(receiver.next().await.json()["comment"]["text"], "draft");
}
