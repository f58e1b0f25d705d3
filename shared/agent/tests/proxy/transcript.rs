//! What is kept of a run's model calls.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use crate::world::{APIS, GATEWAY, REAL_KEY, World, lines, says};

#[tokio::test]
async fn each_line_has_what_is_new_and_what_was_answered() {
    let world = World::with(json!([
        {"when": "fix it", "reply": {"text": "looking", "tool_calls": [{"name": "view", "arguments": {"path": "a"}}]}},
        {"reply": {"text": "done", "usage": {"input": 7, "cached": 3, "output": 1}}},
    ]))
    .await;
    let tool = json!({"type": "function", "function": {"name": "view", "parameters": {"type": "object"}}});
    let mut body = json!({
        "model": "the-model",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "fix it"}],
        "tools": [tool, {"type": "web_search"}],
    });
    let (_, answer) = world.ask("/v1/chat/completions", &body).await;
    let said = answer["choices"][0]["message"].clone();
    let result = json!({"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "empty"});
    let messages = body["messages"].as_array_mut().unwrap();
    messages.extend([said.clone(), result.clone()]);
    assert_eq!(world.ask("/v1/chat/completions", &body).await.0, 200);
    world.post("/v1/files", &json!({})).await;

    let lines = lines(&world.end().await);
    assert_eq!(lines.len(), 3);
    let first = &lines[0];
    assert!(first["time"].is_string());
    assert_eq!(
        (&first["request"], &first["api"]),
        (&json!(1), &json!("chat/completions"))
    );
    assert_eq!(first["tools"], json!([tool]));
    assert_eq!(first["removed"], json!(["tool web_search"]));
    assert_eq!(first["new"].as_array().map(Vec::len), Some(2));
    let call = json!({"name": "view", "arguments": "{\"path\":\"a\"}"});
    assert_eq!(
        first["answer"],
        json!({"text": "looking", "tool_calls": [call], "stopped": "tool_calls"})
    );
    let second = &lines[1];
    assert!(second.get("tools").is_none());
    assert_eq!(second["new"].as_array().map(Vec::len), Some(2));
    assert_eq!(second["new"][1], result);
    assert_eq!(second["usage"], json!({"input": 7, "cached": 3, "output": 1}));
    assert_eq!(
        (&lines[2]["status"], &lines[2]["refused"]),
        (&json!(404), &json!("POST /v1/files is not passed on"))
    );
}

/// A text with every secret in every form in which one is looked for.
fn with_secrets(key: &str) -> String {
    let mut forms = Vec::new();
    for secret in [REAL_KEY, GATEWAY, key] {
        for shift in 0..3 {
            let shifted = format!("{}{secret}!", "a".repeat(shift));
            forms.extend([STANDARD.encode(&shifted), URL_SAFE.encode(&shifted)]);
        }
        forms.extend([secret.to_owned(), hex::encode(secret), hex::encode_upper(secret)]);
    }
    forms.join(" ")
}

/// The secrets that a text has, in a form of [`with_secrets`].
fn leaked(text: &str, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    for secret in [REAL_KEY, GATEWAY, key] {
        let forms = [secret.to_owned(), hex::encode(secret), hex::encode_upper(secret)];
        found.extend(forms.into_iter().filter(|form| text.contains(form)));
        for shift in 0..3 {
            let encoded = STANDARD.encode(format!("{}{secret}!", "a".repeat(shift)));
            // What is beside the secret is in the first and the last characters.
            let middle = encoded[4..encoded.len() - 4].to_owned();
            found.extend(text.contains(&middle).then_some(middle));
        }
    }
    found
}

#[tokio::test]
async fn secrets_are_not_in_it_in_any_form() {
    let world = World::with(json!([])).await;
    let key = world.proxy.key().to_owned();
    let text = with_secrets(&key);
    assert_eq!(leaked(&text, &key).len(), 18, "the search finds what is planted");
    let script = json!([{"reply": [
        {"text": text, "tool_calls": [{"name": "bash", "arguments": {"command": text}}]},
        {"status": 400, "message": text},
    ]}]);
    world
        .model
        .set_script(scripted_llm::Script::from_value(script).unwrap());
    for (path, field) in APIS {
        for number in 0..2 {
            let mut body = says(field, &format!("{text}{number}"));
            body["tools"] = json!([{"type": text, "name": text}]);
            world.ask(path, &body).await;
        }
    }
    world.post(&format!("/{key}"), &json!({})).await;
    let end = world.end().await;
    let lines = lines(&end);
    assert_eq!(lines.len(), 7);
    let transcript = String::from_utf8(end.transcript).unwrap();
    assert_eq!(leaked(&transcript, &key), Vec::<String>::new());
    assert!(transcript.contains("[secret]"));
    let error = end.last_error.unwrap();
    assert_eq!(leaked(&format!("{error:?} {error}"), &key), Vec::<String>::new());
}

#[tokio::test]
async fn it_stays_small_whatever_an_agent_sends() {
    let world = World::with(json!([{"reply": {"text": "x"}}])).await;
    for number in 0..3 {
        let parts: Vec<Value> = (0..20)
            .map(|part| json!({"type": "text", "text": format!("{number}-{part}-{}", "x".repeat(50_000))}))
            .collect();
        let body = json!({"model": "the-model", "messages": [{"role": "user", "content": parts}]});
        assert_eq!(world.ask("/v1/chat/completions", &body).await.0, 200);
    }
    let end = world.end().await;
    assert_eq!(lines(&end).len(), 3);
    assert!(end.transcript.len() < 100_000, "{}", end.transcript.len());
}
