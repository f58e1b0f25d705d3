//! The same work through each of the three APIs.

use serde_json::{Value, json};

use crate::world::{World, call};

const APIS: [(&str, &str); 3] = [
    ("chat", "/v1/chat/completions"),
    ("responses", "/v1/responses"),
    ("messages", "/v1/messages"),
];

fn script() -> Value {
    json!([
        {"when": "subtracts", "reply": {"text": "I look first.", "tool_calls": [
            {"name": "search", "arguments": {"pattern": "a - b"}},
            {"name": "view", "arguments": {"path": "src/add.rs"}},
        ]}},
        {"when": "edited", "reply": call("bash", json!({"command": "cat src/add.rs"}))},
        {"when": "a + b", "reply": call("finish", json!({
            "summary": "It adds now.", "not_done": ["docs"], "questions": "Why at all?"}))},
        {"when": "fn add", "reply": call("edit", json!({"path": "src/add.rs", "old": "a - b", "new": "a + b"}))},
    ])
}

#[tokio::test]
async fn the_same_script_gives_the_same_edits_through_every_api() {
    for (api, path) in APIS {
        let world = World::speaking(api, script()).await;
        world.write("src/add.rs", b"fn add() { a - b }\n");
        let ran = world.run("add() subtracts, please fix").await;
        assert_eq!(ran.summary(), "It adds now.", "{api}");
        assert_eq!(
            (ran.said("not_done"), ran.said("questions")),
            (&json!(["docs"]), &json!(["Why at all?"]))
        );
        assert_eq!(world.read("src/add.rs"), b"fn add() { a + b }\n", "{api}");
        assert_eq!(
            ran.steps,
            [
                "searched for `a - b`",
                "looked at src/add.rs",
                "edited src/add.rs",
                "ran `cat src/add.rs`"
            ]
        );
        assert!(ran.status.success() && ran.garbage.is_empty() && ran.stderr.is_empty());
        assert_eq!(world.results().len(), 4, "{api}");
        assert!(
            world.requests().iter().all(|request| request.path == path),
            "{api}"
        );
    }
}

#[tokio::test]
async fn every_api_carries_key_model_task_and_tools() {
    for (api, _) in APIS {
        let world = World::speaking(api, json!([{"reply": {"text": "ok"}}])).await;
        assert_eq!(world.run("the brief itself").await.summary(), "ok");
        let request = world.requests().remove(0);
        let key = if api == "messages" {
            assert_eq!(request.headers["anthropic-version"], "2023-06-01");
            &request.headers["x-api-key"]
        } else {
            request.headers["authorization"].trim_start_matches("Bearer ")
        };
        assert_eq!(key, "the-key", "{api}");
        assert_eq!(request.body["model"], "vendor::qwen-high");
        let named = |tool: &Value| {
            tool["name"]
                .as_str()
                .or(tool["function"]["name"].as_str())
                .map(str::to_owned)
        };
        let tools = request.body["tools"].as_array().expect("tools");
        let tools: Vec<String> = tools.iter().filter_map(named).collect();
        assert_eq!(tools, ["bash", "search", "view", "edit", "finish"], "{api}");
        let body = request.body.to_string();
        assert!(body.contains("<task>\\nthe brief itself\\n</task>"), "{body}");
        assert!(body.contains("You are a software engineer"), "{body}");
    }
}

#[tokio::test]
async fn odd_answers_are_taken_alike_through_every_api() {
    for (api, _) in APIS {
        let world = World::speaking(
            api,
            json!([
                {"reply": call("bash", json!("{\"command\": ")), "times": 1},
                {"reply": {"text": "", "tool_calls": []}, "times": 1},
                {"reply": call("shell", json!({"command": "ls"})), "times": 1},
                {"reply": call("bash", json!({"command": "echo fine"})), "times": 1},
                {"reply": {"text": "  made it\n"}},
            ]),
        )
        .await;
        // Three useless answers in a row, one of them of another kind.
        let ran = world.run("task").await;
        assert_eq!(ran.said("ended"), "malformed_calls", "{api}: {ran:?}");
        assert_eq!(world.run("again").await.summary(), "made it", "{api}");
    }
}

#[tokio::test]
async fn what_is_no_answer_ends_the_run_through_every_api() {
    for (api, _) in APIS {
        for garbage in [
            "<html>busy</html>",
            "",
            "[]",
            "{}",
            "{\"error\": {\"message\": \"overloaded\"}}",
        ] {
            let world = World::speaking(api, json!([{"reply": {"garbage": garbage}}])).await;
            let ran = world.run("task").await;
            let why = ran.said("ended")["unanswered"]["garbled"]["reason"].as_str();
            assert!(why.is_some(), "{api} {garbage}: {ran:?}");
            assert_eq!(
                why.is_some_and(|why| why.contains("overloaded")),
                garbage.contains("overloaded")
            );
            assert_eq!(world.requests().len(), 1);
            assert!(ran.status.success(), "a report was written");
        }
    }
}

#[tokio::test]
async fn a_model_that_cannot_seal_its_thoughts_is_asked_without_them() {
    let refusal = json!({"status": 400, "message": "Encrypted content is not supported with this model."});
    let world = World::speaking(
        "responses",
        json!([
            {"reply": refusal, "times": 1},
            {"reply": call("bash", json!({"command": "true"})), "times": 1},
            {"reply": {"text": "ok"}},
        ]),
    )
    .await;
    assert_eq!(world.run("task").await.summary(), "ok");
    let asked: Vec<bool> = world
        .requests()
        .iter()
        .map(|request| request.body["include"] == json!(["reasoning.encrypted_content"]))
        .collect();
    assert_eq!(asked, [true, false, false]);

    let refused = World::speaking("chat", json!([{"reply": refusal}])).await;
    assert!(refused.run("task").await.said("ended")["unanswered"]["refused"].is_object());
    assert_eq!(refused.requests().len(), 1);
}
