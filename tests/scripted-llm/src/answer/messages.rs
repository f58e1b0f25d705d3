//! Anthropic's messages.

use serde_json::{Value, json};

use super::{Answer, pieces};

pub(super) fn whole(answer: &Answer) -> Value {
    let text = answer
        .text
        .iter()
        .map(|text| json!({"type": "text", "text": text}));
    let calls = answer.tool_calls.iter().enumerate().map(|(index, call)| {
        json!({"type": "tool_use", "id": answer.call_id(index), "name": call.name, "input": call.arguments})
    });
    let mut message = envelope(answer);
    message["content"] = text.chain(calls).collect();
    message["stop_reason"] = stop_reason(answer).into();
    message["usage"]["output_tokens"] = output_tokens(answer).into();
    message
}

/// The events, in the order in which Anthropic sends them.
pub(super) fn stream(answer: &Answer) -> Vec<Value> {
    let mut events = vec![json!({"type": "message_start", "message": envelope(answer)})];
    let mut index = 0;
    if let Some(text) = &answer.text {
        let deltas: Vec<Value> = pieces(text)
            .map(|piece| json!({"type": "text_delta", "text": piece}))
            .collect();
        block(&mut events, index, &json!({"type": "text", "text": ""}), deltas);
        index += 1;
    }
    for (number, call) in answer.tool_calls.iter().enumerate() {
        let arguments = call.arguments_text();
        let start = json!({"type": "tool_use", "id": answer.call_id(number), "name": call.name, "input": {}});
        let deltas = pieces(&arguments)
            .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
            .collect();
        block(&mut events, index, &start, deltas);
        index += 1;
    }
    events.push(json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null},
        "usage": {"output_tokens": output_tokens(answer)},
    }));
    events.push(json!({"type": "message_stop"}));
    events
}

fn block(events: &mut Vec<Value>, index: usize, start: &Value, deltas: Vec<Value>) {
    events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
    events.extend(
        deltas
            .into_iter()
            .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
    );
    events.push(json!({"type": "content_block_stop", "index": index}));
}

/// Anthropic always has these fields; an endpoint that does not count has zeros in them.
fn output_tokens(answer: &Answer) -> usize {
    answer.tokens.map_or(0, |tokens| tokens.output)
}

fn envelope(answer: &Answer) -> Value {
    let input = answer
        .tokens
        .map_or(0, |tokens| tokens.input.saturating_sub(tokens.cached));
    json!({
        "id": format!("msg_{}", answer.number),
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": input,
            "output_tokens": usize::from(answer.tokens.is_some()),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": answer.tokens.map_or(0, |tokens| tokens.cached),
        },
    })
}

fn stop_reason(answer: &Answer) -> &'static str {
    if answer.tool_calls.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    }
}
