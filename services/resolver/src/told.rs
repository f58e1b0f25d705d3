//! What an agent told when it ended, and how far it can be gone by: why it ended, its words without secrets, and how the
//! run ends where it broke off.

use agent::{Ended, Report};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::run::{FailureReport, Outcome, RunState};
use sandbox::How;

use crate::secrets::{self, Known};

/// The state and code of a run whose agent did not come to an end by itself.
pub(crate) type CutShort = (RunState, FailureCode);

/// The agent's words and the facts known so far, before its tree was looked at.
pub(crate) fn outcome_of(report: &Report, notes: Vec<String>) -> Outcome {
    let mut outcome = Outcome {
        summary: Some(report.summary.clone()).filter(|summary| !summary.trim().is_empty()),
        not_done: report.not_done.clone(),
        questions: report.questions.clone(),
        notes,
        ..Outcome::default()
    };
    if cut_short(report).is_none() {
        outcome.notes.extend(broke_down(report));
    }
    outcome
}

/// How the run ends when the agent did not come to an end by itself.
pub(crate) fn cut_short(report: &Report) -> Option<CutShort> {
    match report.ended {
        Ended::Finished => None,
        Ended::TurnLimit => Some((RunState::Expired, FailureCode::TurnLimit)),
        Ended::TokenLimit => Some((RunState::Expired, FailureCode::TokenLimit)),
        Ended::MoneyLimit => Some((RunState::Expired, FailureCode::MoneyLimit)),
        Ended::TimeLimit | Ended::Cancelled => Some((RunState::Expired, FailureCode::TimeLimit)),
        Ended::MalformedCalls | Ended::NoToolCalls => Some((RunState::Failed, FailureCode::AgentConfused)),
        Ended::OutputLimit => Some((RunState::Failed, FailureCode::OutputLimit)),
        Ended::MemoryLimit => Some((RunState::Failed, FailureCode::MemoryLimit)),
        Ended::ProcessLimit => Some((RunState::Failed, FailureCode::ProcessLimit)),
        Ended::DiskLimit => Some((RunState::Failed, FailureCode::DiskLimit)),
        Ended::Crashed => Some((RunState::Failed, FailureCode::AgentCrashed)),
    }
}

/// How an agent crashed, for whoever has to find out why; its words are beside it. The other ends need no more than their
/// code.
pub(crate) fn detail(report: &Report) -> Option<String> {
    if report.ended != Ended::Crashed {
        return None;
    }
    let how = match report.cell.as_ref().map(|cell| cell.how) {
        Some(How::Exited(code)) => format!("exit code {code}"),
        Some(How::Signalled(signal)) => format!("signal {signal}"),
        _ => "the conversation with it broke off".to_owned(),
    };
    let turns = match report.usage.turns {
        0 => "before its model had answered".to_owned(),
        1 => "after 1 model call".to_owned(),
        turns => format!("after {turns} model calls"),
    };
    Some(format!("{how}, {turns}"))
}

/// An exit code says nothing about the work, and a person reads more into a change whose author broke down.
fn broke_down(report: &Report) -> Option<String> {
    let how = match report.cell.as_ref()?.how {
        How::Exited(code) if code != 0 => format!("with exit code {code}"),
        How::Signalled(signal) => format!("by signal {signal}"),
        _ => return None,
    };
    Some(format!("The agent ended {how}: its work may be unfinished."))
}

/// The agent could not go on. It has retried what was worth it: people learn the class, the log the cause. Only this
/// machine's own failures are worth another attempt.
pub(crate) fn broke(error: agent::Error) -> Result<FailureReport, Failure> {
    match Failure::from(error) {
        Failure::Abandon { report, cause } => {
            tracing::warn!(code = %report.code, cause = format!("{cause:#}"), "the agent broke off");
            Ok(report)
        }
        failure => Err(failure),
    }
}

/// Whether the agent has done nothing at all: one that comes to no change has at least asked its model.
pub(crate) fn idle(report: &Report) -> Option<CutShort> {
    (report.usage.turns == 0).then_some((RunState::Failed, FailureCode::AgentIdle))
}

/// Calls of the model that failed, which explain an agent that did little.
pub(crate) fn failed_calls(report: &Report) -> Option<String> {
    let failed = report.model_errors;
    (failed > 0).then(|| format!("Calls of the model that failed: {failed}."))
}

/// The agent's words without tokens it may have seen or made up, and without what a reply would not show.
pub(crate) fn redacted(mut outcome: Outcome, known: &Known) -> Outcome {
    let texts = outcome
        .summary
        .iter_mut()
        .chain(&mut outcome.not_done)
        .chain(&mut outcome.questions)
        .chain(&mut outcome.notes);
    for text in texts {
        *text = secrets::redacted(text, known);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::report;

    fn ended_by(how: How, turns: u32) -> Report {
        Report {
            cell: Some(sandbox::CellEnd {
                how,
                wall: Duration::ZERO,
                memory_peak_bytes: 0,
                left_behind: 0,
                over_for: None,
            }),
            ..report(turns, 0)
        }
    }

    #[test]
    fn a_crash_is_told_with_what_is_known_of_it() {
        let detail = |how, turns| {
            detail(&Report {
                ended: Ended::Crashed,
                ..ended_by(how, turns)
            })
        };
        for (how, turns, expected) in [
            (How::Exited(3), 0, "exit code 3, before its model had answered"),
            (How::Signalled(11), 1, "signal 11, after 1 model call"),
            (
                How::Cancelled,
                2,
                "the conversation with it broke off, after 2 model calls",
            ),
        ] {
            assert_eq!(detail(how, turns).as_deref(), Some(expected));
        }
        assert_eq!(super::detail(&ended_by(How::Exited(3), 1)), None);
    }

    #[test]
    fn an_agent_that_broke_down_is_told_of() {
        let note = |how| broke_down(&ended_by(how, 1));
        assert!(note(How::Exited(3)).unwrap().contains("exit code 3"));
        assert!(note(How::Signalled(11)).unwrap().contains("signal 11"));
        assert_eq!(note(How::Exited(0)), None);
        // What is asked to end when it has said that it is done has not broken down.
        assert_eq!(note(How::Cancelled), None);
        assert_eq!(broke_down(&report(1, 0)), None);
    }
}
