//! The verdict on a message: the architecture's table "Failures and acks" as one pure function.

use std::time::Duration;

use pipeline::failure::{Counts, Failure};
use pipeline::failure_code::FailureCode;
use pipeline::message::DecodeError;
use pipeline::run::FailureReport;

use crate::error::UNKNOWN_VERSION_AFTER;

/// First pause after a failed attempt; doubles with each.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// First pause while waiting for something that is away. Short, because a lane's slot frees up to 165 ms after an
/// acknowledgement (architecture, `JOBS`); doubles with each.
const WAIT_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause of our own choice: what comes back is noticed within a minute.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Longest pause that another side's `Retry-After` may impose.
const AFTER_MAX: Duration = Duration::from_hours(1);
/// How long a message may wait for what is away before it is given up.
pub(crate) const WAITING_MAX: Duration = Duration::from_hours(24);

/// How work on a message ended.
#[derive(Debug)]
pub enum Ended {
    /// The handler is done and its outputs are published, or there was nothing to do.
    Done,
    /// The handler, or publishing its outputs, failed.
    Failed(Failure),
    /// The bytes are not the handler's input.
    Unreadable(DecodeError),
    /// The handler panicked; the text is the panic's.
    Panicked(String),
    /// The handler did not end by the deadline.
    OutOfTime,
    /// The process shuts down: before the handler began, or hard.
    ShutDown,
    /// All attempts ended without a word: their workers died.
    Lost,
}

/// What is known of the attempts at a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// This one, from 1.
    pub number: u32,
    /// The last one allowed.
    pub max: u32,
    /// Deliveries that were no attempts.
    pub waits: u32,
    /// Since the first of those.
    pub waiting: Duration,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Ack,
    /// It is done; its run ends `refused` with the report.
    Refuse(FailureReport),
    /// It comes again.
    Nak {
        /// After this long, before jitter.
        after: Duration,
        /// Whether this delivery used up an attempt.
        counts: Counts,
    },
    /// It never comes again: its run ends `failed` with the report, and it becomes a dead letter.
    Bury(FailureReport),
}

impl Verdict {
    /// The verdict as metrics and logs name it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Refuse(_) => "refuse",
            Self::Nak {
                counts: Counts::AsAttempt,
                ..
            } => "retry",
            Self::Nak {
                counts: Counts::NotAsAttempt,
                ..
            } => "wait",
            Self::Bury(_) => "dead",
        }
    }
}

/// What becomes of a message whose handling has `ended` so.
pub fn verdict(ended: &Ended, attempt: &Attempt) -> Verdict {
    match ended {
        Ended::Done => Verdict::Ack,
        Ended::Failed(Failure::Refuse { report }) => Verdict::Refuse(report.clone()),
        Ended::Failed(Failure::Abandon { report, .. }) => Verdict::Bury(report.clone()),
        Ended::Failed(Failure::Retry {
            after,
            counts: Counts::NotAsAttempt,
            code,
            ..
        }) => wait(*after, *code, attempt),
        Ended::Failed(Failure::Retry {
            after,
            counts: Counts::AsAttempt,
            code,
            ..
        }) => retry(*after, *code, attempt),
        Ended::Unreadable(DecodeError::UnknownVersion { .. } | DecodeError::UnknownVerb { .. }) => wait(
            Some(UNKNOWN_VERSION_AFTER),
            FailureCode::MessageUnreadable,
            attempt,
        ),
        Ended::Unreadable(DecodeError::Malformed { .. }) => bury(FailureCode::MessageUnreadable),
        Ended::Panicked(_) => retry(None, FailureCode::Internal, attempt),
        Ended::OutOfTime => retry(None, FailureCode::TimeLimit, attempt),
        Ended::ShutDown => Verdict::Nak {
            after: Duration::ZERO,
            counts: Counts::NotAsAttempt,
        },
        Ended::Lost => bury(FailureCode::WorkerLost),
    }
}

fn retry(after: Option<Duration>, code: FailureCode, attempt: &Attempt) -> Verdict {
    if attempt.number >= attempt.max {
        return bury(code);
    }
    let after = after.map_or_else(
        || doubled(RETRY_PAUSE, attempt.number.saturating_sub(1)),
        |a| a.min(AFTER_MAX),
    );
    Verdict::Nak {
        after,
        counts: Counts::AsAttempt,
    }
}

fn wait(after: Option<Duration>, code: FailureCode, attempt: &Attempt) -> Verdict {
    if attempt.waiting >= WAITING_MAX {
        return bury(code);
    }
    let after = after.map_or_else(|| doubled(WAIT_PAUSE, attempt.waits), |a| a.min(AFTER_MAX));
    Verdict::Nak {
        after,
        counts: Counts::NotAsAttempt,
    }
}

