//! Answers that stream.

use std::time::Duration;

use agent::{Error, Patience};
use serde_json::{Value, json};

use crate::world::{APIS, HASTY, LIMIT, REAL_KEY, Setting, World, lines, says, streams};

/// Two events into the stream, there is half of the text.
fn held(after: usize) -> Value {
    json!([{"reply": {"text": "firstsecond", "hold_after": after}}])
}

/// How many events of an API come before the second half of the text.
const BEFORE_SECOND_HALF: [usize; 3] = [2, 5, 3];

#[tokio::test]
async fn a_stream_is_passed_on_as_it_comes() {
    for ((path, field), after) in APIS.into_iter().zip(BEFORE_SECOND_HALF) {
        let world = World::with(held(after)).await;
        let mut response = world.post(path, &streams(field, "hi")).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut text = String::new();
        // The endpoint holds the second half back, so this only ends when the first half is not held back as well.
        while !text.contains("\"first") {
            let piece = response.chunk().await.unwrap().expect("the stream goes on");
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        assert!(!text.contains("\"secon"), "{path}: {text}");
        world.model.release();
        text.push_str(&response.text().await.unwrap());
        assert!(text.contains("\"secon"), "{path}: {text}");
        let end = world.end().await;
        assert_eq!((end.usage.turns, end.errors, end.estimated), (1, 0, 0), "{path}");
        assert_eq!(lines(&end)[0]["answer"]["text"], "firstsecond");
    }
}

#[tokio::test]
async fn a_stream_is_what_the_endpoint_sends_byte_for_byte() {
    let script = json!([{"reply": {"text": "héllo\nworld", "tool_calls": [{"name": "edit", "arguments": {"path": "a"}}]}}]);
    for (path, field) in APIS {
        let world = World::with(script.clone()).await;
        let mut body = streams(field, "hi");
        let through = world.post(path, &body).await.text().await.unwrap();
        if path.contains("chat") {
            body["stream_options"] = json!({"include_usage": true});
        }
        let direct = world.client.post(format!("http://{}{path}", world.model.addr()));
        let direct = direct.json(&body).send().await.unwrap().text().await.unwrap();
        // Numbers of requests are in the ids.
        let same = |text: &str| text.replace("_2", "_1").replace("-2", "-1");
        let without_time = |text: &str| -> Vec<String> {
            text.split(',')
                .filter(|part| !part.contains("\"created"))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(without_time(&same(&direct)), without_time(&through), "{path}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let world = World::with(json!([
        {"when": "stream", "reply": {"text": "firstsecond", "hold_after": 2}},
        {"when": "whole", "reply": {"hold": true}},
        {"reply": {"text": "still here"}},
    ]))
    .await;
    let mut response = world
        .post("/v1/chat/completions", &streams("messages", "stream"))
        .await;
    response.chunk().await.unwrap().expect("it has begun");
    let mut usage = world.proxy.watch();
    drop(response);
    // Its tokens are entered when it is gone.
    tokio::time::timeout(LIMIT, usage.wait_for(|used| used.turns == 1))
        .await
        .expect("the proxy sees that the client is gone")
        .unwrap();
    let request = world
        .client
        .post(world.url("/v1/chat/completions"))
        .bearer_auth(world.proxy.key())
        .json(&says("messages", "whole"));
    let asking = tokio::spawn(request.send());
    world.model.wait_for_requests(2, LIMIT).await.unwrap();
    asking.abort();
    tokio::time::timeout(LIMIT, usage.wait_for(|used| used.turns == 2))
        .await
        .expect("the proxy sees that the client is gone")
        .unwrap();
    assert_eq!(world.chat("hi").await.0, 200);
    let end = world.end().await;
    assert_eq!((end.usage.turns, end.errors), (3, 0));
    assert!(
        end.usage.output_tokens >= 2 * 4_000,
        "endpoints charge for answers that nobody waits for: {:?}",
        end.usage
    );
    let abandoned = lines(&end)
        .iter()
        .filter(|line| line["abandoned"] == true)
        .count();
    assert_eq!(abandoned, 2);
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error_in_the_apis_form() {
    for (path, field) in APIS {
        let world = World::with(json!([{"reply": {"text": "firstsecond", "cut_after": 3}}])).await;
        let text = world
            .post(path, &streams(field, "hi"))
            .await
            .text()
            .await
            .unwrap();
        let last = text.lines().rfind(|line| line.starts_with("data: ")).unwrap();
        let event: Value = serde_json::from_str(&last["data: ".len()..]).unwrap();
        let error = match path {
            "/v1/responses" => {
                assert_eq!(event["type"], "response.failed");
                &event["response"]["error"]
            }
            "/v1/messages" => {
                assert_eq!(event["type"], "error");
                &event["error"]
            }
            _ => &event["error"],
        };
        assert!(
            error["message"].as_str().unwrap().contains("cannot be reached"),
            "{event}"
        );
        let end = world.end().await;
        assert_eq!(end.errors, 1);
        assert!(matches!(end.last_error, Some(Error::ModelUnreachable { .. })));
    }
}

#[tokio::test]
async fn an_error_that_the_endpoint_sends_in_a_stream_is_not_told_twice() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut setting = Setting::new(json!([]));
    setting.base_url = Some(format!("http://{}/v1", listener.local_addr().unwrap()));
    let world = setting.start().await;
    let event = "event: error\ndata: {\"type\": \"error\", \"error\": {\"message\": \"SAID\"}}\n\n";
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{event}");
    let answer = answer.replace("SAID", &format!("busy {REAL_KEY}"));
    let served = crate::network::serve_once(listener, &answer);
    let body = streams("messages", "hi");
    let (response, _) = tokio::join!(world.post("/v1/messages", &body), served);
    let event = event.replace("SAID", "busy [secret]");
    assert_eq!(response.text().await.unwrap(), event);
    let end = world.end().await;
    assert!(matches!(&end.last_error, Some(Error::ModelAnswer { reason }) if reason == "busy [secret]"));
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up() {
    let mut setting = Setting::new(held(2));
    setting.patience = Patience {
        idle: Duration::from_millis(50),
        ..HASTY
    };
    let world = setting.start().await;
    let response = world
        .post("/v1/chat/completions", &streams("messages", "hi"))
        .await;
    let text = response.text().await.unwrap();
    assert!(text.contains("no answer within"), "{text}");
    assert_eq!(world.end().await.errors, 1);
}

#[tokio::test]
async fn a_stream_without_an_answer_is_an_error() {
    // The scripted endpoint has no such thing: an empty text has no events with words, but is an answer.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut setting = Setting::new(json!([]));
    setting.base_url = Some(format!("http://{}/v1", listener.local_addr().unwrap()));
    let world = setting.start().await;
    let served = crate::network::serve_once(
        listener,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: <html>\n\n: ping\n\n",
    );
    let body = streams("messages", "hi");
    let (response, _) = tokio::join!(world.post("/v1/chat/completions", &body), served);
    let text = response.text().await.unwrap();
    assert!(
        text.starts_with("data: <html>") && text.contains("no answer of a model"),
        "{text}"
    );
    let end = world.end().await;
    assert!(matches!(end.last_error, Some(Error::ModelAnswer { .. })));
    assert_eq!(end.usage.turns, 0);
}
