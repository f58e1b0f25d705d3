//! OpenAI's chat completions.

use serde_json::Value;

use super::Answer;

/// Reads a `chat.completion`.
pub(super) fn whole(body: &Value, answer: &mut Answer) {
    answer.fail(&body["error"]);
    for choice in body["choices"].as_array().into_iter().flatten() {
        answer.begun = true;
        message(&choice["message"], answer);
        answer.stop(&choice["finish_reason"]);
    }
    usage(&body["usage"], answer);
    // Nothing is under way any more: what was counted stands.
    answer.stopped.get_or_insert_with(String::new);
}

/// Reads a `chat.completion.chunk`.
pub(super) fn event(event: &Value, answer: &mut Answer) {
    answer.fail(&event["error"]);
    for choice in event["choices"].as_array().into_iter().flatten() {
        answer.begun = true;
        message(&choice["delta"], answer);
        answer.stop(&choice["finish_reason"]);
    }
    usage(&event["usage"], answer);
}

fn message(message: &Value, answer: &mut Answer) {
    match &message["content"] {
        Value::String(text) => answer.say(text),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .for_each(|text| answer.say(text)),
        _ => {}
    }
    if let Some(text) = message["refusal"].as_str() {
        answer.say(text);
    }
    // Not a standard; endpoints use either name.
    let reasoning = message["reasoning_content"].as_str();
    if let Some(text) = reasoning.or_else(|| message["reasoning"].as_str()) {
        answer.reason(text);
    }
    for (position, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let index = call["index"].as_u64().unwrap_or(position as u64);
        let (name, arguments) = match &call["custom"] {
            Value::Null => (&call["function"]["name"], &call["function"]["arguments"]),
            custom => (&custom["name"], &custom["input"]),
        };
        // Some endpoints answer with arguments that are an object.
        let arguments = match arguments {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        answer.call(index, name.as_str().unwrap_or_default(), &arguments);
    }
}

/// The last count is that of the whole answer, also where each chunk has one.
fn usage(usage: &Value, answer: &mut Answer) {
    let (input, output) = (
        usage["prompt_tokens"].as_u64(),
        usage["completion_tokens"].as_u64(),
    );
    // Zeros are how some endpoints say that they do not count.
    if input.unwrap_or(0) == 0 && output.unwrap_or(0) == 0 {
        return;
    }
    answer.counted.input = input;
    answer.counted.output = output;
    answer.counted.cached = usage["prompt_tokens_details"]["cached_tokens"]
        .as_u64()
        .unwrap_or(0);
}
