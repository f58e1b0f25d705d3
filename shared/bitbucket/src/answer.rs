//! What an answer other than 2xx means, by status, exception and headers (bitbucket-dc.md 3.1).

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::error::{ConflictWith, Error, Missing};

/// Bitbucket's words are cut to this many characters.
const MESSAGE_CHARS_MAX: usize = 200;

/// A `Retry-After` beyond this is cut to it: an hour already means "ask an administrator".
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Set on every answer to a known user, also when that user lacks a permission.
pub(crate) const X_AUSERNAME: &str = "x-ausername";

/// Tells one error answer from another. `secret` is taken out of whatever text is kept.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8], secret: &str) -> Error {
    let answer = ErrorAnswer::read(status, body, secret);
    let message = answer.message;
    let exception = answer.exception.as_str();
    match status.as_u16() {
        400 => Error::Invalid { message },
        401 if lacks_permission(exception, headers) => Error::Forbidden { message },
        401 => Error::Unauthorized { message },
        403 => Error::Forbidden { message },
        404 => Error::NotFound {
            what: missing(exception),
            message,
        },
        409 => {
            let with = match exception {
                "CommentOutOfDateException" => ConflictWith::CommentVersion,
                "PullRequestOutOfDateException" => ConflictWith::PullRequestVersion,
                // The status is documented, the name is not (bitbucket-dc.md 3.6).
                archived if archived.contains("Archived") => ConflictWith::Archived,
                _ => ConflictWith::State,
            };
            Error::Conflict {
                with,
                current_version: answer.current_version,
                message,
            }
        }
        429 => Error::RateLimited {
            after: retry_after(headers),
        },
        status @ 500..=599 => Error::Server { status },
        status => Error::Unexpected { status, message },
    }
}

/// Foreign text fit for a log line: one line, no control characters, not long, without the secret.
pub(crate) fn shown(text: &str, secret: &str) -> String {
    let text = if secret.is_empty() {
        text.to_owned()
    } else {
        text.replace(secret, "[token]")
    };
    let words: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut short: String = words.trim().chars().take(MESSAGE_CHARS_MAX).collect();
    if short.len() < words.trim().len() {
        short.push('…');
    }
    short
}

/// Bitbucket answers 401, not 403, to a user it knows.
fn lacks_permission(exception: &str, headers: &HeaderMap) -> bool {
    match exception {
        "AuthorisationException" => true,
        "" => headers.contains_key(X_AUSERNAME),
        // IncorrectPasswordAuthenticationException, NoAccessAuthenticationException, AuthenticationRequiredException
        _ => false,
    }
}

fn missing(exception: &str) -> Missing {
    match exception {
        "" => Missing::Route,
        "NoSuchProjectException" => Missing::Project,
        "NoSuchRepositoryException" => Missing::Repository,
        "NoSuchPullRequestException" => Missing::PullRequest,
        "NoSuchCommentException" => Missing::Comment,
        "NoSuchCommitException" => Missing::Commit,
        "NoSuchUserException" => Missing::User,
        _ => Missing::Other,
    }
}

/// In seconds; older versions leave it out (bitbucket-dc.md 3.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(http::header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// The first of `errors`, as far as it can be read.
struct ErrorAnswer {
    /// Without its package; empty where there is none.
    exception: String,
    message: String,
    current_version: Option<u32>,
}

