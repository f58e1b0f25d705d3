//! What can go wrong between an agent and its model, and what the pipeline makes of it.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use pipeline::countdown;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;

use crate::task::Usage;

/// Why an agent could not do its work. No text in it contains a credential or a whole answer of the endpoint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or none that lasted until the answer, after several tries.
    #[error("the model endpoint cannot be reached: {reason}")]
    ModelUnreachable {
        /// What the network or TLS said.
        reason: String,
    },
    /// The endpoint answered 401 or 403.
    #[error("the model endpoint refused the key")]
    ModelUnauthorized,
    /// The endpoint still answered 429 after several tries, or asked for a longer wait than a run can spend.
    #[error("the model endpoint limits requests (wait asked for: {after:?})")]
    ModelRateLimited {
        /// Its `Retry-After`, if it gave one.
        after: Option<Duration>,
    },
    /// The endpoint answered 5xx, after several tries.
    #[error("the model endpoint answered {status}")]
    ModelServer {
        /// The HTTP status.
        status: u16,
        /// Its `Retry-After`, if it gave one.
        after: Option<Duration>,
    },
    /// The conversation is too long for the model, also without old outputs.
    #[error("the conversation is too long for the model: {said}")]
    ModelContext {
        /// The beginning of what the endpoint said, on one line.
        said: String,
    },
    /// The endpoint refused the request: an unknown model, a wrong path.
    #[error("the model endpoint refused the request with {status}: {said}")]
    ModelRefused {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said, on one line.
        said: String,
    },
    /// The endpoint answered 200 with something that is no answer of a model.
    #[error("the model endpoint's answer cannot be understood: {reason}")]
    ModelAnswer {
        /// What is wrong with it.
        reason: String,
    },
    /// The client for the model could not be set up.
    #[error("the model client cannot be set up: {reason}")]
    Client {
        /// What is wrong with the settings.
        reason: String,
    },
    /// The agent's program is not there, or is no program.
    #[error("the coding agent {program:?} cannot be started: {reason}")]
    Missing {
        /// What was to be started.
        program: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What the agent was to find in its home could not be written.
    #[error("cannot write {path} for the agent")]
    Home {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The agent's settings cannot be used.
    #[error("the coding agent cannot be set up: {reason}")]
    Launcher {
        /// What is wrong with them.
        reason: String,
    },
    /// A command could not be run; not one that ran and failed.
    #[error("a command of the agent cannot be run")]
    Command(#[from] sandbox::Error),
}

impl Error {
    /// When the endpoint takes requests again, in words, where it said so.
    fn again(&self, now: Timestamp) -> Option<String> {
        let (Self::ModelRateLimited { after } | Self::ModelServer { after, .. }) = self else {
            return None;
        };
        let after = after.filter(|after| !after.is_zero())?;
        let end = now.checked_add(after).ok()?;
        Some(format!("It takes requests again {}", countdown::until(end, now)))
    }

    /// Whether processes of the run may still be alive: then nothing of it may be touched, given away or repeated.
    pub fn may_live_on(&self) -> bool {
        matches!(
            self,
            Self::Command(sandbox::Error::NotKilled { .. } | sandbox::Error::Stuck { .. })
        )
    }
}

/// A task that could not go on, with what it had used by then: calls that were paid for count, whatever came of them.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct BrokenOff {
    /// Why.
    #[source]
    pub error: Box<Error>,
    /// What it used.
    pub usage: Usage,
    /// The model calls as JSON lines, without secrets.
    pub transcript: Vec<u8>,
}

impl From<Error> for BrokenOff {
    /// Of a task that broke off before it asked its model anything.
    fn from(error: Error) -> Self {
        Self {
            error: Box::new(error),
            usage: Usage::default(),
            transcript: Vec::new(),
        }
    }
}

impl From<Error> for Failure {
    /// A run whose model fails has already tried several times and ends `failed`; only the machine's own failures, which
    /// no agent can bring about, are worth another attempt.
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::ModelUnreachable { .. } => FailureCode::ModelUnreachable,
            Error::ModelUnauthorized => FailureCode::ModelUnauthorized,
            Error::ModelRateLimited { .. } => FailureCode::ModelRateLimited,
            Error::ModelServer { .. } | Error::ModelContext { .. } | Error::ModelRefused { .. } => {
                FailureCode::ModelFailed
            }
            Error::ModelAnswer { .. } => FailureCode::ModelGarbled,
            Error::Missing { .. } => FailureCode::AgentMissing,
            Error::Client { .. } | Error::Launcher { .. } => FailureCode::AgentFailed,
            // Another attempt would work beside what may be left of this one.
            Error::Command(_) if error.may_live_on() => FailureCode::Internal,
            // Agents can bring it about, so it is not repeated at the run's cost.
            Error::Command(sandbox::Error::Unwatched { .. }) => FailureCode::AgentUnwatched,
            Error::Home { .. } | Error::Command(_) => {
                return Failure::retry(FailureCode::AgentFailed, error.into());
            }
        };
        let again = error.again(Timestamp::now());
        Failure::abandon(code, again, error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_says_when_to_come_back_is_told_with_the_time() {
        let now: Timestamp = "2026-11-20T14:01:00Z".parse().unwrap();
        let limited = |after| Error::ModelRateLimited { after };
        let after = |seconds| Some(Duration::from_secs(seconds));
        let told = limited(after(240)).again(now);
        assert_eq!(
            told.as_deref(),
            Some("It takes requests again in 4 min, at 14:05 UTC")
        );
        let away = Error::ModelServer {
            status: 503,
            after: after(30),
        };
        assert!(away.again(now).unwrap().contains("at 14:02 UTC"));
        for silent in [
            limited(None),
            limited(after(0)),
            limited(after(u64::MAX)),
            Error::ModelUnauthorized,
        ] {
            assert_eq!(silent.again(now), None, "{silent:?}");
        }
    }

    #[test]
    fn what_may_live_on_is_not_tried_again_and_the_machines_other_failures_are() {
        let reason = "no confirmation".to_owned();
        let program = "sh".into();
        for error in [
            sandbox::Error::NotKilled { reason },
            sandbox::Error::Stuck { program },
        ] {
            let error = Error::Command(error);
            assert!(error.may_live_on());
            let failure = Failure::from(error);
            assert!(
                matches!(&failure, Failure::Abandon { report, .. } if report.code == FailureCode::Internal),
                "{failure:?}"
            );
        }
        let unwatched = Error::Command(sandbox::Error::Unwatched {
            reason: "its memory cannot be seen".to_owned(),
        });
        assert!(!unwatched.may_live_on());
        let failure = Failure::from(unwatched);
        assert!(
            matches!(&failure, Failure::Abandon { report, .. } if report.code == FailureCode::AgentUnwatched),
            "{failure:?}"
        );
        let error = Error::Command(sandbox::Error::Cell {
            reason: "no memory".to_owned(),
        });
        assert!(!error.may_live_on());
        assert!(matches!(Failure::from(error), Failure::Retry { .. }));
    }
}
