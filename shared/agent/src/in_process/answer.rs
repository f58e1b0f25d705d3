//! What the model said, read from the endpoint's answer as leniently as can be done without guessing.

use std::collections::BTreeSet;

use genai::chat::{ChatMessage, ChatResponse, ContentPart, MessageContent, StopReason, ToolCall};
use serde_json::{Map, Value};

use crate::{Error, Usage};

/// A model that wrote no usage is taken to have used a token for every four bytes, so that token limits hold.
const BYTES_PER_TOKEN: u64 = 4;

/// How much of a malformed call or a wrong answer is quoted: enough to see what it is.
const QUOTE_CHARS_MAX: usize = 200;

/// One answer of the model.
#[derive(Debug)]
pub(super) struct Turn {
    /// For the conversation; absent when the answer was empty.
    pub(super) message: Option<ChatMessage>,
    /// What it said in words.
    pub(super) text: Option<String>,
    /// The tools it calls, in order.
    pub(super) calls: Vec<Call>,
    /// False when the answer was cut off at its length limit.
    pub(super) whole: bool,
    /// What this answer used, `turns` left at zero.
    pub(super) usage: Usage,
}

/// A tool call.
#[derive(Debug)]
pub(super) struct Call {
    /// The call, for the conversation also when malformed, then with empty arguments.
    pub(super) call: ToolCall,
    /// What is wrong with it, if it cannot be run.
    pub(super) malformed: Option<String>,
}

impl Turn {
    /// Reads a response. `request_bytes` is the size of the conversation that was sent; `number` makes ids unique.
    pub(super) fn of_response(
        response: ChatResponse,
        request_bytes: usize,
        number: u64,
    ) -> Result<Self, Error> {
        let body = response.captured_raw_body.unwrap_or_default();
        let usage = usage(&body, request_bytes, first_message(&body)?);
        let whole = !matches!(response.stop_reason, Some(StopReason::MaxTokens(_)));
        Ok(Self::of_content(
            response.content,
            response.reasoning_content,
            whole,
            usage,
            number,
        ))
    }

    /// Reads the body of a response that the client could not take as a whole, which one odd tool call is enough for.
    pub(super) fn of_body(body: &Value, request_bytes: usize, number: u64) -> Result<Self, Error> {
        let message = first_message(body)?;
        let mut content = MessageContent::default();
        if let Some(text) = message["content"]
            .as_str()
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            content.push(text);
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for raw in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &raw["function"];
            content.push(ToolCall {
                call_id: text(&raw["id"]),
                fn_name: text(&function["name"]),
                fn_arguments: function["arguments"].clone(),
                thought_signatures: None,
            });
        }
        let reasoning = message["reasoning_content"].as_str().map(str::to_owned);
        let whole = body["choices"][0]["finish_reason"] != "length";
        Ok(Self::of_content(
            content,
            reasoning,
            whole,
            usage(body, request_bytes, message),
            number,
        ))
    }

    fn of_content(
        mut content: MessageContent,
        reasoning: Option<String>,
        whole: bool,
        usage: Usage,
        number: u64,
    ) -> Self {
        let text = content
            .joined_texts()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        let mut seen = BTreeSet::new();
        let mut calls = Vec::new();
        for part in &mut content {
            if let ContentPart::ToolCall(call) = part {
                // Results are matched by id; some endpoints give none, or the same to all.
                if call.call_id.is_empty() || !seen.insert(call.call_id.clone()) {
                    call.call_id = format!("call-{number}-{}", calls.len());
                }
                let malformed = tidy(call).err();
                calls.push(Call {
                    call: call.clone(),
                    malformed,
                });
            }
        }
        let message = (text.is_some() || !calls.is_empty())
            .then(|| ChatMessage::assistant(content).with_reasoning_content(reasoning));
        Self {
            message,
            text,
            calls,
            whole,
            usage,
        }
    }
}

/// The message of an answer. Some gateways answer 200 with an error or with something else entirely.
fn first_message(body: &Value) -> Result<&Value, Error> {
    let message = &body["choices"][0]["message"];
    if message.is_object() {
        return Ok(message);
    }
    let reason = match body["error"]["message"].as_str() {
        Some(said) => format!("status 200 with an error: {}", quote(said)),
        None => "it has no choices".to_owned(),
    };
    Err(Error::ModelAnswer { reason })
}

/// Makes the arguments of a call an object, which is what endpoints insist on when the conversation is sent back: an
/// empty one when they are malformed. Says what is wrong then.
fn tidy(call: &mut ToolCall) -> Result<(), String> {
    let read = match std::mem::take(&mut call.fn_arguments) {
        Value::Object(arguments) => Ok(arguments),
        // Tools without arguments are called with an empty string by some models.
        Value::String(text) if text.trim().is_empty() => Ok(Map::new()),
        // JSON in a string, once more than usual.
        Value::String(text) => serde_json::from_str(&text).map_err(|error| {
            format!(
                "its arguments are no JSON object ({error}); they began with {}",
                quote(&text)
            )
        }),
        other => Err(format!(
            "its arguments are no JSON object but {}",
            quote(&other.to_string())
        )),
    };
    let read = if call.fn_name.is_empty() {
        Err("it names no tool".to_owned())
    } else {
        read
    };
    let (arguments, result) = read.map_or_else(|why| (Map::new(), Err(why)), |arguments| (arguments, Ok(())));
    call.fn_arguments = Value::Object(arguments);
    result
}

