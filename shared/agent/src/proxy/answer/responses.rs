//! OpenAI's responses.

use serde_json::Value;

use super::{Answer, Counted};

/// Reads a `response`.
pub(super) fn whole(body: &Value, answer: &mut Answer) {
    answer.fail(&body["error"]);
    if let Some(items) = body["output"].as_array() {
        answer.begun = true;
        for (index, item) in items.iter().enumerate() {
            read_item(item, index as u64, answer);
        }
    }
    usage(&body["usage"], answer);
    answer.stop(&body["status"]);
    // Nothing is under way any more: what was counted stands.
    answer.stopped.get_or_insert_with(String::new);
}

/// Reads an event of a stream.
pub(super) fn event(event: &Value, answer: &mut Answer) {
    let kind = event["type"].as_str().unwrap_or_default();
    let index = event["output_index"].as_u64().unwrap_or(0);
    let delta = event["delta"].as_str().unwrap_or_default();
    match kind {
        "response.output_text.delta" | "response.refusal.delta" => answer.say(delta),
        "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => answer.reason(delta),
        "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
            answer.call(index, "", delta);
        }
        "response.output_item.added" => {
            if let Some(name) = event["item"]["name"].as_str() {
                answer.call(index, name, "");
            }
        }
        "response.completed" | "response.incomplete" => completed(&event["response"], answer),
        "response.failed" => answer.fail(match &event["response"]["error"] {
            Value::Null => event,
            error => error,
        }),
        // Its message is in the event itself.
        "error" => answer.fail(match &event["error"] {
            Value::Null => event,
            error => error,
        }),
        _ => {}
    }
}

/// The last event repeats the whole answer; some endpoints leave out what they have said already.
fn completed(response: &Value, answer: &mut Answer) {
    if response["output"]
        .as_array()
        .is_some_and(|items| !items.is_empty())
    {
        let counted: Counted = answer.counted;
        *answer = Answer {
            counted,
            ..Answer::default()
        };
    }
    whole(response, answer);
}

fn read_item(item: &Value, index: u64, answer: &mut Answer) {
    let texts = |list: &Value| -> Vec<String> {
        let parts = list.as_array().into_iter().flatten();
        parts
            .filter_map(|part| part["text"].as_str().or_else(|| part["refusal"].as_str()))
            .map(str::to_owned)
            .collect()
    };
    match item["type"].as_str() {
        Some("message") => {
            for text in texts(&item["content"]) {
                answer.say(&text);
            }
        }
        Some("reasoning") => {
            for list in [&item["summary"], &item["content"]] {
                for text in texts(list) {
                    answer.reason(&text);
                }
            }
        }
        Some("function_call" | "custom_tool_call") => {
            let arguments = item["arguments"].as_str().or_else(|| item["input"].as_str());
            let name = item["name"].as_str().unwrap_or_default();
            answer.call(index, name, arguments.unwrap_or_default());
        }
        _ => {}
    }
}

fn usage(usage: &Value, answer: &mut Answer) {
    let (input, output) = (usage["input_tokens"].as_u64(), usage["output_tokens"].as_u64());
    if input.unwrap_or(0) == 0 && output.unwrap_or(0) == 0 {
        return;
    }
    answer.counted.input = input;
    answer.counted.output = output;
    answer.counted.cached = usage["input_tokens_details"]["cached_tokens"]
        .as_u64()
        .unwrap_or(0);
}
