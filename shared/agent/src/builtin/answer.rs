//! What the model said, read from the endpoint's answer as leniently as can be done without guessing.

use std::collections::BTreeSet;

use genai::chat::{ChatMessage, ChatResponse, ContentPart, MessageContent, StopReason, ToolCall};
use serde_json::{Value, json};

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
        let first = first_message(&body)?;
        let usage = usage(&body, request_bytes, first);
        let whole = !matches!(response.stop_reason, Some(StopReason::MaxTokens(_)));
        let mut content = response.content;
        make_ids_unique(&mut content, number);
        Ok(Self::of_content(
            content,
            response.reasoning_content,
            BTreeSet::new(),
            whole,
            usage,
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
        let mut malformed = BTreeSet::new();
        for raw in message["tool_calls"].as_array().into_iter().flatten() {
            let (call, wrong) = lenient_call(raw);
            content.push(call);
            malformed.extend(wrong.map(|why| (content.tool_calls().len() - 1, why)));
        }
        make_ids_unique(&mut content, number);
        let reasoning = message["reasoning_content"].as_str().map(str::to_owned);
        let whole = body["choices"][0]["finish_reason"] != "length";
        Ok(Self::of_content(
            content,
            reasoning,
            malformed,
            whole,
            usage(body, request_bytes, message),
        ))
    }

    fn of_content(
        content: MessageContent,
        reasoning: Option<String>,
        malformed: BTreeSet<(usize, String)>,
        whole: bool,
        usage: Usage,
    ) -> Self {
        let text = content
            .joined_texts()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        let mut calls: Vec<Call> = content
            .tool_calls()
            .into_iter()
            .map(|call| Call {
                call: call.clone(),
                malformed: None,
            })
            .collect();
        for (index, why) in malformed {
            calls[index].malformed = Some(why);
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

/// A tool call from its JSON, and what is wrong with it.
fn lenient_call(raw: &Value) -> (ToolCall, Option<String>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let function = &raw["function"];
    let (arguments, malformed) = match &function["arguments"] {
        Value::Object(arguments) => (Value::Object(arguments.clone()), None),
        // Tools without arguments are called with an empty string by some models.
        Value::String(text) if text.trim().is_empty() => (json!({}), None),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(arguments) => (arguments, None),
            Err(error) => (
                json!({}),
                Some(format!(
                    "its arguments are not JSON ({error}); they began with {}",
                    quote(text)
                )),
            ),
        },
        _ => (json!({}), Some("it has no arguments".to_owned())),
    };
    let fn_name = text(&function["name"]);
    let malformed = if fn_name.is_empty() {
        Some("it names no tool".to_owned())
    } else {
        malformed
    };
    let call = ToolCall {
        call_id: text(&raw["id"]),
        fn_name,
        fn_arguments: arguments,
        thought_signatures: None,
    };
    (call, malformed)
}

/// Gives calls without an id, or with that of another call of the same answer, an id: results are matched by it.
fn make_ids_unique(content: &mut MessageContent, number: u64) {
    let mut seen = BTreeSet::new();
    for (index, part) in content.iter_mut().enumerate() {
        if let ContentPart::ToolCall(call) = part
            && (call.call_id.is_empty() || !seen.insert(call.call_id.clone()))
        {
            call.call_id = format!("call-{number}-{index}");
        }
    }
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
            (call(&json!("{\"command\": ")), "not JSON"),
            (call(&json!(null)), "no arguments"),
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
