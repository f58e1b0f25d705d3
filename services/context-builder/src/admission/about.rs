//! The earlier run that `retry`, `continue`, `approve` and `undo` are about. Pure.

use pipeline::failure_code::FailureCode;
use pipeline::ids::CommentId;
use pipeline::mention::{Command, Verb};
use pipeline::run::{Run, RunState};

use crate::records::Resolved;

/// Finds the run in the history of a pull request, the last one asked for first: the one that the command names, else
/// the one whose request or reply the mention answers, else the last that fits.
pub(super) fn earlier<'a>(
    history: &'a [Run],
    command: &Command,
    parent: Option<CommentId>,
) -> Result<&'a Run, FailureCode> {
    let missing = match command.verb {
        Verb::Approve => FailureCode::NoPlan,
        Verb::Undo => FailureCode::NothingToUndo,
        _ => FailureCode::NothingToResume,
    };
    let fits = |run: &&Run| fits(command.verb, run);
    if let Some(named) = &command.argument {
        let mut named = history.iter().filter(|run| is_named(run, named));
        return named.find(fits).ok_or(missing);
    }
    if let Some(parent) = parent {
        let mut answered = history
            .iter()
            .filter(|run| run.comment == parent || run.reply.comment == Some(parent));
        if let Some(run) = answered.next() {
            return Some(run).filter(fits).ok_or(missing);
        }
    }
    let undone = |run: &&Run| {
        command.verb == Verb::Undo
            && (run.command.verb == Verb::Undo || history.iter().any(|later| has_undone(later, run)))
    };
    history
        .iter()
        .filter(fits)
        .find(|run| !undone(run))
        .ok_or(missing)
}

/// What a run is to do: of a `retry`, what the earlier one was to do, with what that was about.
pub(super) fn resolved(command: &Command, earlier: Option<&Run>) -> Resolved {
    match earlier {
        Some(earlier) if command.verb == Verb::Retry => Resolved {
            command: Command {
                ignored_verbs: command.ignored_verbs.clone(),
                nearly: None,
                ..earlier.command.clone()
            },
            about: if earlier.command.verb.is_about_a_run() {
                earlier.about.clone()
            } else {
                Some(earlier.id.clone())
            },
        },
        earlier => Resolved {
            command: command.clone(),
            about: earlier.map(|run| run.id.clone()),
        },
    }
}

/// Whether a run can be repeated, continued, approved or undone. What somebody was refused is never repeated: somebody
/// else's right must not make it happen.
fn fits(verb: Verb, run: &Run) -> bool {
    let outcome = run.outcome.as_ref();
    let pushed = outcome.is_some_and(|outcome| outcome.pushed.is_some());
    if !run.state.is_terminal()
        || !run.command.verb.is_queued()
        || run.command.refused.is_some()
        || matches!(run.state, RunState::Refused | RunState::Superseded)
    {
        return false;
    }
    match verb {
        Verb::Continue => {
            run.patch.is_some() && !pushed || outcome.is_some_and(|outcome| !outcome.questions.is_empty())
        }
        Verb::Approve => {
            run.command.verb == Verb::Plan
                && run.started_at.is_some()
                && matches!(run.state, RunState::Answered | RunState::NoChange)
        }
        Verb::Undo => pushed,
        // What this build does not do starts nothing, whenever it was asked for.
        _ => run.command.starts_a_run(),
    }
}

/// By its id or by the beginning of the commit it worked on.
fn is_named(run: &Run, name: &str) -> bool {
    run.id.as_str() == name
        || run
            .base
            .as_ref()
            .is_some_and(|base| base.as_str().starts_with(name))
}

