//! What people may type next, as far as it is built and the bot's name is known.

use pipeline::failure_code::FailureCode;
use pipeline::reference;
use pipeline::run::{Run, RunState};
use pipeline::verbs::Verb;

use super::Scene;
use crate::sanitise::code as code_of;

/// `@openhands verb`, as code.
pub(super) fn command(verb: Verb, scene: &Scene<'_>) -> Option<String> {
    let name = scene.name.as_ref().filter(|_| verb.is_built())?;
    Some(code_of(&format!("{} {}", reference::mention(name), verb.name())))
}

/// How a commit on the pull request's own branch is taken back. A merge never is: people do that by hand, if at all.
pub(super) fn to_undo(run: &Run, branch: &str, scene: &Scene<'_>) -> Option<String> {
    let is_own = run.branch.as_deref().is_none_or(|own| own == branch);
    let is_merge = run.command.verb == Verb::Update;
    let undo = command(Verb::Undo, scene).filter(|_| is_own && !is_merge)?;
    Some(format!("undo: reply {undo}"))
}

/// How a question is answered.
pub(super) fn to_answer(scene: &Scene<'_>) -> String {
    match command(Verb::Continue, scene) {
        Some(go_on) => format!("To answer, reply {go_on} and your answer."),
        None => "Answer in a new comment that mentions the bot.".to_owned(),
    }
}

/// How a run goes on that was cut off: it left half-finished work, which is never pushed by itself.
pub(super) fn to_continue(scene: &Scene<'_>) -> String {
    match command(Verb::Continue, scene) {
        Some(go_on) => format!("To go on from there, reply {go_on}."),
        None => {
            "To continue, push the patch to the branch, then mention the bot again with what is left to do."
                .to_owned()
        }
    }
}

/// How what needs an open pull request is had on a new one, where it can be.
pub(super) fn to_new_pr(run: &Run, scene: &Scene<'_>) -> Option<String> {
    let code = run.outcome.as_ref()?.failure.as_ref()?.code;
    let verb = run.command.verb;
    // Suggestions are remarks on the pull request itself: with `--suggest`, `--new-pr` is refused.
    let suggests = run.command.options.suggest;
    if code != FailureCode::PullRequestClosed || !verb.may_go_aside() || suggests || verb == Verb::Approve {
        return None;
    }
    let name = reference::mention(scene.name.as_ref()?);
    let request = match (run.state, verb.name(), run.command.text.is_empty()) {
        // What was refused is never repeated: it has to be written again.
        (RunState::Cancelled, ..) => Verb::Retry.name().to_owned(),
        (_, "", _) => "…".to_owned(),
        (_, verb, true) => verb.to_owned(),
        (_, verb, false) => format!("{verb} …"),
    };
    let reply = code_of(&format!("{name} {request} --new-pr"));
    Some(format!("To have it on a new pull request, reply {reply}."))
}

/// How a failed run is done again as it was asked for; where that must fail again, how it goes on, if at all.
pub(super) fn to_retry(run: &Run, scene: &Scene<'_>) -> Option<String> {
    let code = run.outcome.as_ref()?.failure.as_ref().map(|failure| failure.code);
    match code {
        Some(FailureCode::OutsidePaths | FailureCode::UndoConflict | FailureCode::BranchExists) => {
            return None;
        }
        Some(FailureCode::BranchConflict) if run.patch.is_some() && run.command.verb != Verb::Undo => {
            return command(Verb::Continue, scene).map(|_| to_continue(scene));
        }
        _ => {}
    }
    let failed = run.state == RunState::Failed && run.command.starts_a_run();
    let retry = command(Verb::Retry, scene).filter(|_| failed)?;
    Some(format!("To try the same again, reply {retry}."))
}
