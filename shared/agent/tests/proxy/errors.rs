//! Endpoints that fail: what the agent is told, and what is remembered.

use std::time::{Duration, Instant};

use agent::{Error, Patience};
use serde_json::{Value, json};

use crate::world::{APIS, GATEWAY, HASTY, LIMIT, REAL_KEY, Setting, World, message, says, streams};

fn fails(status: u16) -> Value {
    json!([{"reply": {"status": status, "message": "it broke"}}])
}

#[tokio::test]
async fn each_failure_is_told_in_the_apis_form_and_remembered_by_its_class() {
    type Is = fn(&Error) -> bool;
    let table: [(u16, usize, Is); 8] = [
        (401, 1, |error| matches!(error, Error::ModelUnauthorized)),
        (403, 1, |error| matches!(error, Error::ModelUnauthorized)),
        (429, 3, |error| {
            matches!(error, Error::ModelRateLimited { after: None })
        }),
        (500, 3, |error| {
            matches!(error, Error::ModelServer { status: 500, .. })
        }),
        (503, 3, |error| {
            matches!(error, Error::ModelServer { status: 503, .. })
        }),
        (529, 3, |error| {
            matches!(error, Error::ModelServer { status: 529, .. })
        }),
        (400, 1, |error| {
            matches!(error, Error::ModelRefused { status: 400, .. })
        }),
        (404, 1, |error| {
            matches!(error, Error::ModelRefused { status: 404, .. })
        }),
    ];
    for (status, tries, is) in table {
        let world = World::with(fails(status)).await;
        for (path, field) in APIS {
            let response = world.post(path, &streams(field, "hi")).await;
            assert_eq!(response.status(), status);
            // Every try that can help was made here.
            assert_eq!(response.headers()["x-should-retry"], "false");
            message(path, &response.json().await.unwrap());
        }
        assert_eq!(world.requests().len(), 3 * tries, "{status}");
        let end = world.end().await;
        assert_eq!((end.errors, end.usage.turns), (3, 0));
        assert!(
            is(end.last_error.as_ref().unwrap()),
            "{status}: {:?}",
            end.last_error
        );
    }
}

#[tokio::test]
async fn a_failure_that_passes_is_bridged() {
    let script = json!([
        {"reply": {"status": 429, "retry_after": 0}, "times": 1},
        {"reply": {"status": 503}, "times": 1},
        {"reply": {"text": "at last"}},
    ]);
    for (path, field) in APIS {
        for body in [says(field, "hi"), streams(field, "hi")] {
            let world = World::with(script.clone()).await;
            let response = world.post(path, &body).await;
            assert_eq!(response.status(), 200);
            assert!(response.text().await.unwrap().contains("last"));
            assert_eq!(world.requests().len(), 3);
            let end = world.end().await;
            assert_eq!((end.errors, end.usage.turns), (0, 1));
        }
    }
}

