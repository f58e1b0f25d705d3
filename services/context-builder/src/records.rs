//! Run records as this role writes them. Pure.

use jiff::Timestamp;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, RunId};
use pipeline::job::{Actor, Credential};
use pipeline::mention::{Command, Mention};
use pipeline::run::{Asked, FailureReport, Merged, Outcome, Run, RunState};

use crate::limits::MERGED_BYTES_MAX;

/// What a person is asked whose mention stands alone.
const WHAT_TO_DO: &str = "What should I do? Write it behind the mention.";

/// Said on a run whose comment was edited after it began.
const EDIT_TOO_LATE: &str = "The comment was edited after work had begun; the edit does not count. To stop this, edit it so that it no longer mentions the bot; to have more done, write a new comment.";

/// Said on a run whose mention stood alone.
pub(crate) const POINTED_AT: &str = "Taking the comment above the mention as the request.";

/// What a run is to do, once it is known which earlier run it is about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resolved {
    /// What is asked for; of a `retry`, what the earlier run was asked for.
    pub(crate) command: Command,
    /// The earlier run.
    pub(crate) about: Option<RunId>,
}

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

/// The end of a run that somebody stopped, whose name may be known.
pub(crate) fn stopped_by(name: Option<&str>) -> Outcome {
    failure(FailureReport {
        code: FailureCode::Stopped,
        detail: name.map(|name| format!("Asked for by {name}")),
    })
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

/// Gives a waiting run what its mention was found to ask for. The digest stays that of the mention itself, which the
/// lane knows.
pub(crate) fn resolve(run: &mut Run, resolved: &Resolved) {
    run.command = resolved.command.clone();
    run.about.clone_from(&resolved.about);
    for merged in &run.merged {
        append(&mut run.command.text, &merged.text);
    }
}

/// Whether a newer comment version asks a run that waits for something else.
pub(crate) fn is_behind(run: &Run, mention: &Mention) -> bool {
    let digest = mention.command.as_ref().map(Command::digest);
    run.state == RunState::Queued
        && run.comment_version < mention.comment_version
        && digest.is_some_and(|digest| digest != run.digest)
}

/// Gives a run that has not been taken the command of a newer comment version, unless a still newer one was told to have
/// come too late. Returns whether it has it now.
pub(crate) fn amend(run: &mut Run, mention: &Mention, resolved: &Resolved) -> bool {
    let Some(command) = &mention.command else {
        return false;
    };
    if run.comment_version.max(run.late_version) >= mention.comment_version {
        return run.digest == command.digest();
    }
    if run.state != RunState::Queued {
        return false;
    }
    run.comment_version = mention.comment_version;
    if run.digest != command.digest() {
        run.digest = command.digest();
        resolve(run, resolved);
        run.n += 1;
    }
    true
}

/// Adds the text of another comment to a run that has not been taken, once. Returns whether it has it now.
pub(crate) fn add(run: &mut Run, comment: CommentId, text: &str) -> bool {
    if run.merged.iter().any(|merged| merged.comment == comment) {
        return true;
    }
    if run.state != RunState::Queued || run.command.text.len() + text.len() > MERGED_BYTES_MAX {
        return false;
    }
    append(&mut run.command.text, text);
    run.merged.push(Merged {
        comment,
        text: text.to_owned(),
    });
    run.n += 1;
    true
}

/// Takes back what a comment has added to a run that has not been taken.
pub(crate) fn take_back(run: &mut Run, comment: CommentId) {
    if run.state != RunState::Queued || !run.merged.iter().any(|merged| merged.comment == comment) {
        return;
    }
    let mut all = String::new();
    for merged in &run.merged {
        all.push_str("\n\n");
        all.push_str(&merged.text);
    }
    // To a request without words it was added without a blank line before it.
    let own = run
        .command
        .text
        .strip_suffix(&all)
        .or_else(|| run.command.text.strip_suffix(all.trim_start()));
    let Some(own) = own.map(ToOwned::to_owned) else {
        return;
    };
    run.merged.retain(|merged| merged.comment != comment);
    run.command.text = own;
    for merged in &run.merged {
        append(&mut run.command.text, &merged.text);
    }
    run.n += 1;
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}

/// Adds a step once, whoever has the run.
pub(crate) fn note(run: &mut Run, step: &str) {
    if !run.steps.iter().any(|known| known == step) {
        // Refused for a run that has ended: then there is nobody left to tell.
        drop(run.step(run.attempt, step.to_owned()));
    }
}

/// Notes that the comment of a run that works was edited, for the end, too: steps are not shown then. Returns whether the
/// run says so of this version: one that has ended cannot any more.
pub(crate) fn edited_late(run: &mut Run, version: u32) -> bool {
    if !run.state.is_terminal() {
        run.edited_late = true;
        run.late_version = run.late_version.max(version);
        note(run, EDIT_TOO_LATE);
    }
    run.late_version >= version
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

    fn amend_to(run: &mut Run, mention: &Mention) -> bool {
        let resolved = Resolved {
            command: mention.command.clone().unwrap(),
            about: None,
        };
        amend(run, mention, &resolved)
    }

    #[test]
    fn an_edit_amends_no_run_that_a_later_edit_came_too_late_for() {
        let mut prepared = run();
        assert!(edited_late(&mut prepared, 2));
        assert!(!amend_to(&mut prepared, &mention(1, 1, 11, Some("fix b"))));
        assert_eq!(
            (prepared.command.text.as_str(), prepared.comment_version),
            ("fix a", 0)
        );
    }

    #[test]
    fn an_edit_amends_a_waiting_run_once_and_never_one_that_began() {
        let mut waiting = run();
        let edit = mention(1, 1, 11, Some("fix b"));
        assert!(amend_to(&mut waiting, &edit));
        assert_eq!(
            (waiting.command.text.as_str(), waiting.comment_version, waiting.n),
            ("fix b", 1, 2)
        );
        let once = waiting.clone();
        assert!(amend_to(&mut waiting, &edit));
        assert!(
            !amend_to(&mut waiting, &mention(1, 0, 10, Some("fix a"))),
            "an older version"
        );
        assert_eq!(waiting, once);
        assert!(amend_to(&mut waiting, &mention(1, 2, 12, Some("fix b"))));
        assert_eq!(
            (waiting.comment_version, waiting.n),
            (2, 2),
            "what is asked for is the same"
        );
        let mut begun = run();
        begun.take(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).unwrap();
        assert!(!amend_to(&mut begun, &edit));
        assert_eq!(begun.command.text, "fix a");
    }

    #[test]
    fn what_was_added_stays_when_the_first_comment_is_edited() {
        let mut waiting = run();
        assert!(add(&mut waiting, CommentId(2), "and c"));
        assert!(add(&mut waiting, CommentId(2), "and c"), "twice is once");
        assert_eq!((waiting.command.text.as_str(), waiting.n), ("fix a\n\nand c", 2));
        assert!(amend_to(&mut waiting, &mention(1, 1, 11, Some("fix b"))));
        assert_eq!(waiting.command.text, "fix b\n\nand c");
        assert!(add(&mut waiting, CommentId(3), "and d"));
        take_back(&mut waiting, CommentId(2));
        take_back(&mut waiting, CommentId(2));
        assert_eq!(waiting.command.text, "fix b\n\nand d");
        take_back(&mut waiting, CommentId(3));
        assert_eq!(
            (waiting.command.text.as_str(), waiting.merged.len()),
            ("fix b", 0)
        );
        assert!(!add(&mut waiting, CommentId(3), &"x".repeat(MERGED_BYTES_MAX)));
        waiting
            .take(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)
            .unwrap();
        assert!(!add(&mut waiting, CommentId(3), "too late"));
    }

    #[test]
    fn a_retry_keeps_the_digest_of_its_own_mention() {
        let mut retry = run();
        let digest = retry.digest.clone();
        let resolved = Resolved {
            command: Command::request("what was asked before"),
            about: Some(run().id),
        };
        resolve(&mut retry, &resolved);
        assert_eq!(
            (retry.digest.clone(), retry.about.clone()),
            (digest, Some(run().id))
        );
        assert_eq!(retry.command.text, "what was asked before");
        assert!(!is_behind(&retry, &mention(1, 0, 10, Some("fix a"))));
        assert!(is_behind(&retry, &mention(1, 1, 11, Some("fix b"))));
    }

    #[test]
    fn a_note_is_made_once_and_not_on_a_run_that_has_ended() {
        let mut running = run();
        assert!(edited_late(&mut running, 1) && edited_late(&mut running, 2));
        assert_eq!((running.steps.len(), running.n), (1, 2));
        assert!(running.edited_late, "the end tells it, too");
        let mut over = ended(
            run(),
            RunState::Refused,
            because(FailureCode::PermissionDenied),
            Timestamp::UNIX_EPOCH,
        );
        let before = over.clone();
        assert!(!edited_late(&mut over, 1));
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
