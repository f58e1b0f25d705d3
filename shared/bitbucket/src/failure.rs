//! What a failed call means for the message that needed it.

use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;

use crate::error::{ConflictWith, Error, Missing};

impl From<Error> for Failure {
    /// Decides by what would have to change: time or an administrator (wait, up to a day), or the request itself
    /// (give up). Bitbucket's words stay in the log; the person reads the code's sentence.
    fn from(error: Error) -> Self {
        let code = code(&error);
        match &error {
            Error::Ambiguous { cause } => match Failure::from((**cause).clone()) {
                Failure::Retry {
                    after, counts, code, ..
                } => Failure::Retry {
                    after,
                    counts,
                    code,
                    cause: error.into(),
                },
                // An answer that cannot be read says nothing about the write: look again.
                Failure::Refuse { .. } | Failure::Abandon { .. } => Failure::retry(code, error.into()),
            },
            Error::RateLimited { after } => Failure::unavailable(code, *after, error.into()),
            Error::Unreachable { .. }
            | Error::Disconnected { .. }
            | Error::Timeout
            | Error::Tls { .. }
            | Error::Server { .. }
            | Error::Unauthorized { .. }
            | Error::NotJson { .. }
            | Error::Redirected { .. }
            | Error::NotFound {
                what: Missing::Route, ..
            }
            // Until somebody takes it out of the archive.
            | Error::Conflict {
                with: ConflictWith::Archived,
                ..
            } => Failure::unavailable(code, None, error.into()),
            // The caller knows how to read again and did not; the next attempt starts from what is there then.
            Error::Conflict { .. } => Failure::retry(code, error.into()),
            Error::Forbidden { .. }
            | Error::NotFound { .. }
            | Error::Invalid { .. }
            | Error::Unexpected { .. }
            | Error::TooLong { .. }
            | Error::Garbled { .. }
            | Error::PermissionUnknown { .. }
            | Error::Settings { .. } => Failure::abandon(code, None, error.into()),
        }
    }
}

fn code(error: &Error) -> FailureCode {
    match error {
        Error::Unreachable { .. } | Error::Disconnected { .. } | Error::Timeout | Error::Tls { .. } => {
            FailureCode::BitbucketUnreachable
        }
        // A gateway speaks for a Bitbucket it cannot reach.
        Error::Server { status: 502..=504 } => FailureCode::BitbucketUnreachable,
        Error::RateLimited { .. } => FailureCode::BitbucketRateLimited,
        Error::Unauthorized { .. } => FailureCode::BitbucketUnauthorized,
        Error::Forbidden { .. } => FailureCode::BitbucketForbidden,
        Error::NotFound { what, .. } if *what != Missing::Route => FailureCode::BitbucketNotFound,
        Error::Conflict {
            with: ConflictWith::Archived,
            ..
        } => FailureCode::RepositoryArchived,
        Error::PermissionUnknown { .. } => FailureCode::PermissionUnknown,
        Error::Settings { .. } => FailureCode::Internal,
        Error::Ambiguous { cause } => code(cause),
        Error::NotFound { .. }
        | Error::Conflict { .. }
        | Error::Invalid { .. }
        | Error::Server { .. }
        | Error::Unexpected { .. }
        | Error::Redirected { .. }
        | Error::NotJson { .. }
        | Error::TooLong { .. }
        | Error::Garbled { .. } => FailureCode::BitbucketFailed,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pipeline::failure::Counts;

    use super::*;

    /// `free` waits up to a day, `attempt` counts, `end` gives up.
    fn check(error: Error, expected: (&str, FailureCode)) {
        let shown = error.to_string();
        let failure = Failure::from(error);
        let kind = match &failure {
            Failure::Retry {
                counts: Counts::NotAsAttempt,
                ..
            } => "free",
            Failure::Retry {
                counts: Counts::AsAttempt,
                ..
            } => "attempt",
            Failure::Refuse { .. } => "refuse",
            Failure::Abandon { .. } => "end",
        };
        assert_eq!((kind, failure.code()), expected, "{shown}");
    }

    #[test]
    fn every_error_has_a_settlement_and_a_code() {
        use FailureCode as Code;
        let text = || "x".to_owned();
        let missing = |what| Error::NotFound {
            what,
            message: "x".into(),
        };
        let ambiguous = |cause| Error::Ambiguous {
            cause: Box::new(cause),
        };
        for (error, expected) in [
            (
                Error::Unreachable { cause: text() },
                ("free", Code::BitbucketUnreachable),
            ),
            (
                Error::Disconnected { cause: text() },
                ("free", Code::BitbucketUnreachable),
            ),
            (Error::Timeout, ("free", Code::BitbucketUnreachable)),
            (Error::Tls { cause: text() }, ("free", Code::BitbucketUnreachable)),
            (
                Error::Server { status: 503 },
                ("free", Code::BitbucketUnreachable),
            ),
            (Error::Server { status: 500 }, ("free", Code::BitbucketFailed)),
            (
                Error::RateLimited { after: None },
                ("free", Code::BitbucketRateLimited),
            ),
            (
                Error::Unauthorized { message: text() },
                ("free", Code::BitbucketUnauthorized),
            ),
            (
                Error::NotJson { content_type: text() },
                ("free", Code::BitbucketFailed),
            ),
            (Error::Redirected { to: text() }, ("free", Code::BitbucketFailed)),
            (missing(Missing::Route), ("free", Code::BitbucketFailed)),
            (missing(Missing::PullRequest), ("end", Code::BitbucketNotFound)),
            (
                Error::Forbidden { message: text() },
                ("end", Code::BitbucketForbidden),
            ),
            (Error::Invalid { message: text() }, ("end", Code::BitbucketFailed)),
            (
                Error::Unexpected {
                    status: 418,
                    message: text(),
                },
                ("end", Code::BitbucketFailed),
            ),
            (Error::Garbled { what: text() }, ("end", Code::BitbucketFailed)),
            (Error::TooLong { bytes_max: 1 }, ("end", Code::BitbucketFailed)),
            (
                Error::PermissionUnknown { why: text() },
                ("end", Code::PermissionUnknown),
            ),
            (Error::Settings { cause: text() }, ("end", Code::Internal)),
            (ambiguous(Error::Timeout), ("free", Code::BitbucketUnreachable)),
            (
                ambiguous(Error::Garbled { what: text() }),
                ("attempt", Code::BitbucketFailed),
            ),
        ] {
            check(error, expected);
        }
    }

    #[test]
    fn an_archive_is_waited_for_and_other_conflicts_are_looked_at_again() {
        for (with, expected) in [
            (ConflictWith::Archived, ("free", FailureCode::RepositoryArchived)),
            (ConflictWith::State, ("attempt", FailureCode::BitbucketFailed)),
        ] {
            let message = "x".to_owned();
            let conflict = Error::Conflict {
                with,
                current_version: None,
                message,
            };
            check(conflict, expected);
        }
    }

    #[test]
    fn a_retry_after_reaches_the_settlement() {
        let after = Some(Duration::from_secs(5));
        let Failure::Retry { after: waited, .. } = Error::RateLimited { after }.into() else {
            panic!("not a retry");
        };
        assert_eq!(waited, after);
    }
}
