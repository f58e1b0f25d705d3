//! What the model says, and how the way to it fails. Trying again is the proxy's.

use serde_json::{Value, json};

use crate::world::{World, call};

#[tokio::test]
async fn an_answer_in_plain_text_is_a_finish() {
    let world = World::with(json!([{"reply": {"text": "It is correct as it is."}}])).await;
    assert_eq!(
        world.run("is this right?").await.summary(),
        "It is correct as it is."
    );
}

#[tokio::test]
async fn a_refusal_of_any_kind_ends_the_run_at_once_with_what_was_said() {
    for status in [401, 402, 403, 404, 429, 500, 502] {
        let world = World::with(json!([
            {"when": "task", "reply": {"text": "I begin.", "tool_calls": [
                {"name": "bash", "arguments": {"command": "echo x > done"}}]}},
            {"reply": {"status": status, "message": "the budget is spent"}},
        ]))
        .await;
        let ran = world.run("task").await;
        let refused = &ran.said("ended")["unanswered"]["refused"];
        assert_eq!(refused["status"], status, "{ran:?}");
        assert_eq!(refused["said"], "\"the budget is spent\"");
        assert_eq!(ran.said("summary"), "I begin.");
        assert_eq!(world.requests().len(), 2);
        assert_eq!(world.read("done"), b"x\n");
    }
}

#[tokio::test]
async fn a_proxy_that_is_gone_ends_the_run() {
    let mut world = World::with(json!([])).await;
    world.stop_model().await;
    let ran = world.run("task").await;
    let reason = ran.said("ended")["unanswered"]["unreachable"]["reason"].to_string();
    assert!(reason.contains("refused"), "{ran:?}");
    assert!(!format!("{ran:?}").contains("the-key"));
}

#[tokio::test]
async fn an_answer_is_waited_for_no_longer_than_the_run_may_last() {
    let world = World::with(json!([{"reply": {"hold": true}}])).await;
    let mut order = world.order("task");
    order["wall"] = json!({"secs": 0, "nanos": 200_000_000});
    let ran = world.run_order(&order.to_string()).await;
    assert!(
        ran.said("ended")["unanswered"]["unreachable"].is_object(),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_conversation_that_is_too_long_is_sent_again_without_its_oldest_outputs() {
    let too_long = json!({"status": 400, "message": "This model's maximum context length is 4096 tokens."});
    let world = World::with(json!([
        {"reply": call("bash", json!({"command": "seq 2000"})), "times": 4},
        {"reply": too_long, "times": 1},
        {"reply": {"text": "it fits"}},
    ]))
    .await;
    assert_eq!(world.run("task").await.summary(), "it fits");
    let results = world.results();
    assert_eq!(results[0], "[output dropped]");
    assert!(results[3].contains("2000"), "{results:?}");

    let hopeless = World::with(json!([{"reply": too_long}])).await;
    let ran = hopeless.run("task").await;
    assert!(ran.said("ended")["unanswered"]["too_long"].is_object(), "{ran:?}");
    assert_eq!(hopeless.requests().len(), 1);
}

#[tokio::test]
async fn a_long_conversation_stays_below_the_window() {
    let world = World::with(json!([
        {"reply": call("bash", json!({"command": "seq 3000"})), "times": 60},
        {"reply": {"text": "done"}},
    ]))
    .await;
    assert_eq!(world.run("task").await.summary(), "done");
    let size = |body: &Value| -> usize {
        let messages = body["messages"].as_array().expect("messages").iter();
        messages
            .filter_map(|message| message["content"].as_str())
            .map(str::len)
            .sum()
    };
    let sizes: Vec<usize> = world
        .requests()
        .iter()
        .map(|request| size(&request.body))
        .collect();
    // 60 outputs of 10,000 bytes would be 600,000.
    let largest = sizes.iter().max().copied().unwrap_or_default();
    assert!(largest > 380_000 && largest <= 402_000, "{sizes:?}");
}

#[tokio::test]
async fn malformed_calls_are_explained_and_three_in_a_row_end_the_run() {
    let world = World::with(json!([
        {"reply": call("bash", json!("{\"command\": ")), "times": 1},
        {"reply": call("shell", json!({"command": "ls"})), "times": 1},
        {"reply": call("edit", json!({"path": "a"})), "times": 1},
    ]))
    .await;
    let ran = world.run("task").await;
    assert_eq!(ran.said("ended"), "malformed_calls");
    assert_eq!(world.requests().len(), 3);
    let results = world.results();
    assert!(results[0].contains("no JSON object"), "{results:?}");
    assert!(
        results[1].contains("no tool \"shell\"; there are bash, search, view, edit, finish"),
        "{results:?}"
    );
}

#[tokio::test]
async fn a_good_call_in_between_makes_malformed_ones_forgiven() {
    let bad = json!({"reply": call("bash", json!("{")), "times": 2});
    let good = json!({"reply": call("bash", json!({"command": "true"})), "times": 1});
    let world = World::with(json!([bad, good, bad, {"reply": {"text": "made it"}}])).await;
    assert_eq!(world.run("task").await.summary(), "made it");
}

#[tokio::test]
async fn empty_answers_are_explained_and_three_in_a_row_end_the_run() {
    let world = World::with(json!([{"reply": {"text": ""}}])).await;
    let ran = world.run("task").await;
    assert_eq!(ran.said("ended"), "no_tool_calls");
    assert_eq!(world.requests().len(), 3);
}

#[tokio::test]
async fn a_finish_beside_a_call_that_failed_does_not_end_the_run() {
    let world = World::with(json!([
        {"when": "task", "reply": {"tool_calls": [
            {"name": "edit", "arguments": {"path": "f", "old": "missing", "new": "x"}},
            {"name": "finish", "arguments": {"summary": "I have changed f."}},
        ]}},
        {"when": "not finished", "reply": call("finish", json!({"summary": "f is not there."}))},
    ]))
    .await;
    assert_eq!(world.run("task").await.summary(), "f is not there.");
}

#[tokio::test]
async fn a_report_is_short_whatever_the_model_writes() {
    let long = "\u{1}ä".repeat(50_000);
    let items: Vec<Value> = (0..100).map(|_| "q".repeat(5_000).into()).collect();
    let finish = json!({"summary": long, "questions": items});
    let world = World::with(json!([{"reply": call("finish", finish)}])).await;
    let ran = world.run("task").await;
    assert!(ran.summary().len() < 40_000);
    let questions = ran.said("questions").as_array().map_or(0, Vec::len);
    assert_eq!(questions, 30);
}
