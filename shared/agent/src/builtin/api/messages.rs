//! Anthropic's messages, with marks up to where the endpoint is to keep the conversation for the next request.

use serde_json::{Value, json};

use super::super::answer::{Answered, AnsweredPart};
use super::super::conversation::{Message, Part, ToolResult};
use super::super::sizes::Sizes;
use super::{Question, text};

/// The version of the API.
pub(super) const VERSION: &str = "2023-06-01";

/// How many of the last messages from outside are marked: the one before the last is where the request before this one
/// was kept to. With the system message and the tools it makes four, which is the most that the API takes.
const MESSAGES_MARKED: usize = 2;

pub(super) fn request(question: &Question<'_>) -> Value {
    let mut messages: Vec<Value> = question.messages.iter().map(message).collect();
    let from_outside = messages
        .iter_mut()
        .rev()
        .filter(|message| message["role"] == "user");
    for message in from_outside.take(MESSAGES_MARKED) {
        mark_last(&mut message["content"]);
    }
    let mut tools: Value = question
        .tools
        .iter()
        .map(|tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.schema}))
        .collect();
    mark_last(&mut tools);
    let mut system = json!([{"type": "text", "text": question.system}]);
    mark_last(&mut system);
    json!({
        "model": question.model,
        "max_tokens": Sizes::of(question.model).answer,
        "system": system,
        "messages": messages,
        "tools": tools,
    })
}

fn mark_last(list: &mut Value) {
    if let Some(last) = list.as_array_mut().and_then(|list| list.last_mut()) {
        last["cache_control"] = json!({"type": "ephemeral"});
    }
}

fn message(message: &Message) -> Value {
    let (role, content): (&str, Vec<Value>) = match message {
        Message::User(text) => ("user", vec![json!({"type": "text", "text": text})]),
        Message::Model(parts) => ("assistant", parts.iter().map(block).collect()),
        Message::Results(results) => ("user", results.iter().map(result_block).collect()),
    };
    json!({"role": role, "content": content})
}

fn block(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Call(call) => {
            json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments})
        }
        Part::Opaque(block) => block.clone(),
    }
}

fn result_block(result: &ToolResult) -> Value {
    let mut block = json!({"type": "tool_result", "tool_use_id": result.id, "content": result.text});
    if result.failed {
        block["is_error"] = true.into();
    }
    block
}

pub(super) fn read(body: &Value) -> Option<Answered> {
    let content = body["content"].as_array()?;
    let mut parts = Vec::new();
    for block in content {
        match block["type"].as_str() {
            Some("text") => parts.push(AnsweredPart::Text(text(&block["text"]))),
            Some("tool_use") => parts.push(AnsweredPart::Call {
                id: text(&block["id"]),
                name: text(&block["name"]),
                arguments: block["input"].clone(),
            }),
            Some("thinking" | "redacted_thinking") => parts.push(AnsweredPart::Opaque(block.clone())),
            _ => {}
        }
    }
    let cut = ["max_tokens", "model_context_window_exceeded"];
    Some(Answered {
        parts,
        whole: !cut.iter().any(|reason| body["stop_reason"] == *reason),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::answer::Turn;
    use super::super::Api;
    use super::super::tests::{conversation, request};
    use super::*;

    #[test]
    fn a_conversation_is_written_with_all_results_in_one_message_and_marks() {
        let request = request(Api::Messages, &conversation());
        let mark = json!({"type": "ephemeral"});
        assert_eq!(
            request["system"],
            json!([{"type": "text", "text": "the system message", "cache_control": mark}])
        );
        assert_eq!(
            request["messages"],
            json!([
                {"role": "user", "content": [{"type": "text", "text": "the task"}]},
                {"role": "assistant", "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "a", "name": "bash", "input": {"command": "ls"}},
                    {"type": "tool_use", "id": "b", "name": "bash", "input": {"command": "pwd"}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": "files"},
                    {"type": "tool_result", "tool_use_id": "b", "content": "error: no", "is_error": true,
                        "cache_control": mark},
                ]},
                {"role": "user", "content": [{"type": "text", "text": "go on", "cache_control": mark}]},
            ])
        );
        let tools = request["tools"].as_array().unwrap();
        let marked: Vec<bool> = tools.iter().map(|tool| tool["cache_control"] == mark).collect();
        assert_eq!(marked.iter().rposition(|marked| *marked), Some(tools.len() - 1));
        assert_eq!(marked.iter().filter(|marked| **marked).count(), 1);
        assert_eq!(request["max_tokens"], 16_000);
    }

    #[test]
    fn a_call_without_arguments_is_malformed() {
        let body = json!({"content": [{"type": "tool_use", "id": "a", "name": "bash"}]});
        let turn = Turn::of(read(&body).unwrap(), 1);
        assert!(turn.calls[0].malformed.is_some());
    }

    #[test]
    fn an_answer_cut_at_its_length_is_not_whole() {
        for (reason, whole) in [("max_tokens", false), ("end_turn", true), ("refusal", true)] {
            let body = json!({"content": [{"type": "text", "text": "as I"}], "stop_reason": reason});
            assert_eq!(read(&body).unwrap().whole, whole, "{reason}");
        }
    }
}