fn has_undone(later: &Run, run: &Run) -> bool {
    later.command.verb == Verb::Undo && later.state == RunState::Done && later.about.as_ref() == Some(&run.id)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use pipeline::ids::{CommitId, RunId};
    use pipeline::job::Artifact;
    use pipeline::run::{Outcome, Pushed};

    use super::*;
    use crate::lane::tests::mention;
    use crate::records;

    /// A run for comment `comment` that has ended.
    fn run(comment: u64, verb: Verb, state: RunState) -> Run {
        let mut asked = mention(comment, 0, comment, None);
        asked.command = Some(Command::of_verb(verb, "x"));
        let id = RunId::derive(&asked.origin.instance, asked.comment, 0);
        let mut run = records::queued(&asked, &id, None, Timestamp::UNIX_EPOCH);
        run.started_at = Some(Timestamp::UNIX_EPOCH);
        records::ended(run, state, Outcome::default(), Timestamp::UNIX_EPOCH)
    }

    fn pushed(mut run: Run) -> Run {
        run.outcome = Some(Outcome {
            pushed: Some(Pushed {
                commit: CommitId::new("a".repeat(40)).unwrap(),
                branch: "refs/heads/x".to_owned(),
                files: 1,
                added: 1,
                removed: 0,
            }),
            ..Outcome::default()
        });
        run
    }

    fn found(history: &[Run], command: &Command, parent: Option<u64>) -> Result<u64, FailureCode> {
        earlier(history, command, parent.map(CommentId)).map(|run| run.comment.0)
    }

    fn named(verb: Verb, argument: &str) -> Command {
        Command {
            argument: Some(argument.to_owned()),
            ..Command::of_verb(verb, "")
        }
    }

    #[test]
    fn retry_takes_the_last_run_that_ended_or_the_one_it_answers_and_never_what_was_refused() {
        let retry = Command::of_verb(Verb::Retry, "");
        let mut running = run(5, Verb::Fix, RunState::Done);
        running.state = RunState::Running;
        let mut replied = run(1, Verb::Test, RunState::Done);
        replied.reply.comment = Some(CommentId(100));
        let history = [
            running,
            run(4, Verb::Fix, RunState::Refused),
            run(3, Verb::Help, RunState::Answered),
            run(2, Verb::Fix, RunState::Failed),
            replied,
        ];
        assert_eq!(found(&history, &retry, None), Ok(2));
        assert_eq!(found(&history, &retry, Some(100)), Ok(1));
        assert_eq!(found(&history, &retry, Some(1)), Ok(1));
        assert_eq!(
            found(&history, &retry, Some(4)),
            Err(FailureCode::NothingToResume)
        );
        assert_eq!(found(&history, &retry, Some(999)), Ok(2), "another thread");
        assert_eq!(
            found(&history[..3], &retry, None),
            Err(FailureCode::NothingToResume)
        );
    }

    #[test]
    fn continue_takes_kept_work_or_open_questions() {
        let go_on = Command::of_verb(Verb::Continue, "");
        let patch = Artifact {
            key: "k".to_owned(),
            bytes: 1,
        };
        let mut kept = run(1, Verb::Fix, RunState::Expired);
        kept.patch = Some(patch.clone());
        let mut done = pushed(run(2, Verb::Fix, RunState::Done));
        done.patch = Some(patch);
        let mut asks = run(3, Verb::Fix, RunState::NeedsInput);
        asks.outcome = Some(Outcome {
            questions: vec!["which?".to_owned()],
            ..Outcome::default()
        });
        assert_eq!(found(&[done.clone(), kept.clone()], &go_on, None), Ok(1));
        assert_eq!(found(&[asks, done.clone(), kept], &go_on, None), Ok(3));
        assert_eq!(found(&[done], &go_on, None), Err(FailureCode::NothingToResume));
    }

    #[test]
    fn approve_takes_the_last_plan_or_the_one_it_names() {
        let mut first = run(1, Verb::Plan, RunState::Answered);
        first.base = Some(CommitId::new("abc1".repeat(10)).unwrap());
        let second = run(2, Verb::Plan, RunState::Answered);
        let failed = run(3, Verb::Plan, RunState::Failed);
        let history = [failed, run(4, Verb::Fix, RunState::Done), second, first.clone()];
        let approve = Command::of_verb(Verb::Approve, "");
        assert_eq!(found(&history, &approve, None), Ok(2));
        assert_eq!(
            found(&history, &named(Verb::Approve, first.id.as_str()), None),
            Ok(1)
        );
        assert_eq!(found(&history, &named(Verb::Approve, "abc1abc"), None), Ok(1));
        assert_eq!(
            found(&history, &named(Verb::Approve, "fff"), None),
            Err(FailureCode::NoPlan)
        );
    }

    #[test]
    fn undo_takes_what_was_pushed_last_and_steps_back_when_it_is_repeated() {
        let first = pushed(run(1, Verb::Fix, RunState::Done));
        let second = pushed(run(2, Verb::Fix, RunState::Done));
        let undo = Command::of_verb(Verb::Undo, "");
        let mut undone = pushed(run(3, Verb::Undo, RunState::Done));
        undone.about = Some(second.id.clone());
        let history = [undone, second, first.clone()];
        assert_eq!(found(&history[1..], &undo, None), Ok(2));
        assert_eq!(found(&history, &undo, None), Ok(1));
        assert_eq!(
            found(&history, &named(Verb::Undo, first.id.as_str()), None),
            Ok(1)
        );
        assert_eq!(
            found(&[run(1, Verb::Fix, RunState::NoChange)], &undo, None),
            Err(FailureCode::NothingToUndo)
        );
    }

    #[test]
    fn a_retry_does_what_the_earlier_run_did_about_what_that_was_about() {
        let retry = Command::of_verb(Verb::Retry, "");
        let fix = run(1, Verb::Fix, RunState::Done);
        let again = resolved(&retry, Some(&fix));
        assert_eq!(
            (again.command, again.about),
            (fix.command.clone(), Some(fix.id.clone()))
        );
        let mut undo = run(2, Verb::Undo, RunState::Failed);
        undo.about = Some(fix.id.clone());
        assert_eq!(resolved(&retry, Some(&undo)).about, Some(fix.id));
    }
}
