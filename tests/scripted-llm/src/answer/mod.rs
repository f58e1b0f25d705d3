//! What the endpoint says, in the words of the API that was asked.

mod chat;
mod messages;
mod responses;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::conversation::Api;
use crate::script::{SaidUsage, Tokens, ToolCall};

/// The usual rule of thumb for English text and code; makes usage plausible and the same for the same request.
const BYTES_PER_TOKEN: usize = 4;

/// The name of the one model, used when a request names none.
const MODEL: &str = "scripted";

/// A well-formed answer, before it takes an API's shape.
pub(crate) struct Answer {
    number: u64,
    created: i64,
    model: String,
    text: Option<String>,
    tool_calls: Vec<ToolCall>,
    /// Absent: it says nothing about them.
    tokens: Option<Tokens>,
}

impl Answer {
    pub(crate) fn new(
        number: u64,
        body: &Value,
        text: Option<String>,
        tool_calls: Vec<ToolCall>,
        usage: SaidUsage,
    ) -> Self {
        let output = text.as_deref().unwrap_or_default().len()
            + tool_calls
                .iter()
                .map(|call| call.name.len() + call.arguments_text().len())
                .sum::<usize>();
        let tokens = match usage {
            SaidUsage::Nothing => None,
            SaidUsage::Given(tokens) => Some(tokens),
            SaidUsage::Estimated => Some(Tokens {
                input: input_tokens(body),
                cached: 0,
                output: output.div_ceil(BYTES_PER_TOKEN).max(1),
            }),
        };
        Self {
            number,
            created: jiff::Timestamp::now().as_second(),
            model: body["model"].as_str().unwrap_or(MODEL).to_owned(),
            text,
            tool_calls,
            tokens,
        }
    }

    /// The whole answer as one JSON value.
    pub(crate) fn whole(&self, api: Api) -> Value {
        match api {
            Api::ChatCompletions => chat::whole(self),
            Api::Responses => responses::whole(self),
            Api::Messages | Api::CountTokens => messages::whole(self),
        }
    }

    /// The answer as server-sent events, each ready for the wire.
    pub(crate) fn stream(&self, api: Api, body: &Value) -> Vec<String> {
        match api {
            Api::ChatCompletions => {
                let with_usage = body["stream_options"]["include_usage"] == true;
                let mut frames: Vec<String> = chat::stream(self, with_usage)
                    .iter()
                    .map(|chunk| format!("data: {chunk}\n\n"))
                    .collect();
                frames.push("data: [DONE]\n\n".to_owned());
                frames
            }
            Api::Responses => named_events(&responses::stream(self)),
            Api::Messages | Api::CountTokens => named_events(&messages::stream(self)),
        }
    }

    /// Unique over the life of the endpoint, as clients match tool results by it.
    fn call_id(&self, index: usize) -> String {
        format!("call_{}_{index}", self.number)
    }
}

/// The tokens of a request.
pub(crate) fn input_tokens(body: &Value) -> usize {
    let bytes: usize = ["messages", "input", "system", "instructions", "tools"]
        .iter()
        .filter_map(|field| body.get(field))
        .map(|part| part.to_string().len())
        .sum();
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// Events that carry their name in `type` as well as on the `event:` line.
fn named_events(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            format!(
                "event: {}\ndata: {event}\n\n",
                event["type"].as_str().unwrap_or_default()
            )
        })
        .collect()
}

/// Cuts text as a model streams it: in two pieces, so that clients have to put them together.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let middle = text
        .char_indices()
        .nth(text.chars().count() / 2)
        .map_or(0, |(at, _)| at);
    let (first, second) = text.split_at(middle);
    [first, second].into_iter().filter(|piece| !piece.is_empty())
}

/// The list of models.
pub(crate) fn models() -> Value {
    json!({"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "scripted-llm"}]})
}

/// An error in the shape of `api`; paths that belong to none get OpenAI's.
pub(crate) fn error(api: Option<Api>, status: StatusCode, why: &str) -> Response {
    let kind = match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    let body = if matches!(api, Some(Api::Messages | Api::CountTokens)) {
        json!({"type": "error", "error": {"type": kind, "message": why}})
    } else {
        json!({"error": {"message": why, "type": kind, "param": null, "code": null}})
    };
    (status, Json(body)).into_response()
}