fn usage(body: &Value, request_bytes: usize, message: &Value) -> Usage {
    let reported = &body["usage"];
    let estimate = |bytes: usize| (bytes as u64).div_ceil(BYTES_PER_TOKEN);
    Usage {
        turns: 0,
        input_tokens: reported["prompt_tokens"]
            .as_u64()
            .unwrap_or_else(|| estimate(request_bytes)),
        cached_input_tokens: reported["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap_or(0),
        output_tokens: reported["completion_tokens"]
            .as_u64()
            .unwrap_or_else(|| estimate(message.to_string().len())),
        usd: None,
    }
}

/// The beginning of a foreign text, on one line.
pub(super) fn quote(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(QUOTE_CHARS_MAX)
        .collect();
    format!("{line:?}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(message: &Value) -> Value {
        json!({"choices": [{"message": message, "finish_reason": "stop"}]})
    }

    fn call(arguments: &Value) -> Value {
        json!({"tool_calls": [{"id": "a", "function": {"name": "bash", "arguments": arguments}}]})
    }

    #[test]
    fn odd_but_clear_calls_are_taken() {
        for (arguments, expected) in [
            (json!("{\"command\": \"ls\"}"), json!({"command": "ls"})),
            (json!({"command": "ls"}), json!({"command": "ls"})),
            (json!("  "), json!({})),
        ] {
            let turn = Turn::of_body(&body(&call(&arguments)), 0, 1).unwrap();
            assert_eq!(
                (&turn.calls[0].call.fn_arguments, &turn.calls[0].malformed),
                (&expected, &None)
            );
        }
    }

    #[test]
    fn unclear_calls_are_kept_with_what_is_wrong() {
        for (message, wrong) in [
            (call(&json!("{\"command\": ")), "no JSON object (EOF"),
            (call(&json!("[1]")), "no JSON object (invalid type"),
            (call(&json!(7)), "no JSON object but \"7\""),
            (call(&json!(null)), "no JSON object but \"null\""),
            (
                json!({"tool_calls": [{"id": "a", "function": {"arguments": "{}"}}]}),
                "no tool",
            ),
        ] {
            let turn = Turn::of_body(&body(&message), 0, 1).unwrap();
            let why = turn.calls[0].malformed.clone().unwrap_or_default();
            assert!(why.contains(wrong), "{message}: {why}");
            assert!(turn.message.is_some());
        }
    }

    #[test]
    fn only_the_malformed_one_of_several_calls_is_marked() {
        let calls = json!({"content": "text", "tool_calls": [
            {"id": "a", "function": {"name": "bash", "arguments": "{}"}},
            {"id": "b", "function": {"name": "bash", "arguments": "{"}},
        ]});
        let turn = Turn::of_body(&body(&calls), 0, 1).unwrap();
        let marked: Vec<bool> = turn.calls.iter().map(|call| call.malformed.is_some()).collect();
        assert_eq!(
            (marked.as_slice(), turn.text.as_deref()),
            (&[false, true][..], Some("text"))
        );
    }

    #[test]
    fn missing_and_doubled_ids_are_replaced() {
        let function = json!({"name": "bash", "arguments": "{}"});
        let calls: Vec<Value> = ["a", "", "a"]
            .iter()
            .map(|id| json!({"id": id, "function": function}))
            .collect();
        let turn = Turn::of_body(&body(&json!({"tool_calls": calls})), 0, 7).unwrap();
        let ids: Vec<&str> = turn.calls.iter().map(|call| call.call.call_id.as_str()).collect();
        assert_eq!(ids, ["a", "call-7-1", "call-7-2"]);
    }

    #[test]
    fn what_is_no_answer_is_an_error_that_says_why() {
        for (body, wrong) in [
            (
                json!({"error": {"message": "model\noverloaded"}}),
                "model overloaded",
            ),
            (json!({"choices": []}), "no choices"),
            (json!(null), "no choices"),
        ] {
            let error = Turn::of_body(&body, 0, 1).unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }

    #[test]
    fn usage_is_estimated_where_it_is_not_reported() {
        let mut body = body(&json!({"content": "hi"}));
        let turn = Turn::of_body(&body, 401, 1).unwrap();
        assert_eq!((turn.usage.input_tokens, turn.usage.output_tokens), (101, 4));
        body["usage"] = json!({"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}});
        let usage = Turn::of_body(&body, 401, 1).unwrap().usage;
        assert_eq!(
            (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens),
            (7, 5, 3)
        );
    }

    #[test]
    fn an_answer_cut_at_its_length_is_not_whole() {
        let mut body = body(&json!({"content": "as I was say"}));
        body["choices"][0]["finish_reason"] = "length".into();
        assert!(!Turn::of_body(&body, 0, 1).unwrap().whole);
    }
}
