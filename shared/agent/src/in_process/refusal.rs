//! What a failed try means, and whether another one may help.

use std::time::Duration;

use genai::webc;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use secrecy::{ExposeSecret as _, SecretString};

use super::answer::quote;
use crate::Error;

/// One failed try.
#[derive(Debug)]
pub(super) struct Failed {
    /// What to say if it was the last one.
    pub(super) error: Error,
    /// Whether it has to be.
    pub(super) retry: Retry,
}

/// Whether another try may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// It cannot.
    Never,
    /// It may.
    Later,
    /// It may, and the endpoint said when.
    After(Duration),
}

impl Failed {
    /// An error that no other try would change.
    pub(super) fn for_good(error: Error) -> Self {
        Self {
            error,
            retry: Retry::Never,
        }
    }

    /// Reads an error of the client. None of `secrets` gets into the result, should the endpoint repeat one.
    pub(super) fn of(error: genai::Error, secrets: &[SecretString]) -> Self {
        let genai::Error::WebModelCall { webc_error, .. } = error else {
            // None of the others comes from an endpoint, and their texts may hold parts of the request.
            return Self::for_good(Error::Client {
                reason: "genai could not make the request".to_owned(),
            });
        };
        let reason = match webc_error {
            webc::Error::ResponseFailedStatus {
                status,
                body,
                headers,
            } => {
                return of_status(status.as_u16(), &body, &headers, secrets);
            }
            webc::Error::Reqwest(error) => return of_network(error),
            webc::Error::ResponseFailedNotJson { content_type, .. } => {
                format!("content type {}", quote(&content_type))
            }
            webc::Error::ResponseFailedInvalidJson { cause, .. } => format!("not JSON: {cause}"),
            webc::Error::JsonValueExt(_) => "JSON of another shape".to_owned(),
        };
        Self::for_good(Error::ModelAnswer { reason })
    }
}

fn of_status(status: u16, body: &str, headers: &HeaderMap, secrets: &[SecretString]) -> Failed {
    let after = retry_after(headers, Timestamp::now());
    // 503 says when to come back, as 429 does.
    let retry = after.map_or(Retry::Later, Retry::After);
    match status {
        // The body often repeats part of the key.
        401 | 403 => Failed::for_good(Error::ModelUnauthorized),
        429 => Failed {
            error: Error::ModelRateLimited { after },
            retry,
        },
        408 | 500..=599 => Failed {
            error: Error::ModelServer { status },
            retry,
        },
        _ => {
            let said = quote(&without(secrets, body));
            Failed::for_good(if is_too_long(status, body) {
                Error::ModelContext { said }
            } else {
                Error::ModelRefused { status, said }
            })
        }
    }
}

fn of_network(error: reqwest::Error) -> Failed {
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
    Failed {
        error: Error::ModelUnreachable {
            reason: quote(&reason),
        },
        retry,
    }
}

fn without(secrets: &[SecretString], text: &str) -> String {
    let secrets = secrets
        .iter()
        .map(SecretString::expose_secret)
        .filter(|secret| !secret.is_empty());
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"))
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

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

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
}
