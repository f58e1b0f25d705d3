//! Which fields a request may have.

use hyper::StatusCode;
use serde_json::{Map, Value};

use super::{Removed, refused};
use crate::proxy::api::Api;
use crate::proxy::reply::Refusal;

/// OpenAI's chat completions, and what compatible endpoints add for sampling and thinking.
const CHAT: &[&str] = &[
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "min_p",
    "model",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning",
    "reasoning_effort",
    "repetition_penalty",
    "response_format",
    "seed",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "verbosity",
];

/// OpenAI's responses.
const RESPONSES: &[&str] = &[
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "model",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "store",
    "stream",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
];

/// Anthropic's messages.
const MESSAGES: &[&str] = &[
    "cache_control",
    "max_tokens",
    "messages",
    "model",
    "output_config",
    "output_format",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

/// Anthropic's count of tokens refuses what it does not know.
const COUNT_TOKENS: &[&str] = &["messages", "model", "system", "thinking", "tool_choice", "tools"];

/// What a response may carry beside the answer: nothing that was fetched.
const INCLUDED: &[&str] = &["message.output_text.logprobs", "reasoning.encrypted_content"];

/// Fields without which the conversation would be another one, or which the agent believes in: they are refused when
/// they say anything, so that it learns why.
const REFUSED: &[(&str, &str)] = &[
    (
        "previous_response_id",
        "earlier responses are not stored; send the whole conversation",
    ),
    (
        "conversation",
        "conversations are not stored; send the whole conversation",
    ),
    ("prompt", "stored prompts are not available; send the text"),
    ("background", "responses in the background are not available"),
    ("mcp_servers", "the provider may not call MCP servers"),
    ("container", "the provider's containers are not available"),
];

/// The fields that a request may have.
pub(super) fn top(api: Api) -> &'static [&'static str] {
    match api {
        Api::Chat => CHAT,
        Api::Responses => RESPONSES,
        Api::Messages => MESSAGES,
        Api::CountTokens => COUNT_TOKENS,
    }
}

/// Refuses a request with a field of [`REFUSED`] that is not empty, in whichever API.
pub(super) fn refuse(api: Api, body: &Map<String, Value>) -> Result<(), Refusal> {
    for (name, why) in REFUSED {
        if body.get(*name).is_some_and(says_anything) {
            return Err(refused(format!("`{name}`: {why}")).with_code("unsupported_parameter"));
        }
    }
    // A list of messages is what every check below is about.
    let conversation = if api == Api::Responses {
        "input"
    } else {
        "messages"
    };
    match body.get(conversation) {
        Some(Value::Array(_)) => Ok(()),
        Some(Value::String(_)) if api == Api::Responses => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("`{conversation}` must be a list"),
        )),
    }
}

/// Drops every field that is not among `allowed`; one without a value is dropped without a word.
pub(super) fn keep(allowed: &[&str], fields: &mut Map<String, Value>, what: &str, removed: &mut Removed) {
    fields.retain(|name, value| {
        let keep = allowed.contains(&name.as_str());
        if !keep && says_anything(value) {
            removed.note(what, name);
        }
        keep
    });
}

/// Drops what a response may not include.
pub(super) fn keep_included(body: &mut Map<String, Value>, removed: &mut Removed) {
    match body.get_mut("include") {
        Some(Value::Array(included)) => included.retain(|item| {
            let keep = item.as_str().is_some_and(|item| INCLUDED.contains(&item));
            if !keep {
                removed.note("include", item.as_str().unwrap_or("?"));
            }
            keep
        }),
        Some(_) => {
            body.remove("include");
        }
        None => {}
    }
}

/// Whether a value is more than "no".
pub(super) fn says_anything(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}
