//! OpenAI's chat completions.

use serde_json::{Value, json};

use super::{Answer, pieces};
use crate::script::Tokens;

pub(super) fn whole(answer: &Answer) -> Value {
    let mut message = json!({"role": "assistant", "content": answer.text, "refusal": null});
    if !answer.tool_calls.is_empty() {
        message["tool_calls"] = answer
            .tool_calls
            .iter()
            .enumerate()
            .map(|(index, call)| {
                let function = json!({"name": call.name, "arguments": call.arguments_text()});
                json!({"id": answer.call_id(index), "type": "function", "function": function})
            })
            .collect();
    }
    let choice =
        json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(answer)});
    let mut whole = envelope(answer, "chat.completion", json!([choice]));
    if let Some(tokens) = &answer.tokens {
        whole["usage"] = usage(tokens);
    }
    whole
}

/// The chunks: role, pieces of text, tool calls with their arguments in pieces, the reason, and usage if asked for.
pub(super) fn stream(answer: &Answer, with_usage: bool) -> Vec<Value> {
    let mut deltas = vec![json!({"role": "assistant", "content": ""})];
    deltas.extend(pieces(answer.text.as_deref().unwrap_or_default()).map(|piece| json!({"content": piece})));
    for (index, call) in answer.tool_calls.iter().enumerate() {
        let function = json!({"name": call.name, "arguments": ""});
        let start =
            json!({"index": index, "id": answer.call_id(index), "type": "function", "function": function});
        deltas.push(json!({"tool_calls": [start]}));
        let arguments = call.arguments_text();
        deltas.extend(
            pieces(&arguments)
                .map(|piece| json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})),
        );
    }
    let mut chunks: Vec<Value> = deltas
        .into_iter()
        .map(|delta| chunk(answer, &delta, &Value::Null))
        .collect();
    chunks.push(chunk(answer, &json!({}), &finish_reason(answer).into()));
    if let Some(tokens) = answer.tokens.as_ref().filter(|_| with_usage) {
        let mut last = envelope(answer, "chat.completion.chunk", json!([]));
        last["usage"] = usage(tokens);
        chunks.push(last);
    }
    chunks
}

fn chunk(answer: &Answer, delta: &Value, finish_reason: &Value) -> Value {
    let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
    envelope(answer, "chat.completion.chunk", json!([choice]))
}

fn envelope(answer: &Answer, object: &str, choices: Value) -> Value {
    json!({
        "id": format!("chatcmpl-{}", answer.number),
        "object": object,
        "created": answer.created,
        "model": answer.model,
        "choices": choices,
    })
}

fn finish_reason(answer: &Answer) -> &'static str {
    if answer.tool_calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    }
}

fn usage(tokens: &Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
    })
}
