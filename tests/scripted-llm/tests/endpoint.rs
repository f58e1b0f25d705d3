//! The endpoint as its clients meet it: over HTTP, in the words of the three APIs.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use scripted_llm::{Script, ScriptedLlm};
use serde_json::{Value, json};

/// Far more than anything here takes; a test that reaches it has hung.
const LIMIT: Duration = Duration::from_secs(20);

struct World {
    model: ScriptedLlm,
    client: reqwest::Client,
}

impl World {
    async fn with(script: Value) -> Self {
        let script = Script::from_value(script).expect("the test's script is valid");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let model = ScriptedLlm::start(listen, script)
            .await
            .expect("loopback is free");
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(LIMIT)
            .build()
            .expect("no special settings");
        Self { model, client }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.model.addr())
    }

    async fn post(&self, path: &str, body: Value) -> reqwest::Response {
        self.client
            .post(self.url(path))
            .json(&body)
            .send()
            .await
            .expect("the endpoint answers")
    }

    async fn says(&self, text: &str) -> Value {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]});
        self.post("/v1/chat/completions", body)
            .await
            .json()
            .await
            .expect("the answer is JSON")
    }

    async fn events(&self, path: &str, body: Value) -> Vec<Value> {
        let text = self.post(path, body).await.text().await.expect("the stream ends");
        text.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|text| *text != "[DONE]")
            .map(|text| serde_json::from_str(text).expect("each event is JSON"))
            .collect()
    }
}

fn text(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"]
        .as_str()
        .expect("a text answer")
}

/// Puts together a streamed field.
fn joined(events: &[Value], pointer: &str) -> String {
    events
        .iter()
        .filter_map(|event| event.pointer(pointer)?.as_str())
        .collect()
}

fn edit_call() -> Value {
    json!([{"reply": {"text": "héllo", "tool_calls": [{"name": "edit", "arguments": {"path": "a.rs"}}]}}])
}

#[tokio::test]
async fn the_first_matching_rule_with_uses_left_answers() {
    let world = World::with(json!([
        {"when": "red", "reply": {"text": "first"}, "times": 1},
        {"when": "red", "reply": [{"text": "second"}, {"text": "third"}]},
        {"when": "blue", "reply": {"text": "other"}},
    ]))
    .await;
    let mut heard = Vec::new();
    for said in ["a red one", "red", "blue", "red", "red"] {
        heard.push(text(&world.says(said).await).to_owned());
    }
    assert_eq!(heard, ["first", "second", "other", "third", "second"]);
    let rules: Vec<_> = world
        .model
        .requests()
        .iter()
        .map(|request| request.rule)
        .collect();
    assert_eq!(rules, [Some(0), Some(1), Some(2), Some(1), Some(1)]);
}

#[tokio::test]
async fn only_the_last_user_or_tool_message_is_matched() {
    let world = World::with(
        json!([{"when": "old", "reply": {"text": "wrong"}}, {"when": "new", "reply": {"text": "right"}}]),
    )
    .await;
    let call = json!({"id": "c1", "type": "function", "function": {"name": "bash", "arguments": "{}"}});
    let body = json!({"messages": [
        {"role": "user", "content": "old"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "new"}]},
        {"role": "system", "content": "old"},
    ]});
    let answer: Value = world.post("/chat/completions", body).await.json().await.unwrap();
    assert_eq!(text(&answer), "right");

    let anthropic = json!({"messages": [
        {"role": "user", "content": "old"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "bash", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "new"}]}]},
    ]});
    let answer: Value = world.post("/v1/messages", anthropic).await.json().await.unwrap();
    assert_eq!(answer["content"][0]["text"], "right");

    let responses = json!({"input": [
        {"role": "user", "content": [{"type": "input_text", "text": "old"}]},
        {"type": "function_call", "call_id": "c1", "name": "bash", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "new"},
    ]});
    let answer: Value = world
        .post("/any/base/responses", responses)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(answer["output"][0]["content"][0]["text"], "right");
}

