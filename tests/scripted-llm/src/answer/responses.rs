//! OpenAI's responses.

use serde_json::{Value, json};

use super::{Answer, pieces};

pub(super) fn whole(answer: &Answer) -> Value {
    let mut response = envelope(answer, "completed");
    response["output"] = items(answer).into();
    if let Some(tokens) = &answer.tokens {
        response["usage"] = json!({
            "input_tokens": tokens.input,
            "input_tokens_details": {"cached_tokens": tokens.cached},
            "output_tokens": tokens.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": tokens.input + tokens.output,
        });
    }
    response
}

/// The events, each with its sequence number, in the order in which OpenAI sends them.
pub(super) fn stream(answer: &Answer) -> Vec<Value> {
    let started = envelope(answer, "in_progress");
    let mut events = vec![
        json!({"type": "response.created", "response": started}),
        json!({"type": "response.in_progress", "response": started}),
    ];
    for (index, item) in items(answer).into_iter().enumerate() {
        if item["type"] == "message" {
            text_events(
                &mut events,
                index,
                &item,
                answer.text.as_deref().unwrap_or_default(),
            );
        } else {
            call_events(&mut events, index, &item);
        }
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    events.push(json!({"type": "response.completed", "response": whole(answer)}));
    for (sequence, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = sequence.into();
    }
    events
}

fn text_events(events: &mut Vec<Value>, index: usize, item: &Value, text: &str) {
    let mut started = item.clone();
    started["status"] = "in_progress".into();
    started["content"] = json!([]);
    let at =
        |kind: &str| json!({"type": kind, "item_id": item["id"], "output_index": index, "content_index": 0});
    let with = |kind: &str, field: &str, value: Value| {
        let mut event = at(kind);
        event[field] = value;
        event
    };
    events.push(json!({"type": "response.output_item.added", "output_index": index, "item": started}));
    events.push(with("response.content_part.added", "part", text_part("")));
    events.extend(pieces(text).map(|piece| with("response.output_text.delta", "delta", piece.into())));
    events.push(with("response.output_text.done", "text", text.into()));
    events.push(with("response.content_part.done", "part", text_part(text)));
}

fn call_events(events: &mut Vec<Value>, index: usize, item: &Value) {
    let mut started = item.clone();
    started["status"] = "in_progress".into();
    started["arguments"] = "".into();
    let arguments = item["arguments"].as_str().unwrap_or_default();
    let at = |kind: &str, field: &str, value: &str| {
        let mut event = json!({"type": kind, "item_id": item["id"], "output_index": index});
        event[field] = value.into();
        event
    };
    events.push(json!({"type": "response.output_item.added", "output_index": index, "item": started}));
    events
        .extend(pieces(arguments).map(|piece| at("response.function_call_arguments.delta", "delta", piece)));
    events.push(at(
        "response.function_call_arguments.done",
        "arguments",
        arguments,
    ));
}

fn items(answer: &Answer) -> Vec<Value> {
    let message = answer.text.iter().map(|text| {
        let id = format!("msg_{}", answer.number);
        json!({
            "type": "message", "id": id, "role": "assistant", "status": "completed", "content": [text_part(text)],
        })
    });
    let calls = answer.tool_calls.iter().enumerate().map(|(index, call)| {
        json!({
            "type": "function_call",
            "id": format!("fc_{}_{index}", answer.number),
            "call_id": answer.call_id(index),
            "name": call.name,
            "arguments": call.arguments_text(),
            "status": "completed",
        })
    });
    message.chain(calls).collect()
}

fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

fn envelope(answer: &Answer, status: &str) -> Value {
    json!({
        "id": format!("resp_{}", answer.number),
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "model": answer.model,
        "output": [],
        "error": null,
        "incomplete_details": null,
        "parallel_tool_calls": true,
        "usage": null,
    })
}
