//! The earlier run that `retry`, `continue`, `approve` and `undo` are about, and what they take over of it. Pure.

use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, CommitId, RunId};
use pipeline::mention::{Command, Verb};
use pipeline::run::{FailureReport, Outcome, Run, RunState};

use crate::records::Resolved;

mod taken_over;
#[cfg(test)]
mod tests;

/// Runs named to a person who has to choose; the last ones are meant, mostly.
const NAMED_MAX: usize = 5;

/// Finds the run in the history of a pull request, the last one asked for first: the one that the command names, else
/// the one whose request or reply the mention answers, else the last that fits. Where that would be a guess, as in a
/// thread that is no run's or among several plans for one head, the person is asked to name it.
pub(super) fn earlier<'a>(
    history: &'a [Run],
    command: &Command,
    parent: Option<CommentId>,
    head: &CommitId,
) -> Result<&'a Run, FailureReport> {
    let verb = command.verb;
    let missing = || report(missing(verb), None);
    let fitting: Vec<&Run> = history.iter().filter(|run| fits(verb, run)).collect();
    if let Some(named) = &command.argument {
        let named = fitting.into_iter().filter(|run| is_named(run, named));
        return the_only(verb, &named.collect::<Vec<_>>());
    }
    let answered = |parent| {
        let is_its = |run: &&Run| run.comment == parent || run.reply.comment == Some(parent);
        history.iter().find(is_its)
    };
    if let Some(run) = parent.and_then(answered) {
        return Some(run).filter(|run| fits(verb, run)).ok_or_else(missing);
    }
    let open: Vec<&Run> = fitting
        .into_iter()
        .filter(|run| is_open(verb, run, history))
        .collect();
    if parent.is_some() {
        return the_only(verb, &open);
    }
    if verb == Verb::Approve && open.len() > 1 {
        let at_head: Vec<&Run> = open
            .iter()
            .copied()
            .filter(|plan| plan.base.as_ref() == Some(head))
            .collect();
        return the_only(verb, if at_head.is_empty() { &open } else { &at_head });
    }
    open.first().copied().ok_or_else(missing)
}

/// What a run is to do: of a `retry`, what the earlier one was to do, with what that was about. What limited the earlier
/// one limits this one; a report where an option that was typed contradicts that.
pub(super) fn resolved(command: &Command, earlier: Option<&Run>) -> Result<Resolved, FailureReport> {
    let Some(earlier) = earlier else {
        return Ok(Resolved {
            command: command.clone(),
            about: None,
        });
    };
    let mut resolved = Resolved {
        command: command.clone(),
        about: Some(earlier.id.clone()),
    };
    if command.verb == Verb::Retry {
        resolved.command = Command {
            ignored_verbs: command.ignored_verbs.clone(),
            nearly: None,
            ..earlier.command.clone()
        };
        if earlier.command.verb.is_about_a_run() {
            resolved.about.clone_from(&earlier.about);
        }
    }
    // What an undo reverts was decided by the run that it undoes; nothing of its options is left to keep.
    if command.verb != Verb::Undo {
        resolved.command.options = Box::new(taken_over::options(command, earlier)?);
    }
    Ok(resolved)
}

/// One run, or the question which.
fn the_only<'a>(verb: Verb, runs: &[&'a Run]) -> Result<&'a Run, FailureReport> {
    match runs {
        [] => Err(report(missing(verb), None)),
        [run] => Ok(run),
        runs => {
            let named = runs.iter().take(NAMED_MAX);
            let named: Vec<String> = named.map(|run| format!("`{} {}`", verb.name(), run.id)).collect();
            Err(report(FailureCode::RunUnclear, Some(named.join(" or "))))
        }
    }
}

fn missing(verb: Verb) -> FailureCode {
    match verb {
        Verb::Approve => FailureCode::NoPlan,
        Verb::Undo => FailureCode::NothingToUndo,
        _ => FailureCode::NothingToResume,
    }
}

fn report(code: FailureCode, detail: Option<String>) -> FailureReport {
    FailureReport { code, detail }
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

/// Whether a run may be meant without being named: what was undone or continued already is not, neither is a merge of the
/// target branch, whose undoing would take other people's work, nor what was pushed elsewhere.
fn is_open(verb: Verb, run: &Run, history: &[Run]) -> bool {
    match verb {
        Verb::Undo => {
            !matches!(run.command.verb, Verb::Undo | Verb::Update)
                && run.outcome.as_ref().is_some_and(Outcome::is_on_source)
                && !history.iter().any(|later| has_done(verb, later, &run.id))
        }
        Verb::Continue => !history.iter().any(|later| has_done(verb, later, &run.id)),
        _ => true,
    }
}

fn has_done(verb: Verb, later: &Run, run: &RunId) -> bool {
    later.command.verb == verb && later.state == RunState::Done && later.about.as_ref() == Some(run)
}
