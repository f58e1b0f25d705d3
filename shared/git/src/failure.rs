//! What each error means for a message: decided here, once.

use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;

use crate::error::{Error, PushError};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        use FailureCode as Code;
        match error {
            Error::BranchGone { .. } => Failure::refuse(Code::SourceBranchGone, None),
            Error::TooLarge { .. } => Failure::refuse(Code::RepositoryTooLarge, error.to_string()),
            Error::ChangeTooLarge { .. } => Failure::refuse(Code::ChangeTooLarge, error.to_string()),
            Error::Unreadable { .. } => Failure::abandon(Code::WorkTreeUnreadable, None, error.into()),
            Error::HostileTree { .. } => Failure::abandon(Code::GitFailed, error.to_string(), error.into()),
            // A token is renewed by an administrator; until then the run waits, as it does where REST refuses the token.
            Error::Unauthorized => Failure::unavailable(Code::BitbucketUnauthorized, None, error.into()),
            Error::Forbidden => Failure::abandon(Code::BitbucketForbidden, None, error.into()),
            Error::NotFound => Failure::abandon(Code::BitbucketNotFound, None, error.into()),
            Error::RateLimited { after } => {
                Failure::unavailable(Code::BitbucketRateLimited, after, error.into())
            }
            Error::Server { .. } | Error::Unreachable { .. } | Error::Interrupted { .. } | Error::Busy => {
                Failure::unavailable(Code::GitUnreachable, None, error.into())
            }
            Error::Redirected { .. } | Error::Settings { .. } => {
                Failure::abandon(Code::GitUnreachable, None, error.into())
            }
            Error::Protocol { .. }
            | Error::Damaged { .. }
            | Error::Io { .. }
            | Error::TooShallow
            | Error::Stopped => Failure::retry(Code::GitFailed, error.into()),
            Error::NotFastForward { .. } | Error::OfMerge { .. } | Error::Invalid(_) => {
                Failure::abandon(Code::Internal, None, error.into())
            }
        }
    }
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Git(error) => error.into(),
            PushError::Moved { .. } => Failure::retry(FailureCode::BranchBusy, error.into()),
            PushError::Ambiguous { .. } => Failure::retry(FailureCode::GitFailed, error.into()),
            PushError::Rejected { messages } => Failure::refuse(FailureCode::PushRejected, messages),
            PushError::Forbidden => Failure::refuse(FailureCode::PushForbidden, None),
        }
    }
}
