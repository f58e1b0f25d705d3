//! What a failed try means, whether another one may help, and what the agent is told.

use std::time::Duration;

use hyper::StatusCode;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::redact::Redactor;
use super::reply::{Again, Refusal};
use crate::{Error, json};

/// How much of an endpoint's words goes into an error: enough to see what it is.
const QUOTE_CHARS_MAX: usize = 200;

/// How much of them the agent gets: lists of what is wrong with a request can be long.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// The longest type or code of an error that is passed on.
const CODE_CHARS_MAX: usize = 64;

/// One failed try.
#[derive(Debug)]
pub(crate) struct Failed {
    /// What to say if it was the last one.
    pub(crate) error: Error,
    /// Whether it has to be.
    pub(crate) retry: Retry,
    /// What the agent is told.
    pub(crate) refusal: Refusal,
}

/// Whether another try may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It cannot.
    Never,
    /// It may.
    Later,
    /// It may, and the endpoint said when.
    After(Duration),
}

impl Failed {
    /// The endpoint's answer is none of a model; the reason may be in its words.
    pub(crate) fn answer(reason: &str, redactor: &Redactor) -> Self {
        let reason = redactor.clean(reason).into_owned();
        // Whatever it was, the next one may be better; that is for the agent to find out.
        Self::told(
            Error::ModelAnswer { reason },
            Retry::Never,
            StatusCode::BAD_GATEWAY,
        )
    }

    /// The endpoint has not said a word for so long.
    pub(crate) fn silent(limit: Duration) -> Self {
        let reason = format!("no answer within {} s", limit.as_secs_f32());
        Self::told(
            Error::ModelUnreachable { reason },
            Retry::Later,
            StatusCode::GATEWAY_TIMEOUT,
        )
    }

    /// Reads a status other than 2xx, with the beginning of the body. No secret gets into the result.
    pub(crate) fn of_status(status: u16, headers: &HeaderMap, body: &[u8], redactor: &Redactor) -> Self {
        let after = retry_after(headers, Timestamp::now());
        // 503 says when to come back, as 429 does.
        let retry = after.map_or(Retry::Later, Retry::After);
        let text = String::from_utf8_lossy(body);
        let text = redactor.clean(&text);
        let said = Said::of(&text);
        let (error, retry) = match status {
            // The body often repeats part of the key.
            401 | 403 => return Self::told(Error::ModelUnauthorized, Retry::Never, passed_on(status)),
            429 => (Error::ModelRateLimited { after }, retry),
            408 | 500..=599 => (Error::ModelServer { status, after }, retry),
            _ => {
                let said = quote(&said.message, QUOTE_CHARS_MAX);
                let error = if is_too_long(status, &text) {
                    Error::ModelContext { said }
                } else {
                    Error::ModelRefused { status, said }
                };
                (error, Retry::Never)
            }
        };
        let mut failed = Self::told(error, retry, passed_on(status));
        failed.refusal = Refusal {
            kind: said.kind,
            code: said.code,
            message: format!("{}: {}", failed.refusal.message, said.message),
            retry: after.map_or(failed.refusal.retry, Again::After),
            ..failed.refusal
        };
        failed
    }

    /// Reads an error of the connection.
    pub(crate) fn of_network(error: reqwest::Error, redactor: &Redactor) -> Self {
        // The URL may carry a key in its query; the innermost cause says most.
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            reason = cause.to_string();
            source = cause.source();
        }
        // A certificate does not get better within a run. The words are those of rustls.
        let hopeless = error.is_builder() || reason.contains("invalid peer certificate");
        let retry = if hopeless { Retry::Never } else { Retry::Later };
        let reason = quote(&redactor.clean(&reason), QUOTE_CHARS_MAX);
        Self::told(Error::ModelUnreachable { reason }, retry, StatusCode::BAD_GATEWAY)
    }

    /// The agent gets the error's own sentence. By then every try that helps was made, so it should not try again.
    fn told(error: Error, retry: Retry, status: StatusCode) -> Self {
        let refusal = Refusal::new(status, error.to_string());
        Self {
            error,
            retry,
            refusal,
        }
    }
}

/// What an endpoint says in an error.
struct Said {
    message: String,
    kind: Option<String>,
    code: Option<String>,
}

impl Said {
    /// Reads the forms of OpenAI and Anthropic; anything else is quoted.
    fn of(text: &str) -> Self {
        let json = json::value(text.as_bytes()).unwrap_or_default();
        let error = &json["error"];
        let word = |value: &Value| {
            let text = value.as_str().filter(|text| !text.is_empty())?;
            Some(quote(text, CODE_CHARS_MAX))
        };
        let message = error["message"]
            .as_str()
            .or_else(|| error.as_str())
            .or_else(|| json["message"].as_str())
            .unwrap_or(text);
        Self {
            message: quote(message, MESSAGE_CHARS_MAX),
            kind: word(&error["type"]),
            code: word(&error["code"]),
        }
    }
}

/// The status an agent sees: that of the endpoint, unless it would mean something else to a client. Redirects are not
/// followed, and the agent has nowhere to follow them to.
fn passed_on(status: u16) -> StatusCode {
    match status {
        400..=599 => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// Whether a refusal is about the conversation's length. There is no code for it that all endpoints use, but all say it
/// in English.
fn is_too_long(status: u16, body: &str) -> bool {
    let said = body.to_ascii_lowercase();
    let words = ["context", "too long", "too many tokens"];
    status == 413 || (status == 400 && words.iter().any(|words| said.contains(words)))
}

/// The wait that `Retry-After` asks for: seconds, or a date, of which a past one means no wait.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// The beginning of a text, on one line and without control characters.
pub(crate) fn quote(text: &str, chars_max: usize) -> String {
    let words = text.split(|char: char| char.is_whitespace() || char.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn failed(status: u16, body: &str) -> Failed {
        let redactor = Redactor::new(&["the-secret".into()]).unwrap();
        Failed::of_status(status, &HeaderMap::new(), body.as_bytes(), &redactor)
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_date() {
        let now: Timestamp = "2026-11-20T08:00:00Z".parse().unwrap();
        for (text, wait) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Fri, 20 Nov 2026 08:00:30 GMT", Some(30)),
            ("Fri, 20 Nov 2026 07:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(
                retry_after(&headers, now),
                wait.map(Duration::from_secs),
                "{text}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn an_agent_is_told_type_and_code_but_no_secret() {
        let body = r#"{"error": {"message": "key the-secret:\nmaximum context", "type": "invalid_request_error",
            "code": "context_length_exceeded", "param": "the-secret"}}"#;
        let failed = failed(400, body);
        assert!(
            matches!(failed.error, Error::ModelContext { .. }),
            "{:?}",
            failed.error
        );
        assert_eq!(failed.refusal.code.as_deref(), Some("context_length_exceeded"));
        assert!(failed.refusal.message.ends_with("key [secret]: maximum context"));
        assert!(!format!("{failed:?}").contains("the-secret"));
    }

    #[test]
    fn a_status_is_passed_on_unless_it_would_send_the_agent_elsewhere() {
        for (status, told) in [
            (302, 502),
            (304, 502),
            (400, 400),
            (404, 404),
            (429, 429),
            (503, 503),
            (700, 502),
        ] {
            assert_eq!(failed(status, "x").refusal.status, told, "{status}");
        }
    }

    #[test]
    fn what_a_refused_key_was_is_not_repeated() {
        let failed = failed(401, r#"{"error": {"message": "Incorrect API key: the-se…"}}"#);
        assert_eq!(failed.refusal.message, Error::ModelUnauthorized.to_string());
    }
}
