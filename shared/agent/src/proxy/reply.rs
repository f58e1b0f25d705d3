//! What an agent is told by the proxy itself, in the form of the API it speaks.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::api::Form;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// OpenAI's and Anthropic's clients obey it: without, they would repeat what cannot get better.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An error, before it has an API's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// What is wrong, for the model or a person.
    pub(crate) message: String,
    /// The error's type, where the endpoint gave one; else it follows from the status.
    pub(crate) kind: Option<String>,
    /// The error's code, by which agents know a conversation that is too long, for instance.
    pub(crate) code: Option<String>,
    /// When another try may help; absent: never.
    pub(crate) retry: Again,
}

/// Whether a client should try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// No.
    Never,
    /// As it likes.
    AsUsual,
    /// After so long.
    After(Duration),
}

impl Refusal {
    /// A refusal that no other try changes.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            kind: None,
            code: None,
            retry: Again::Never,
        }
    }

    /// The same with a code.
    pub(crate) fn with_code(self, code: &str) -> Self {
        Self {
            code: Some(code.to_owned()),
            ..self
        }
    }

    /// The error as JSON.
    pub(crate) fn body(&self, form: Form) -> Value {
        let kind = self.kind.as_deref().unwrap_or_else(|| self.usual_kind());
        match form {
            Form::Anthropic => {
                json!({"type": "error", "error": {"type": kind, "message": self.message}})
            }
            Form::OpenAi | Form::Responses => json!({
                "error": {"message": self.message, "type": kind, "param": null, "code": self.code},
            }),
        }
    }

    /// The error as the last event of a stream that has begun. The blank line before it ends whatever was on its way.
    pub(crate) fn event(&self, form: Form) -> Bytes {
        let body = self.body(form);
        let text = match form {
            Form::OpenAi => format!("\n\ndata: {body}\n\n"),
            Form::Anthropic => format!("\n\nevent: error\ndata: {body}\n\n"),
            Form::Responses => {
                let code = self.code.as_deref().unwrap_or_else(|| self.usual_kind());
                let error = json!({"code": code, "message": self.message});
                let failed = json!({"type": "response.failed", "response": {
                    "object": "response", "status": "failed", "error": error, "output": [],
                }});
                format!("\n\nevent: response.failed\ndata: {failed}\n\n")
            }
        };
        text.into()
    }

    /// The whole answer.
    pub(crate) fn response(&self, form: Form) -> Response<Body> {
        let mut response = json_response(self.status, &self.body(form));
        let headers = response.headers_mut();
        if let Again::After(wait) = self.retry {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        if self.retry == Again::Never {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response
    }

    /// The types that both providers use; where they differ, OpenAI's clients look at the status and the code.
    fn usual_kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        }
    }
}

/// An answer with a JSON body.
pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    bytes_response(status, body.to_string().into())
}

/// An answer with a body that is JSON already.
pub(crate) fn bytes_response(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The list of models in a form that OpenAI's and Anthropic's clients can both read: the run's one model.
pub(crate) fn models(model: &str) -> Response<Body> {
    let entry = json!({
        "id": model,
        "object": "model",
        "type": "model",
        "display_name": model,
        "owned_by": "resolver",
        "created": 0,
        "created_at": "1970-01-01T00:00:00Z",
    });
    let list =
        json!({"object": "list", "data": [entry], "has_more": false, "first_id": model, "last_id": model});
    json_response(StatusCode::OK, &list)
}
