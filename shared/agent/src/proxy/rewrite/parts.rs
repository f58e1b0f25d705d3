//! What conversations are made of: words, calls, results, and media that come with the request itself.

use serde_json::{Map, Value};

use super::fields::{keep, says_anything};
use super::{QUOTE_CHARS_MAX, Removed, refused, tools};
use crate::proxy::api::Api;
use crate::proxy::failed::quote;
use crate::proxy::reply::Refusal;

/// What a chat message may have; compatible endpoints have several names for reasoning.
const CHAT_MESSAGE: &[&str] = &[
    "cache_control",
    "content",
    "function_call",
    "name",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "refusal",
    "role",
    "tool_call_id",
    "tool_calls",
];

const CHAT_PARTS: &[&str] = &["file", "image_url", "input_audio", "refusal", "text", "thinking"];

/// Items of a responses conversation that are words, or calls that the agent executes and their results.
const ITEMS: &[&str] = &[
    "additional_tools",
    "compaction",
    "custom_tool_call",
    "custom_tool_call_output",
    "function_call",
    "function_call_output",
    "local_shell_call",
    "local_shell_call_output",
    "message",
    "reasoning",
];

const RESPONSES_PARTS: &[&str] = &[
    "input_audio",
    "input_file",
    "input_image",
    "input_text",
    "output_text",
    "reasoning_text",
    "refusal",
    "summary_text",
    "text",
];

const ANTHROPIC_MESSAGE: &[&str] = &["content", "role"];

const ANTHROPIC_PARTS: &[&str] = &[
    "document",
    "image",
    "redacted_thinking",
    "search_result",
    "text",
    "thinking",
    "tool_result",
    "tool_use",
];

/// Where a picture or document of Anthropic's API comes from: the request itself.
const SOURCES: &[&str] = &["base64", "content", "text"];

/// Names of what is kept at the endpoint.
const IDS: &[&str] = &["container_id", "file_id", "file_ids", "vector_store_ids"];

/// Fields for content itself, in which some endpoints also take its address.
const CARRIERS: &[&str] = &["audio", "data", "file", "file_data", "image", "video"];

/// Longer than the name of any scheme.
const SCHEME_BYTES_MAX: usize = 32;

/// Checks the messages of a chat.
pub(super) fn chat(body: &mut Map<String, Value>, removed: &mut Removed) -> Result<(), Refusal> {
    for message in list(body, "messages") {
        let Value::Object(message) = message else {
            return Err(refused("a message must be an object"));
        };
        keep(CHAT_MESSAGE, message, "field of a message:", removed);
        content(message.get("content"), CHAT_PARTS)?;
        message.get("reasoning_details").map_or(Ok(()), references)?;
    }
    Ok(())
}

/// Checks the input of a response.
pub(super) fn responses(body: &mut Map<String, Value>, removed: &mut Removed) -> Result<(), Refusal> {
    if body
        .get("instructions")
        .is_some_and(|instructions| !(instructions.is_string() || instructions.is_null()))
    {
        return Err(refused("`instructions` must be a text"));
    }
    for item in list(body, "input") {
        let kind = match &item["type"] {
            // A message has a role. Without either it is the id of something that is stored at the endpoint.
            Value::Null if item["role"].is_string() => "message".to_owned(),
            Value::Null => "item_reference".to_owned(),
            Value::String(kind) => kind.clone(),
            _ => return Err(refused("the type of an item must be a text")),
        };
        if !item.is_object() || !ITEMS.contains(&kind.as_str()) {
            let kind = quote(&kind, QUOTE_CHARS_MAX);
            return Err(refused(format!("items of type `{kind}` are not passed on")));
        }
        // Where else may tools be: they are tools here as well.
        if let Some(nested) = item.get_mut("tools") {
            tools::filter_list(Api::Responses, nested, removed);
        }
        for field in ["content", "output", "summary"] {
            content(item.get(field), RESPONSES_PARTS)?;
        }
        references(item)?;
    }
    Ok(())
}

