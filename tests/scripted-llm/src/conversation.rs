//! Reads a request of any of the three APIs: what was said last, and whether a real endpoint would take it.

use std::collections::BTreeSet;

use serde_json::Value;

/// The APIs answered, told apart by how the path ends, so that any base path works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI's `POST …/chat/completions`.
    ChatCompletions,
    /// OpenAI's `POST …/responses`.
    Responses,
    /// Anthropic's `POST …/messages`.
    Messages,
    /// Anthropic's `POST …/messages/count_tokens`; no rule answers it.
    CountTokens,
}

impl Api {
    /// The API that `path` belongs to, if any.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        [
            ("/chat/completions", Self::ChatCompletions),
            ("/responses", Self::Responses),
            ("/messages", Self::Messages),
            ("/messages/count_tokens", Self::CountTokens),
        ]
        .into_iter()
        .find_map(|(end, api)| path.ends_with(end).then_some(api))
    }

    /// The turns of a request body: `messages`, or `input`, which may be a bare string.
    ///
    /// Fails with the sentence a 400 carries.
    pub(crate) fn turns(self, body: &Value) -> Result<Vec<Value>, String> {
        let field = if self == Self::Responses {
            "input"
        } else {
            "messages"
        };
        match &body[field] {
            Value::Array(turns) if !turns.is_empty() => Ok(turns.clone()),
            Value::String(text) if self == Self::Responses => {
                Ok(vec![serde_json::json!({"role": "user", "content": text})])
            }
            _ => Err(format!("the body needs a non-empty `{field}`")),
        }
    }
}

/// The text of the last user or tool message; empty when there is none.
pub(crate) fn last_said(turns: &[Value]) -> String {
    turns
        .iter()
        .rev()
        .find(|turn| is_user_or_tool(turn))
        .map(text_of)
        .unwrap_or_default()
}

fn is_user_or_tool(turn: &Value) -> bool {
    matches!(turn["role"].as_str(), Some("user" | "tool")) || turn["type"] == "function_call_output"
}

/// All text of a turn: plain, in parts, or inside Anthropic's tool results.
fn text_of(turn: &Value) -> String {
    let content = if turn["type"] == "function_call_output" {
        &turn["output"]
    } else {
        &turn["content"]
    };
    let mut text = String::new();
    collect(content, &mut text);
    text
}

fn collect(content: &Value, text: &mut String) {
    match content {
        Value::String(part) => {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(part);
        }
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, text)),
        Value::Object(part) => {
            for field in ["text", "content"] {
                part.get(field).into_iter().for_each(|inner| collect(inner, text));
            }
        }
        _ => {}
    }
}

/// What OpenAI's chat API insists on: each tool call is answered, once, right after the message that made it.
///
/// Fails with the sentence a 400 carries. Clients that get this wrong work against lenient servers only.
pub(crate) fn check_tool_messages(turns: &[Value]) -> Result<(), String> {
    let mut open: BTreeSet<&str> = BTreeSet::new();
    for (index, turn) in turns.iter().enumerate() {
        if turn["role"] == "tool" {
            let id = turn["tool_call_id"].as_str().unwrap_or_default();
            if !open.remove(id) {
                return Err(format!("messages[{index}]: no open tool call has the id {id:?}"));
            }
            continue;
        }
        if let Some(id) = open.first() {
            return Err(format!(
                "messages[{index}]: the tool call {id:?} before it has no tool message"
            ));
        }
        open = turn["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|call| call["id"].as_str())
            .collect();
    }
    match open.first() {
        Some(id) => Err(format!("the tool call {id:?} has no tool message")),
        None => Ok(()),
    }
}