impl ErrorAnswer {
    fn read(status: StatusCode, body: &[u8], secret: &str) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let first = json
            .get("errors")
            .and_then(|errors| errors.get(0))
            .unwrap_or(&Value::Null);
        let text = |value: &Value, key| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let name = text(first, "exceptionName").unwrap_or_default();
        let words = text(first, "message").or_else(|| text(&json, "message"));
        Self {
            exception: name.rsplit('.').next().unwrap_or_default().to_owned(),
            message: shown(&words.unwrap_or_else(|| format!("status {status}")), secret),
            current_version: first
                .get("currentVersion")
                .and_then(Value::as_u64)
                .and_then(|version| version.try_into().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(status: u16, headers: &[(&'static str, &str)], body: &str) -> Error {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        classify(
            StatusCode::from_u16(status).unwrap(),
            &map,
            body.as_bytes(),
            "s3cret",
        )
    }

    #[test]
    fn a_401_for_lack_of_permission_is_not_a_bad_token() {
        let permission = include_str!("../fixtures/rest_error_401_permission.json");
        let password = include_str!("../fixtures/rest_error_401_bad_password.json");
        let known = [("x-ausername", "openhands")];
        for (headers, body, expected) in [
            (&known[..], permission, "forbidden"),
            (&[][..], permission, "forbidden"),
            (&[][..], password, "unauthorized"),
            (&known[..], password, "unauthorized"),
            (&known[..], "<html>", "forbidden"),
            (&[][..], "<html>", "unauthorized"),
            (&[][..], "", "unauthorized"),
        ] {
            let error = classified(401, headers, body);
            let actual = match error {
                Error::Forbidden { .. } => "forbidden",
                Error::Unauthorized { .. } => "unauthorized",
                _ => "something else",
            };
            assert_eq!(actual, expected, "{headers:?} {body}");
        }
    }

    #[test]
    fn a_404_names_what_is_missing() {
        for (body, expected) in [
            (
                include_str!("../fixtures/rest_error_404_project.json"),
                Missing::Project,
            ),
            (
                include_str!("../fixtures/rest_error_404_repo.json"),
                Missing::Repository,
            ),
            (
                include_str!("../fixtures/rest_error_404_pr.json"),
                Missing::PullRequest,
            ),
            (
                include_str!("../fixtures/rest_error_404_unrouted.json"),
                Missing::Route,
            ),
            ("<html>", Missing::Route),
        ] {
            let Error::NotFound { what, .. } = classified(404, &[], body) else {
                panic!("{body}")
            };
            assert_eq!(what, expected, "{body}");
        }
    }

    #[test]
    fn a_409_says_which_version_is_stale() {
        let comment = classified(
            409,
            &[],
            include_str!("../fixtures/rest_error_409_comment_version.json"),
        );
        assert!(
            matches!(
                comment,
                Error::Conflict {
                    with: ConflictWith::CommentVersion,
                    ..
                }
            ),
            "{comment:?}"
        );
        let pr = classified(
            409,
            &[],
            include_str!("../fixtures/rest_error_409_pr_version.json"),
        );
        let Error::Conflict {
            with,
            current_version,
            ..
        } = pr
        else {
            panic!("{pr:?}")
        };
        assert_eq!(with, ConflictWith::PullRequestVersion);
        assert!(current_version.is_some());
    }

    #[test]
    fn a_409_of_an_archived_repository_is_told_from_others() {
        let conflict = |exception: &str| {
            let error = serde_json::json!({"exceptionName": format!("com.atlassian.bitbucket.{exception}"), "message": "No."});
            match classified(409, &[], &serde_json::json!({"errors": [error]}).to_string()) {
                Error::Conflict { with, .. } => with,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            conflict("repository.RepositoryArchivedException"),
            ConflictWith::Archived
        );
        assert_eq!(
            conflict("pull.IllegalPullRequestStateException"),
            ConflictWith::State
        );
    }

    #[test]
    fn a_429_may_say_when_to_come_back() {
        for (header, expected) in [
            (None, None),
            (Some("5"), Some(Duration::from_secs(5))),
            (Some("999999999"), Some(RETRY_AFTER_MAX)),
            (Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
        ] {
            let headers: Vec<_> = header.map(|value| ("retry-after", value)).into_iter().collect();
            assert_eq!(
                classified(429, &headers, ""),
                Error::RateLimited { after: expected }
            );
        }
    }

    #[test]
    fn foreign_words_are_short_one_line_and_without_the_token() {
        let body = serde_json::json!({"errors": [{"message": format!("no s3cret\r\n{}", "x".repeat(5000))}]});
        let text = classified(400, &[], &body.to_string()).to_string();
        assert!(!text.contains("s3cret") && !text.contains('\n'), "{text}");
        assert!(text.chars().count() < MESSAGE_CHARS_MAX + 50, "{text}");
    }
}
