//! What the model says and how its endpoint fails.

use std::time::{Duration, Instant};

use agent::{Ended, Error};
use serde_json::json;

use crate::world::{World, call};

#[tokio::test]
async fn an_answer_in_plain_text_is_a_finish() {
    let world = World::with(json!([{"reply": {"text": "It is correct as it is."}}])).await;
    let report = world.run("is this right?").await.unwrap();
    assert_eq!(
        (report.ended, report.summary.as_str()),
        (Ended::Finished, "It is correct as it is.")
    );
}

#[tokio::test]
async fn what_is_asked_goes_out_with_key_headers_model_and_tools() {
    let world = World::with(json!([{"reply": {"text": "ok"}}])).await;
    world.run("the brief itself").await.unwrap();
    let request = world.requests().remove(0);
    assert_eq!(request.path, "/v1/chat/completions");
    assert_eq!(request.headers["authorization"], "Bearer the-key");
    assert_eq!(request.headers["x-gateway"], "team-7");
    assert_eq!(request.body["model"], "vendor::qwen-high");
    assert_eq!(request.body.get("reasoning_effort"), None);
    let tools: Vec<&str> = request.body["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|tool| tool["function"]["name"].as_str())
        .collect();
    assert_eq!(tools, ["bash", "view", "edit", "finish"]);
    let roles: Vec<&str> = request.body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|message| message["role"].as_str())
        .collect();
    assert_eq!(roles, ["system", "user"]);
    let task = request.body["messages"][1]["content"].as_str().unwrap();
    assert!(task.starts_with("<task>\nthe brief itself\n</task>"), "{task}");
}