fn bury(code: FailureCode) -> Verdict {
    Verdict::Bury(FailureReport { code, detail: None })
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Attempt = Attempt {
        number: 1,
        max: 3,
        waits: 0,
        waiting: Duration::ZERO,
    };
    const LAST: Attempt = Attempt { number: 3, ..FIRST };

    fn malformed() -> Ended {
        let cause = serde_json::from_str::<u64>("x").unwrap_err();
        Ended::Unreadable(DecodeError::Malformed { name: "job", cause })
    }

    fn nak(milliseconds: u64, counts: Counts) -> Verdict {
        Verdict::Nak {
            after: Duration::from_millis(milliseconds),
            counts,
        }
    }

    fn retry_after(seconds: Option<u64>, counts: Counts) -> Ended {
        let after = seconds.map(Duration::from_secs);
        Ended::Failed(Failure::Retry {
            after,
            counts,
            code: FailureCode::GitFailed,
            cause: anyhow::anyhow!("x"),
        })
    }

    /// Rows of "Failures and acks": how it ended, the verdict at the first attempt and at the last.
    fn check(table: Vec<(&str, Ended, Verdict, Verdict)>) {
        for (row, ended, first, last) in table {
            assert_eq!(verdict(&ended, &FIRST), first, "{row}, first attempt");
            assert_eq!(verdict(&ended, &LAST), last, "{row}, last attempt");
        }
    }

    #[test]
    fn what_a_handler_returns_is_settled_by_the_table() {
        let refused = Ended::Failed(Failure::refuse(FailureCode::PermissionDenied, None));
        let abandoned = Ended::Failed(Failure::abandon(
            FailureCode::GitFailed,
            None,
            anyhow::anyhow!("x"),
        ));
        let refuse = Verdict::Refuse(FailureReport {
            code: FailureCode::PermissionDenied,
            detail: None,
        });
        let failed = bury(FailureCode::GitFailed);
        let (again, later) = (nak(1000, Counts::AsAttempt), nak(7000, Counts::AsAttempt));
        let waiting = nak(250, Counts::NotAsAttempt);
        check(vec![
            ("done", Ended::Done, Verdict::Ack, Verdict::Ack),
            ("refused", refused, refuse.clone(), refuse),
            ("abandoned", abandoned, failed.clone(), failed.clone()),
            (
                "retry",
                retry_after(None, Counts::AsAttempt),
                again,
                failed.clone(),
            ),
            (
                "retry after",
                retry_after(Some(7), Counts::AsAttempt),
                later,
                failed,
            ),
            (
                "unavailable",
                retry_after(None, Counts::NotAsAttempt),
                waiting.clone(),
                waiting,
            ),
        ]);
    }

    #[test]
    fn what_happens_to_a_handler_is_settled_by_the_table() {
        let unknown = Ended::Unreadable(DecodeError::UnknownVersion {
            name: "job",
            version: 2,
        });
        let unknown_verb = Ended::Unreadable(DecodeError::UnknownVerb {
            name: "mention",
            verb: "teleport".to_owned(),
        });
        let unreadable = bury(FailureCode::MessageUnreadable);
        let again = nak(1000, Counts::AsAttempt);
        let (upgraded, shut_down) = (nak(30_000, Counts::NotAsAttempt), nak(0, Counts::NotAsAttempt));
        let lost = bury(FailureCode::WorkerLost);
        check(vec![
            ("malformed", malformed(), unreadable.clone(), unreadable),
            ("unknown version", unknown, upgraded.clone(), upgraded.clone()),
            ("unknown verb", unknown_verb, upgraded.clone(), upgraded),
            (
                "panic",
                Ended::Panicked("x".into()),
                again.clone(),
                bury(FailureCode::Internal),
            ),
            (
                "out of time",
                Ended::OutOfTime,
                again,
                bury(FailureCode::TimeLimit),
            ),
            ("shut down", Ended::ShutDown, shut_down.clone(), shut_down),
            ("lost", Ended::Lost, lost.clone(), lost),
        ]);
    }

    #[test]
    fn waiting_is_free_for_a_day() {
        let waited = |waits, hours: u64| Attempt {
            waits,
            waiting: Duration::from_secs(hours * 3600),
            ..LAST
        };
        let away = || retry_after(None, Counts::NotAsAttempt);
        assert_eq!(verdict(&away(), &waited(3, 23)), nak(2000, Counts::NotAsAttempt));
        assert_eq!(
            verdict(&away(), &waited(u32::MAX, 23)),
            nak(60_000, Counts::NotAsAttempt)
        );
        assert_eq!(verdict(&away(), &waited(3, 24)), bury(FailureCode::GitFailed));
    }

    #[test]
    fn pauses_double_and_end_at_their_limits() {
        let attempt = |number| Attempt {
            number,
            max: 100,
            ..FIRST
        };
        let failed = || retry_after(None, Counts::AsAttempt);
        assert_eq!(verdict(&failed(), &attempt(4)), nak(8000, Counts::AsAttempt));
        assert_eq!(verdict(&failed(), &attempt(40)), nak(60_000, Counts::AsAttempt));
        let impudent = retry_after(Some(1_000_000), Counts::AsAttempt);
        assert_eq!(verdict(&impudent, &FIRST), nak(3_600_000, Counts::AsAttempt));
    }
}
