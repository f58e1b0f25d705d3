//! Anthropic's messages.

use serde_json::Value;

use super::Answer;

/// Reads a `message`.
pub(super) fn whole(body: &Value, answer: &mut Answer) {
    answer.fail(&body["error"]);
    if let Some(blocks) = body["content"].as_array() {
        answer.begun = true;
        for (index, block) in blocks.iter().enumerate() {
            read_block(block, index as u64, answer);
        }
    }
    usage(&body["usage"], answer);
    answer.stop(&body["stop_reason"]);
    // Nothing is under way any more: what was counted stands.
    answer.stopped.get_or_insert_with(String::new);
}

/// Reads an event of a stream.
pub(super) fn event(event: &Value, answer: &mut Answer) {
    let index = event["index"].as_u64().unwrap_or(0);
    match event["type"].as_str() {
        Some("message_start") => {
            answer.begun = true;
            usage(&event["message"]["usage"], answer);
        }
        Some("content_block_start") => read_block(&event["content_block"], index, answer),
        Some("content_block_delta") => {
            let delta = &event["delta"];
            let text = |field: &str| delta[field].as_str().unwrap_or_default();
            match delta["type"].as_str() {
                Some("text_delta") => answer.say(text("text")),
                Some("thinking_delta") => answer.reason(text("thinking")),
                Some("input_json_delta") => answer.call(index, "", text("partial_json")),
                _ => {}
            }
        }
        Some("message_delta") => {
            usage(&event["usage"], answer);
            answer.stop(&event["delta"]["stop_reason"]);
        }
        Some("error") => answer.fail(&event["error"]),
        _ => {}
    }
}

fn read_block(block: &Value, index: u64, answer: &mut Answer) {
    match block["type"].as_str() {
        Some("text") => answer.say(block["text"].as_str().unwrap_or_default()),
        Some("thinking") => answer.reason(block["thinking"].as_str().unwrap_or_default()),
        Some("tool_use") => {
            // At the start of a stream it is empty, and comes in pieces.
            let input = match &block["input"] {
                Value::Null => String::new(),
                Value::Object(fields) if fields.is_empty() => String::new(),
                other => other.to_string(),
            };
            answer.call(index, block["name"].as_str().unwrap_or_default(), &input);
        }
        _ => {}
    }
}

/// Anthropic counts cached tokens apart, tells the input at the start and the output, in sums, until the end.
fn usage(usage: &Value, answer: &mut Answer) {
    let number = |field: &str| usage[field].as_u64();
    let counted = &mut answer.counted;
    if let Some(plain) = number("input_tokens") {
        let cached = number("cache_read_input_tokens").unwrap_or(0);
        let written = number("cache_creation_input_tokens").unwrap_or(0);
        let hour = usage["cache_creation"]["ephemeral_1h_input_tokens"]
            .as_u64()
            .unwrap_or(0)
            .min(written);
        let input = plain.saturating_add(cached).saturating_add(written);
        // Zeros are how some endpoints say that they do not count; a later event may have what the first had not.
        if input > 0 {
            counted.input = Some(input);
            counted.cached = cached;
            counted.written_1_hour = hour;
            counted.written_5_minutes = written - hour;
        }
    }
    if let Some(output) = number("output_tokens").filter(|output| *output > 0) {
        counted.output = Some(output);
    }
}