#[tokio::test]
async fn an_unmatched_request_is_500_and_recorded() {
    let world = World::with(json!([{"when": "known", "reply": {"text": "yes"}}])).await;
    let body = json!({"messages": [{"role": "user", "content": "unheard of"}]});
    let response = world.post("/v1/chat/completions", body.clone()).await;
    assert_eq!(response.status(), 500);
    let listed: Value = world
        .client
        .get(world.url("/llm/v1/requests"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(listed[0]["number"], 1);
    assert_eq!(listed[0]["status"], 500);
    assert_eq!(listed[0]["rule"], Value::Null);
    assert_eq!(listed[0]["path"], "/v1/chat/completions");
    assert_eq!(listed[0]["body"], body);
}

#[tokio::test]
async fn tool_calls_take_the_shape_of_each_api() {
    let world = World::with(edit_call()).await;
    let chat = world.says("go").await;
    let call = &chat["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(
        call["function"],
        json!({"name": "edit", "arguments": r#"{"path":"a.rs"}"#})
    );
    assert_eq!(chat["choices"][0]["finish_reason"], "tool_calls");

    let body = json!({"messages": [{"role": "user", "content": "go"}], "input": "go"});
    let message: Value = world
        .post("/v1/messages", body.clone())
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(message["content"][1]["input"], json!({"path": "a.rs"}));
    assert_eq!(message["stop_reason"], "tool_use");

    let response: Value = world.post("/v1/responses", body).await.json().await.unwrap();
    assert_eq!(response["output"][1]["arguments"], r#"{"path":"a.rs"}"#);
    assert_eq!(response["status"], "completed");
}

#[tokio::test]
async fn a_stream_carries_what_the_whole_answer_carries() {
    let world = World::with(edit_call()).await;
    let body = json!({"stream": true, "messages": [{"role": "user", "content": "go"}], "input": "go",
        "stream_options": {"include_usage": true}});

    let chat = world.events("/v1/chat/completions", body.clone()).await;
    assert_eq!(joined(&chat, "/choices/0/delta/content"), "héllo");
    assert_eq!(
        joined(&chat, "/choices/0/delta/tool_calls/0/function/arguments"),
        r#"{"path":"a.rs"}"#
    );
    assert_eq!(joined(&chat, "/choices/0/finish_reason"), "tool_calls");
    assert!(chat.last().unwrap()["usage"]["prompt_tokens"].as_u64().unwrap() > 0);

    let messages = world.events("/v1/messages", body.clone()).await;
    assert_eq!(joined(&messages, "/delta/text"), "héllo");
    assert_eq!(joined(&messages, "/delta/partial_json"), r#"{"path":"a.rs"}"#);
    assert_eq!(joined(&messages, "/delta/stop_reason"), "tool_use");
    assert_eq!(messages.last().unwrap()["type"], "message_stop");

    let responses = world.events("/v1/responses", body).await;
    let deltas = responses
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta");
    assert_eq!(
        deltas
            .filter_map(|event| event["delta"].as_str())
            .collect::<String>(),
        "héllo"
    );
    let last = responses.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["output"][1]["name"], "edit");
}

#[tokio::test]
async fn errors_and_garbage_go_out_as_written() {
    let world = World::with(json!([
        {"reply": {"status": 429, "retry_after": 7, "message": "slow down"}, "times": 1},
        {"reply": {"garbage": "<html>"}, "times": 1},
        {"reply": {"tool_calls": [{"name": "bash", "arguments": "{\"command\": "}]}},
    ]))
    .await;
    let body = json!({"messages": [{"role": "user", "content": "go"}]});
    let limited = world.post("/v1/messages", body.clone()).await;
    assert_eq!(limited.status(), 429);
    assert_eq!(limited.headers()["retry-after"], "7");
    let error: Value = limited.json().await.unwrap();
    assert_eq!(
        error["error"],
        json!({"type": "rate_limit_error", "message": "slow down"})
    );

    let garbage = world.post("/v1/chat/completions", body).await;
    assert_eq!(
        (garbage.status().as_u16(), garbage.text().await.unwrap().as_str()),
        (200, "<html>")
    );

    let malformed = world.says("go").await;
    assert_eq!(
        malformed["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"],
        "{\"command\": "
    );
}

#[tokio::test]
async fn a_held_request_is_seen_at_once_and_answered_after_the_release() {
    let world = World::with(json!([{"reply": {"hold": true, "then": {"text": "at last"}}}])).await;
    let release = async {
        let arrived = world
            .model
            .wait_for_requests(1, LIMIT)
            .await
            .expect("the request arrives");
        assert_eq!(arrived[0].status, None);
        let url = world.url("/llm/v1/release");
        world.client.post(url).send().await.expect("released").status()
    };
    let (answer, released) = tokio::join!(world.says("go"), release);
    assert_eq!(released, 204);
    assert_eq!(text(&answer), "at last");
    assert_eq!(world.model.requests()[0].status, Some(200));
}

#[tokio::test]
async fn a_release_is_not_kept_for_later_holds() {
    let world = World::with(json!([{"reply": {"hold": true, "then": {"text": "on"}}}])).await;
    world.model.release();
    let body = json!({"messages": [{"role": "user", "content": "go"}]});
    let held = world
        .client
        .post(world.url("/v1/messages"))
        .json(&body)
        .timeout(Duration::from_millis(200))
        .send();
    assert!(held.await.expect_err("still held").is_timeout());
}

#[tokio::test]
async fn shutting_down_answers_what_is_held() {
    let world = World::with(json!([{"reply": {"hold": true}}])).await;
    let World { model, client } = world;
    let url = format!("{}/chat/completions", model.base_url());
    let body = json!({"messages": [{"role": "user", "content": "go"}]});
    let stop = async {
        model
            .wait_for_requests(1, LIMIT)
            .await
            .expect("the request arrives");
        model.shutdown().await.expect("it stops");
    };
    let (answer, ()) = tokio::join!(client.post(url).json(&body).send(), stop);
    assert_eq!(answer.unwrap().status(), 503);
}

#[tokio::test]
async fn a_delay_comes_before_its_reply() {
    let world = World::with(json!([{"reply": {"delay_ms": 60, "then": {"text": "late"}}}])).await;
    let before = Instant::now();
    assert_eq!(text(&world.says("go").await), "late");
    assert!(before.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn the_script_can_be_replaced_and_a_wrong_one_is_refused_with_the_reason() {
    let world = World::with(json!([{"reply": {"text": "old"}}])).await;
    let put = |script: Value| {
        world
            .client
            .put(world.url("/llm/v1/script"))
            .body(script.to_string())
            .send()
    };
    assert_eq!(
        put(json!([{"reply": {"text": "new"}}])).await.unwrap().status(),
        204
    );
    assert_eq!(text(&world.says("go").await), "new");
    for (wrong, reason) in [
        (json!([{"reply": []}]), "at least one reply"),
        (json!([{"reply": {"text": "a", "status": 500}}]), "exactly one of"),
        (json!([{"reply": {}}]), "exactly one of"),
        (json!([{"reply": {"txt": "a"}}]), "txt"),
        (json!([{"reply": {"status": 42}}]), "not an HTTP status"),
        (json!([{"reply": {"text": "a", "retry_after": 1}}]), "status only"),
        (json!([{"when": 1, "reply": {"text": "a"}}]), "string"),
    ] {
        let response = put(wrong.clone()).await.unwrap();
        assert_eq!(response.status(), 400, "{wrong}");
        let said = response.text().await.unwrap();
        assert!(said.contains(reason), "{wrong}: {said}");
    }
    assert_eq!(text(&world.says("go").await), "new");
}

#[tokio::test]
async fn what_a_real_endpoint_refuses_is_refused() {
    let world = World::with(json!([{"reply": {"text": "fine"}}])).await;
    let call = json!({"id": "c1", "type": "function", "function": {"name": "bash", "arguments": "{}"}});
    let asked = json!({"role": "assistant", "tool_calls": [call]});
    let answered = json!({"role": "tool", "tool_call_id": "c1", "content": "x"});
    let user = json!({"role": "user", "content": "go"});
    for messages in [
        json!([]),
        json!([user, asked]),
        json!([user, answered]),
        json!([asked, user, answered]),
    ] {
        let response = world
            .post("/v1/chat/completions", json!({"messages": messages}))
            .await;
        assert_eq!(response.status(), 400, "{messages}");
    }
    let not_json = world
        .client
        .post(world.url("/v1/responses"))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(not_json.status(), 400);
    let good = world
        .post(
            "/v1/chat/completions",
            json!({"messages": [user, asked, answered]}),
        )
        .await;
    assert_eq!(good.status(), 200);
}

#[tokio::test]
async fn models_are_listed_and_unknown_paths_are_404() {
    let world = World::with(json!([])).await;
    let get = |path: &str| world.client.get(world.url(path)).send();
    let models: Value = get("/v1/models").await.unwrap().json().await.unwrap();
    assert_eq!(models["data"][0]["id"], "scripted");
    assert_eq!(get("/v1/nothing").await.unwrap().status(), 404);
    assert_eq!(get("/v1/messages").await.unwrap().status(), 405);
    let statuses: Vec<_> = world
        .model
        .requests()
        .iter()
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses, [Some(200), Some(404), Some(405)]);
}

#[tokio::test]
async fn usage_is_the_same_for_the_same_request() {
    let world = World::with(json!([{"reply": {"text": "12345678"}}])).await;
    let (first, second) = (world.says("same").await, world.says("same").await);
    assert_eq!(first["usage"], second["usage"]);
    assert_eq!(first["usage"]["completion_tokens"], 2);
    assert!(
        world.says("longer than the same").await["usage"]["prompt_tokens"].as_u64()
            > first["usage"]["prompt_tokens"].as_u64()
    );
}

#[tokio::test]
async fn the_list_of_requests_waits_for_the_next_one() {
    let world = World::with(json!([{"reply": {"text": "hi"}}])).await;
    world.says("one").await;
    let url = world.url("/llm/v1/requests?after=1&wait_ms=20000");
    let next = async {
        world
            .client
            .get(url)
            .send()
            .await
            .expect("answers")
            .json::<Value>()
            .await
            .expect("JSON")
    };
    let (listed, _) = tokio::join!(next, world.says("two"));
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["number"], 2);
}

#[tokio::test]
async fn usage_is_what_the_script_says() {
    let world = World::with(json!([
        {"when": "count", "reply": {"text": "x", "usage": {"input": 70, "cached": 30, "output": 9}}},
        {"reply": {"text": "x", "usage": false}},
    ]))
    .await;
    let body = |said: &str| json!({"messages": [{"role": "user", "content": said}]});
    let answer =
        async |path: &str, body: Value| -> Value { world.post(path, body).await.json().await.unwrap() };
    let chat = answer("/v1/chat/completions", body("count")).await;
    assert_eq!(chat["usage"]["prompt_tokens_details"]["cached_tokens"], 30);
    let message = answer("/v1/messages", body("count")).await;
    let used = &message["usage"];
    assert_eq!(
        (
            &used["input_tokens"],
            &used["cache_read_input_tokens"],
            &used["output_tokens"]
        ),
        (&json!(40), &json!(30), &json!(9))
    );
    let response = answer("/v1/responses", json!({"input": "count"})).await;
    assert_eq!(response["usage"]["input_tokens"], 70);
    assert!(
        answer("/v1/chat/completions", body("silent"))
            .await
            .get("usage")
            .is_none()
    );
    let silent = answer("/v1/messages", body("silent")).await;
    assert_eq!(
        (
            &silent["usage"]["input_tokens"],
            &silent["usage"]["output_tokens"]
        ),
        (&json!(0), &json!(0))
    );
    let mut streamed = body("silent");
    streamed["stream"] = true.into();
    streamed["stream_options"] = json!({"include_usage": true});
    let events = world.events("/v1/chat/completions", streamed).await;
    assert!(
        events.iter().all(|event| event.get("usage").is_none()),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_stream_is_held_between_two_events_and_cut_off_after_one() {
    let world = World::with(json!([
        {"when": "hold", "reply": {"text": "abcd", "hold_after": 2}},
        {"when": "cut", "reply": {"text": "abcd", "cut_after": 2}},
    ]))
    .await;
    let ask = async |said: &str| {
        let body = json!({"stream": true, "messages": [{"role": "user", "content": said}]});
        world.post("/v1/chat/completions", body).await
    };
    let mut held = ask("hold").await;
    let mut text = String::new();
    while !text.contains("\"ab\"") {
        let piece = held.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert!(!text.contains("\"cd\""), "{text}");
    world.model.release();
    assert!(held.text().await.unwrap().contains("\"cd\""));
    let cut = ask("cut").await;
    assert_eq!(cut.status(), 200);
    cut.text().await.expect_err("the stream breaks off");
}

#[tokio::test]
async fn tokens_are_counted_without_a_rule() {
    let world = World::with(json!([])).await;
    let body = json!({"messages": [{"role": "user", "content": "12345678"}]});
    let count: Value = world
        .post("/v1/messages/count_tokens", body)
        .await
        .json()
        .await
        .unwrap();
    assert!(count["input_tokens"].as_u64() > Some(2));
}
