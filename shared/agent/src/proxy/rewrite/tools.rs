//! Tools: only those that the agent itself executes.

use serde_json::{Map, Value};

use super::Removed;
use super::fields::keep;
use crate::proxy::api::Api;

/// What a tool may say, in all APIs.
const TOOL: &[&str] = &[
    "cache_control",
    "custom",
    "defer_loading",
    "description",
    "eager_input_streaming",
    "format",
    "function",
    "input_examples",
    "input_schema",
    "name",
    "parameters",
    "strict",
    "type",
];

/// What a namespace may say, beside the tools in it.
const NAMESPACE: &[&str] = &["description", "name", "tools", "type"];

/// The choices between tools: by word, or one tool by name.
const CHOICES: &[&str] = &["any", "auto", "custom", "function", "none", "required", "tool"];

/// Drops the tools that the endpoint would execute, and choices that are about them.
pub(super) fn filter(api: Api, body: &mut Map<String, Value>, removed: &mut Removed) {
    let before = removed.count;
    let left = match body.get_mut("tools") {
        Some(tools) => filter_list(api, tools, removed),
        None => 0,
    };
    if left == 0 && removed.count > before {
        // To choose between no tools is an error.
        for field in ["tools", "tool_choice", "parallel_tool_calls"] {
            body.remove(field);
        }
    }
    if let Some(choice) = body.get("tool_choice") {
        let kind = choice.as_str().or_else(|| choice["type"].as_str());
        if !choice.is_null() && !kind.is_some_and(|kind| CHOICES.contains(&kind)) {
            removed.note("choice", kind.unwrap_or("?"));
            body.remove("tool_choice");
        }
    }
}

/// Filters a list of tools, wherever it is, and returns how many are left. What is no list is emptied.
pub(super) fn filter_list(api: Api, tools: &mut Value, removed: &mut Removed) -> usize {
    let Value::Array(list) = tools else {
        if !tools.is_null() {
            removed.note("tools of another form", "");
            *tools = Value::Array(Vec::new());
        }
        return 0;
    };
    list.retain_mut(|tool| is_the_agents(api, tool, removed));
    list.len()
}

/// Whether a tool is the agent's own; its fields are filtered.
fn is_the_agents(api: Api, tool: &mut Value, removed: &mut Removed) -> bool {
    let Value::Object(fields) = tool else {
        removed.note("tool of another form", "");
        return false;
    };
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        // Anthropic's own form of a custom tool.
        None if matches!(api, Api::Messages | Api::CountTokens) => "custom".to_owned(),
        _ => String::new(),
    };
    match kind.as_str() {
        "function" | "custom" => {
            keep(TOOL, fields, "field of a tool:", removed);
            true
        }
        // Only a group: what is in it counts.
        "namespace" if api == Api::Responses => {
            keep(NAMESPACE, fields, "field of a namespace:", removed);
            fields
                .get_mut("tools")
                .is_some_and(|tools| filter_list(api, tools, removed) > 0)
        }
        other => {
            removed.note("tool", other);
            false
        }
    }
}
