//! Makes a request one that cannot make the endpoint execute, fetch, store or look up anything.
//!
//! Fields are on an allow-list per API, at the top, in a tool and in a chat message; others are dropped, as unknown
//! ones may be anything an endpoint executes (`plugins`, `enable_search`, `web_search_options`), costs more
//! (`service_tier`, `n`) or stores (`metadata`). Tools other than `function` and `custom` are dropped, wherever they
//! are nested. What the conversation would not make sense without is refused, with the reason: earlier state on the
//! endpoint, MCP servers, containers, files by id, URLs that are not `data:`.

mod fields;
mod parts;
mod tools;

use hyper::StatusCode;
use pipeline::options::Effort;
use serde_json::{Map, Value, json};

use super::api::Api;
use super::failed::quote;
use super::reply::Refusal;

/// How much of a client's words is quoted.
const QUOTE_CHARS_MAX: usize = 80;

/// How many removed pieces are named in the transcript; all are counted.
const NAMED_MAX: usize = 50;

/// What was taken out of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// How many pieces.
    pub(crate) count: usize,
    /// What they were, in a few words each.
    pub(crate) names: Vec<String>,
}

impl Removed {
    fn note(&mut self, what: &str, name: &str) {
        self.count += 1;
        if self.names.len() < NAMED_MAX {
            self.names
                .push(format!("{what} {}", quote(name, QUOTE_CHARS_MAX)));
        }
    }
}

/// Rewrites a request for `model`, or says why it is refused.
pub(crate) fn rewrite(api: Api, body: &mut Map<String, Value>, model: &str) -> Result<Removed, Refusal> {
    check_model(api, body.get("model"), model)?;
    let mut removed = Removed::default();
    fields::refuse(api, body)?;
    fields::keep(fields::top(api), body, "field", &mut removed);
    body.insert("model".to_owned(), model.into());
    tools::filter(api, body, &mut removed);
    match api {
        Api::Chat => {
            parts::chat(body, &mut removed)?;
            stored(body);
            // Without, a stream does not say what it has used.
            if body.get("stream") == Some(&Value::Bool(true)) {
                body.insert("stream_options".to_owned(), json!({"include_usage": true}));
            } else {
                body.remove("stream_options");
            }
        }
        Api::Responses => {
            parts::responses(body, &mut removed)?;
            fields::keep_included(body, &mut removed);
            // The default is to store.
            body.insert("store".to_owned(), false.into());
        }
        Api::Messages | Api::CountTokens => parts::messages(body, &mut removed)?,
    }
    Ok(removed)
}

/// Asks for this effort, whatever the agent asked for: each API has a field of its own for it.
pub(crate) fn set_effort(api: Api, body: &mut Map<String, Value>, effort: Effort) {
    let level = match effort {
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
    };
    let within = match api {
        Api::Chat => {
            body.insert("reasoning_effort".to_owned(), level.into());
            return;
        }
        Api::Responses => "reasoning",
        Api::Messages => "output_config",
        // Counts words and does not think.
        Api::CountTokens => return,
    };
    match body.get_mut(within) {
        Some(Value::Object(fields)) => {
            fields.insert("effort".to_owned(), level.into());
        }
        _ => {
            body.insert(within.to_owned(), json!({"effort": level}));
        }
    }
}

/// Chat endpoints other than OpenAI's may not know the field, so it is not added where a client did not.
fn stored(body: &mut Map<String, Value>) {
    if let Some(store) = body.get_mut("store") {
        *store = false.into();
    }
}

/// The model asked for must be the run's. Other names for it: with a vendor before it, as agents that know many
/// providers write it (`openai/NAME`); and every `claude-…` in Anthropic's API, as Claude Code has names of its own for
/// what it does in the background.
fn check_model(api: Api, asked: Option<&Value>, model: &str) -> Result<(), Refusal> {
    let asked = asked.and_then(Value::as_str).unwrap_or_default();
    let with_vendor = asked
        .strip_suffix(model)
        .is_some_and(|vendor| vendor.is_empty() || vendor.ends_with('/'));
    let is_claude = matches!(api, Api::Messages | Api::CountTokens) && asked.starts_with("claude-");
    if with_vendor || is_claude {
        return Ok(());
    }
    let asked = quote(asked, QUOTE_CHARS_MAX);
    let message = format!("the model `{asked}` is not available; the only one is `{model}`");
    Err(Refusal::new(StatusCode::NOT_FOUND, message).with_code("model_not_found"))
}

fn refused(message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests;
