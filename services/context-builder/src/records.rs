//! Run records as this role writes them. Pure.

use jiff::Timestamp;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::job::{Actor, Credential};
use pipeline::mention::{Command, Mention};
use pipeline::run::{Asked, FailureReport, Outcome, Run, RunState};

/// What a person is asked whose mention stands alone.
const WHAT_TO_DO: &str = "What should I do? Write it behind the mention.";

/// Said on a run whose comment was edited after it began.
pub(crate) const EDIT_TOO_LATE: &str = "The comment was edited after work had begun; the edit does not count. Edit it again when this run has ended.";

/// Said on a run whose mention stood alone.
pub(crate) const POINTED_AT: &str = "Taking the comment above the mention as the request.";

/// A run that waits.
pub(crate) fn queued(mention: &Mention, id: &RunId, traceparent: Option<String>, now: Timestamp) -> Run {
    let origin = &mention.origin;
    // Only mentions that ask for something start a run; an empty request is one to ask back about.
    let command = mention.command.clone().unwrap_or(Command::request(""));
    let asked = Asked {
        instance: origin.instance.clone(),
        repository: origin.repository.clone(),
        pull_request: origin.pull_request,
        comment: mention.comment,
        comment_version: mention.comment_version,
        requester: mention.author.clone(),
        credential: Credential {
            connection: origin.connection.clone(),
            actor: Actor::Bot,
        },
        command,
    };
    Run {
        traceparent,
        ..Run::queued(id.clone(), asked, now)
    }
}

/// The same run, ended before it began.
pub(crate) fn ended(mut run: Run, state: RunState, outcome: Outcome, now: Timestamp) -> Run {
    run.state = state;
    run.outcome = Some(outcome);
    run.ended_at = Some(now);
    run
}

/// An outcome that is a failure.
pub(crate) fn failure(report: FailureReport) -> Outcome {
    Outcome {
        failure: Some(report),
        ..Outcome::default()
    }
}

/// A failure without further facts.
pub(crate) fn because(code: FailureCode) -> Outcome {
    failure(FailureReport { code, detail: None })
}

/// An outcome that is an answer of ours.
pub(crate) fn answer(text: String) -> Outcome {
    Outcome {
        answer: Some(text),
        ..Outcome::default()
    }
}

/// An outcome that asks back.
pub(crate) fn ask_back() -> Outcome {
    Outcome {
        questions: vec![WHAT_TO_DO.to_owned()],
        ..Outcome::default()
    }
}

/// Gives a run that has not been taken the command of a newer comment version. Returns whether it has it now.
pub(crate) fn amend(run: &mut Run, mention: &Mention) -> bool {
    let Some(command) = &mention.command else {
        return false;
    };
    if run.comment_version >= mention.comment_version {
        return run.digest == command.digest();
    }
    if run.state != RunState::Queued {
        return false;
    }
    run.comment_version = mention.comment_version;
    if run.digest != command.digest() {
        run.digest = command.digest();
        run.command = command.clone();
        run.n += 1;
    }
    true
}

/// Adds a step once, whoever has the run.
pub(crate) fn note(run: &mut Run, step: &str) {
    if !run.steps.iter().any(|known| known == step) {
        // Refused for a run that has ended: then there is nobody left to tell.
        drop(run.step(run.attempt, step.to_owned()));
    }
}

/// Sets how many runs are before this one, for a run that waits.
pub(crate) fn set_ahead(run: &mut Run, ahead: u32) {
    if run.state == RunState::Queued && run.ahead != ahead {
        run.ahead = ahead;
        run.n += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::tests::mention;

    fn run() -> Run {
        let first = mention(1, 0, 10, Some("fix a"));
        let id = RunId::derive(&first.origin.instance, first.comment, 0);
        queued(&first, &id, None, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn an_edit_amends_a_waiting_run_once_and_never_one_that_began() {
        let mut waiting = run();
        let edit = mention(1, 1, 11, Some("fix b"));
        assert!(amend(&mut waiting, &edit));
        assert_eq!(
            (waiting.command.text.as_str(), waiting.comment_version, waiting.n),
            ("fix b", 1, 2)
        );
        let once = waiting.clone();
        assert!(amend(&mut waiting, &edit));
        assert!(
            !amend(&mut waiting, &mention(1, 0, 10, Some("fix a"))),
            "an older version"
        );
        assert_eq!(waiting, once);
        assert!(amend(&mut waiting, &mention(1, 2, 12, Some("fix b"))));
        assert_eq!(
            (waiting.comment_version, waiting.n),
            (2, 2),
            "what is asked for is the same"
        );
        let mut begun = run();
        begun.take(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).unwrap();
        assert!(!amend(&mut begun, &edit));
        assert_eq!(begun.command.text, "fix a");
    }

    #[test]
    fn a_note_is_made_once_and_not_on_a_run_that_has_ended() {
        let mut running = run();
        note(&mut running, EDIT_TOO_LATE);
        note(&mut running, EDIT_TOO_LATE);
        assert_eq!((running.steps.len(), running.n), (1, 2));
        let mut over = ended(
            run(),
            RunState::Refused,
            because(FailureCode::PermissionDenied),
            Timestamp::UNIX_EPOCH,
        );
        let before = over.clone();
        note(&mut over, EDIT_TOO_LATE);
        assert_eq!(over, before);
    }

    #[test]
    fn a_place_in_the_queue_is_news_only_when_it_changes() {
        let mut waiting = run();
        set_ahead(&mut waiting, 2);
        set_ahead(&mut waiting, 2);
        assert_eq!((waiting.ahead, waiting.n), (2, 2));
        waiting
            .take(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)
            .unwrap();
        let taken = waiting.clone();
        set_ahead(&mut waiting, 1);
        assert_eq!(waiting, taken);
    }
}
