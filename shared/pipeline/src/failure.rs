//! Failure: what a handler says when it has no output. Decided once, by the adapter that knows the error;
//! acted on in `worker::settle`; spoken about in `services/reply`.
//!
//! There is deliberately no blanket `From`: an error that no adapter has classified does not compile with `?`.

use std::time::Duration;

use crate::failure_code::FailureCode;
use crate::run::FailureReport;

/// Why a handler could not deliver.
#[derive(Debug)]
pub enum Failure {
    /// The world was briefly wrong; the same message may succeed later.
    Retry {
        /// Not before this long, where the other side said so (`Retry-After`).
        after: Option<Duration>,
        /// Whether this counts against the attempts; an unavailable dependency does not.
        counts: Counts,
        /// What people are told if it never succeeds.
        code: FailureCode,
        /// For the log.
        cause: anyhow::Error,
    },
    /// Understood and declined; the person reads the report.
    Refuse {
        /// Code and detail.
        report: FailureReport,
    },
    /// Trying again cannot help; an operator may have to look.
    Abandon {
        /// What people are told.
        report: FailureReport,
        /// For the log.
        cause: anyhow::Error,
    },
}

/// Whether a retry uses up one of the message's attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// It does.
    AsAttempt,
    /// A dependency is away: waiting is free, up to a day.
    NotAsAttempt,
}

impl Failure {
    /// A dependency is away or overloaded.
    pub fn unavailable(code: FailureCode, after: Option<Duration>, cause: anyhow::Error) -> Self {
        Self::Retry {
            after,
            counts: Counts::NotAsAttempt,
            code,
            cause,
        }
    }

    /// Something failed that may not fail again.
    pub fn retry(code: FailureCode, cause: anyhow::Error) -> Self {
        Self::Retry {
            after: None,
            counts: Counts::AsAttempt,
            code,
            cause,
        }
    }

    /// Understood and declined.
    pub fn refuse(code: FailureCode, detail: impl Into<Option<String>>) -> Self {
        Self::Refuse {
            report: FailureReport {
                code,
                detail: detail.into(),
            },
        }
    }

    /// Trying again cannot help.
    pub fn abandon(code: FailureCode, detail: impl Into<Option<String>>, cause: anyhow::Error) -> Self {
        Self::Abandon {
            report: FailureReport {
                code,
                detail: detail.into(),
            },
            cause,
        }
    }

    /// The code people are told.
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Retry { code, .. } => *code,
            Self::Refuse { report } | Self::Abandon { report, .. } => report.code,
        }
    }
}