#[tokio::test]
async fn a_wait_that_the_endpoint_asks_for_is_waited() {
    let world = World::with(json!([
        {"reply": {"status": 429, "retry_after": 1}, "times": 1},
        {"reply": {"text": "now"}},
    ]))
    .await;
    let before = Instant::now();
    assert_eq!(world.chat("hi").await.0, 200);
    assert!(before.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_passed_on() {
    let world = World::with(json!([{"reply": {"status": 429, "retry_after": 3600}}])).await;
    let response = world.post("/v1/messages", &says("messages", "hi")).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "3600");
    assert_eq!(world.requests().len(), 1);
    let Some(Error::ModelRateLimited { after }) = world.end().await.last_error else {
        panic!("another error");
    };
    assert_eq!(after, Some(Duration::from_secs(3600)));
}

#[tokio::test]
async fn a_conversation_that_is_too_long_is_told_as_such() {
    let world = World::with(json!([
        {"reply": {"status": 400, "message": "maximum context length is 8192 tokens"}},
    ]))
    .await;
    let (status, body) = world.chat("hi").await;
    assert_eq!(status, 400);
    // Agents that shorten their conversation look for these words.
    assert!(message("/v1/chat/completions", &body).contains("maximum context length is 8192 tokens"));
    assert!(matches!(
        world.end().await.last_error,
        Some(Error::ModelContext { .. })
    ));
}

#[tokio::test]
async fn an_endpoint_that_repeats_its_secrets_tells_them_to_nobody() {
    let words = format!(
        "bad key {REAL_KEY} through {GATEWAY}, also {}",
        hex::encode(REAL_KEY)
    );
    for reply in [
        json!({"status": 400, "message": words}),
        json!({"status": 401, "message": words}),
        json!({"status": 500, "message": words}),
        json!({"garbage": words}),
        json!({"garbage": json!({"error": words}).to_string()}),
        json!({"text": words}),
    ] {
        let world = World::with(json!([{"reply": reply}])).await;
        for (path, field) in APIS {
            let body = world.post(path, &says(field, "hi")).await.text().await.unwrap();
            for secret in [REAL_KEY, GATEWAY, &hex::encode(REAL_KEY)] {
                assert!(!body.contains(secret), "{body}");
            }
        }
        let end = format!("{:?}", world.end().await);
        assert!(!end.contains(REAL_KEY) && !end.contains(GATEWAY), "{end}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_as_a_bad_gateway() {
    for garbage in [
        "<html>login</html>",
        "",
        "{",
        "null",
        "[]",
        "{}",
        r#"{"choices": []}"#,
        r#"{"error": {"message": "model overloaded"}}"#,
    ] {
        let world = World::with(json!([{"reply": {"garbage": garbage}}])).await;
        for (path, field) in APIS {
            for body in [says(field, "hi"), streams(field, "hi")] {
                let (status, answer) = world.ask(path, &body).await;
                assert_eq!(status, 502, "{garbage}");
                message(path, &answer);
            }
        }
        let end = world.end().await;
        assert_eq!((end.errors, end.usage.turns), (6, 0));
        assert!(matches!(end.last_error, Some(Error::ModelAnswer { .. })));
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_none_and_a_large_one_is() {
    let world = World::with(json!([
        {"when": "large", "reply": {"tool_calls": [{"name": "edit", "arguments": {"new": "x".repeat(5_000_000)}}]}},
        {"when": "huge", "reply": {"text": "x".repeat(17 * 1024 * 1024)}},
    ]))
    .await;
    for (path, field) in APIS {
        let response = world.post(path, &says(field, "large")).await;
        assert_eq!(response.status(), 200);
        assert!(response.text().await.unwrap().len() > 5_000_000);
    }
    let response = world.post("/v1/messages", &streams("messages", "large")).await;
    assert!(response.text().await.unwrap().len() > 5_000_000);
    let (status, answer) = world.chat("huge").await;
    assert_eq!(status, 502);
    assert!(message("/v1/chat/completions", &answer).contains("bytes"));
    let end = world.end().await;
    assert_eq!((end.usage.turns, end.errors), (4, 1));
    assert!(end.transcript.len() < 2_000_000, "{}", end.transcript.len());
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_given_up() {
    let mut setting = Setting::new(json!([{"reply": {"hold": true}}]));
    setting.patience = Patience {
        first_byte: Duration::from_millis(50),
        ..HASTY
    };
    let world = setting.start().await;
    let (status, body) = world.chat("hi").await;
    assert_eq!(status, 504);
    assert!(message("/v1/chat/completions", &body).contains("no answer within"));
    assert_eq!(world.requests().len(), 3);
    let end = world.end().await;
    assert!(matches!(end.last_error, Some(Error::ModelUnreachable { .. })));
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_told_as_a_bad_gateway() {
    let nobody = crate::world::listener().local_addr().unwrap();
    let mut setting = Setting::new(json!([]));
    setting.base_url = Some(format!("http://user:stolen@{nobody}/v1?key=stolen"));
    let world = setting.start().await;
    let (status, body) = world.chat("hi").await;
    assert_eq!(status, 502);
    assert!(!body.to_string().contains("stolen"), "{body}");
    let error = world.end().await.last_error.unwrap();
    assert!(matches!(error, Error::ModelUnreachable { .. }));
    assert!(!format!("{error:?} {error}").contains("stolen"), "{error:?}");
}

#[tokio::test]
async fn the_last_error_is_forgotten_after_an_answer_but_counted() {
    let world = World::with(json!([
        {"when": "fail", "reply": {"status": 400}},
        {"reply": {"text": "fine"}},
    ]))
    .await;
    world.chat("fail").await;
    world.chat("hi").await;
    let end = world.end().await;
    assert_eq!(end.errors, 1);
    assert!(end.last_error.is_none());
}

#[tokio::test]
async fn an_agent_that_asks_on_and_on_in_vain_is_seen() {
    let world =
        World::with(json!([{"when": "fail", "reply": {"status": 401}}, {"reply": {"text": "fine"}}])).await;
    for _ in 0..5 {
        world.chat("fail").await;
    }
    world.chat("hi").await;
    let in_vain = async {
        for _ in 0..6 {
            assert_eq!(world.chat("fail").await.0, 401);
        }
        std::future::pending::<()>().await;
    };
    let seen = async {
        tokio::select! {
            () = world.proxy.hopeless() => {}
            () = in_vain => {}
        }
    };
    tokio::time::timeout(LIMIT, seen).await.expect("it is hopeless");
    assert_eq!(world.requests().len(), 12);
}