#[tokio::test]
async fn a_refused_key_ends_the_run_at_once() {
    for status in [401, 403] {
        let world = World::with(json!([{"reply": {"status": status}}])).await;
        let error = world.run("task").await.unwrap_err();
        assert!(matches!(error, Error::ModelUnauthorized), "{error:?}");
        assert_eq!(world.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_as_long_as_the_endpoint_says() {
    let world = World::with(json!([
        {"reply": {"status": 429, "retry_after": 1}, "times": 1},
        {"reply": {"text": "after the wait"}},
    ]))
    .await;
    let before = Instant::now();
    let report = world.run("task").await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        (report.summary.as_str(), world.requests().len()),
        ("after the wait", 2)
    );
}

#[tokio::test]
async fn a_rate_limit_that_stays_or_asks_for_too_long_ends_the_run() {
    for (retry_after, asked) in [(json!(0), 3), (json!(3600), 1)] {
        let world = World::with(json!([{"reply": {"status": 429, "retry_after": retry_after}}])).await;
        let error = world.run("task").await.unwrap_err();
        let seconds = retry_after.as_u64().map(Duration::from_secs);
        assert!(
            matches!(error, Error::ModelRateLimited { after } if after == seconds),
            "{error:?}"
        );
        assert_eq!(world.requests().len(), asked);
    }
}

#[tokio::test]
async fn a_server_error_is_tried_again_and_then_given_up() {
    let world = World::with(json!([
        {"reply": {"status": 502}, "times": 2},
        {"reply": {"text": "back"}, "times": 1},
        {"reply": {"status": 500}},
    ]))
    .await;
    assert_eq!(world.run("task").await.unwrap().summary, "back");
    let error = world.run("task").await.unwrap_err();
    assert!(matches!(error, Error::ModelServer { status: 500 }), "{error:?}");
    assert_eq!(world.requests().len(), 6);
}

#[tokio::test]
async fn garbage_ends_the_run_without_another_try() {
    for garbage in [
        "<html>busy</html>",
        "",
        "[]",
        "{\"choices\": []}",
        "{\"error\": {\"message\": \"overloaded\"}}",
    ] {
        let world = World::with(json!([{"reply": {"garbage": garbage}}])).await;
        let error = world.run("task").await.unwrap_err();
        assert!(matches!(error, Error::ModelAnswer { .. }), "{garbage}: {error:?}");
        assert_eq!(world.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_refused_request_ends_the_run_with_what_the_endpoint_said() {
    let world = World::with(json!([{"reply": {"status": 404}}])).await;
    let error = world.run("task").await.unwrap_err();
    assert!(
        matches!(error, Error::ModelRefused { status: 404, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("scripted error"), "{error}");
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
    assert_eq!(world.run("task").await.unwrap().summary, "it fits");
    let results = world.results();
    assert_eq!(results[0], "[output dropped]");
    assert!(results[3].contains("2000"), "{results:?}");

    let hopeless = World::with(json!([{"reply": too_long}])).await;
    let error = hopeless.run("task").await.unwrap_err();
    assert!(matches!(error, Error::ModelContext { .. }), "{error:?}");
    assert_eq!(hopeless.requests().len(), 1);
}

#[tokio::test]
async fn what_an_endpoint_says_is_quoted_without_the_secrets_sent_to_it() {
    let said = json!({"status": 422, "message": "no such model for the-key of team-7"});
    let world = World::with(json!([{"reply": said}])).await;
    let error = world.run("task").await.unwrap_err().to_string();
    assert!(
        error.contains("no such model for [secret] of [secret]"),
        "{error}"
    );
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_unreachable_after_several_tries() {
    let mut world = World::with(json!([])).await;
    world.stop_model().await;
    let error = world.run("task").await.unwrap_err();
    assert!(matches!(error, Error::ModelUnreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(!format!("{error:?}").contains("the-key"));
}

#[tokio::test]
async fn malformed_calls_are_explained_and_three_in_a_row_end_the_run() {
    let world = World::with(json!([
        {"reply": call("bash", json!("{\"command\": ")), "times": 1},
        {"reply": call("shell", json!({"command": "ls"})), "times": 1},
        {"reply": call("edit", json!({"path": "a"})), "times": 1},
    ]))
    .await;
    let report = world.run("task").await.unwrap();
    assert_eq!(report.ended, Ended::MalformedCalls);
    assert_eq!(report.usage.turns, 3);
    let results = world.results();
    assert!(results[0].contains("no JSON object"), "{results:?}");
    assert!(results[1].contains("no tool \"shell\""), "{results:?}");
}

#[tokio::test]
async fn a_good_call_in_between_makes_malformed_ones_forgiven() {
    let bad = json!({"reply": call("bash", json!("{")), "times": 2});
    let good = json!({"reply": call("bash", json!({"command": "true"})), "times": 1});
    let world = World::with(json!([bad, good, bad, {"reply": {"text": "made it"}}])).await;
    assert_eq!(world.run("task").await.unwrap().ended, Ended::Finished);
}

#[tokio::test]
async fn empty_answers_are_explained_and_three_in_a_row_end_the_run() {
    let world = World::with(json!([{"reply": {"text": ""}}])).await;
    let report = world.run("task").await.unwrap();
    assert_eq!((report.ended, report.usage.turns), (Ended::NoToolCalls, 3));
}

#[test]
fn every_failure_of_the_model_ends_the_run_with_a_code_of_its_own() {
    use pipeline::failure_code::FailureCode as Code;
    for (error, code) in [
        (
            Error::ModelUnreachable {
                reason: String::new(),
            },
            Code::ModelUnreachable,
        ),
        (Error::ModelUnauthorized, Code::ModelUnauthorized),
        (Error::ModelRateLimited { after: None }, Code::ModelRateLimited),
        (Error::ModelServer { status: 500 }, Code::ModelFailed),
        (
            Error::ModelRefused {
                status: 400,
                said: String::new(),
            },
            Code::ModelFailed,
        ),
        (
            Error::ModelAnswer {
                reason: String::new(),
            },
            Code::ModelGarbled,
        ),
    ] {
        let failure = pipeline::failure::Failure::from(error);
        assert_eq!(failure.code(), code);
        assert!(
            matches!(failure, pipeline::failure::Failure::Abandon { .. }),
            "{failure:?}"
        );
    }
}