/// Checks the messages and the system prompt of Anthropic's API.
pub(super) fn messages(body: &mut Map<String, Value>, removed: &mut Removed) -> Result<(), Refusal> {
    content(body.get("system"), &["text"])?;
    for message in list(body, "messages") {
        let Value::Object(message) = message else {
            return Err(refused("a message must be an object"));
        };
        keep(ANTHROPIC_MESSAGE, message, "field of a message:", removed);
        content(message.get("content"), ANTHROPIC_PARTS)?;
    }
    Ok(())
}

fn list<'body>(body: &'body mut Map<String, Value>, field: &str) -> impl Iterator<Item = &'body mut Value> {
    let list = body.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

/// Content is a text, or a list of parts of the listed types.
fn content(content: Option<&Value>, allowed: &[&str]) -> Result<(), Refusal> {
    match content {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => parts.iter().try_for_each(|each| part(each, allowed)),
        // The result of a local call may be an object; it is looked through for references like all others.
        Some(other @ Value::Object(_)) => references(other),
        Some(_) => Err(refused("content must be a text or a list of parts")),
    }
}

fn part(part: &Value, allowed: &[&str]) -> Result<(), Refusal> {
    let kind = match part {
        // Some clients write a part of text as a bare text.
        Value::String(_) => return Ok(()),
        Value::Object(fields) => fields.get("type").and_then(Value::as_str).unwrap_or_default(),
        _ => return Err(refused("a part must be an object")),
    };
    if !allowed.contains(&kind) {
        let kind = quote(kind, QUOTE_CHARS_MAX);
        return Err(refused(format!("parts of type `{kind}` are not passed on")));
    }
    if let Some(source) = part["source"].as_object() {
        let kind = source.get("type").and_then(Value::as_str).unwrap_or_default();
        if !SOURCES.contains(&kind) {
            let kind = quote(kind, QUOTE_CHARS_MAX);
            return Err(refused(format!(
                "the provider may not fetch a source of type `{kind}`"
            )));
        }
        content(source.get("content"), allowed)?;
    }
    content(part.get("content"), allowed)?;
    references(part)
}

/// Refuses what names something to be fetched: a file by its id, a URL that does not carry its own content.
fn references(value: &Value) -> Result<(), Refusal> {
    match value {
        Value::Array(items) => items.iter().try_for_each(references),
        Value::Object(fields) => {
            let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
            fields
                .iter()
                .filter(|(name, _)| !is_own_words(kind, name))
                .try_for_each(|(name, value)| reference(name, value))
        }
        _ => Ok(()),
    }
}

/// What a field of a value of type `kind` says is for the model, not for the endpoint: the arguments of a call, the
/// schemas of tools, the text of a document.
fn is_own_words(kind: &str, name: &str) -> bool {
    matches!(
        (kind, name),
        ("tool_use", "input") | ("text", "data") | (_, "parameters" | "input_schema")
    )
}

fn reference(name: &str, value: &Value) -> Result<(), Refusal> {
    let lower = name.to_ascii_lowercase();
    if IDS.contains(&lower.as_str()) && says_anything(value) {
        return Err(refused(format!(
            "`{lower}`: files at the provider are not available"
        )));
    }
    let names_a_url = lower.ends_with("url") || lower.ends_with("uri");
    let carries = CARRIERS.contains(&lower.as_str());
    match value {
        Value::String(text)
            if (names_a_url && !text.is_empty() && !is_data(text)) || (carries && has_scheme(text)) =>
        {
            Err(refused(format!(
                "`{lower}`: the provider may not fetch URLs, only `data:` is passed on"
            )))
        }
        other => references(other),
    }
}

/// Whether a text is an address: base64 has no colon.
fn has_scheme(text: &str) -> bool {
    text.trim_start()
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.len() <= SCHEME_BYTES_MAX)
}

fn is_data(url: &str) -> bool {
    url.get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}
