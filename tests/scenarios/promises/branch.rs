//! What is promised of the source branch.

use std::collections::BTreeSet;

use pipeline::run::{Run, RunState};

use super::earlier::Work;
use super::history::{Act, History, of_runs};
use super::promise::{Model, Promise, brief};

/// Everything on the branch that is not as promised.
pub(super) fn wrong(model: &Model<'_>) -> Vec<String> {
    let mut wrong = not_one_commit_each(model);
    wrong.extend(not_as_inherited(model));
    wrong.extend(not_taken_back(model));
    wrong.extend(after_it_was_told(model.history));
    wrong.extend(rewritten(model.history));
    wrong.extend(not_shown(model.history));
    wrong
}

/// Whether a push may have been on its way when the run was ended, which its reply does not deny.
fn may_have_pushed(run: &Run) -> bool {
    run.state == RunState::Cancelled && run.committed
}

fn not_one_commit_each(model: &Model<'_>) -> Vec<String> {
    let made = model.history.made();
    let mut wrong: Vec<_> = made
        .iter()
        .filter(|run| model.history.run(run).is_none())
        .map(|run| format!("a commit of the bot's is of no run: {run}"))
        .collect();
    for run in &model.history.runs {
        let commits = made.iter().filter(|made| **made == run.id.as_str()).count();
        let pushes = model.work(run).is_some_and(Work::pushes);
        let is_right = match run.state {
            RunState::Done => commits == 1,
            _ if pushes && may_have_pushed(run) => commits <= 1,
            _ => commits == 0,
        };
        if !is_right {
            wrong.push(format!("run {} has {commits} commits: {}", run.id, brief(run)));
        }
    }
    wrong
}

/// What is pushed is signed off where that was asked for, here or where it goes back to.
fn not_as_inherited(model: &Model<'_>) -> Vec<String> {
    let commits = model.history.log.iter();
    let of_runs = commits.filter_map(|commit| Some((commit, model.history.run(commit.run.as_ref()?)?)));
    of_runs
        .filter_map(|(commit, run)| {
            let is_asked = model.work(run)?.is_signed_off();
            (commit.is_signed_off != is_asked).then(|| {
                let is = commit.is_signed_off;
                format!(
                    "signed off is {is} and not {is_asked} for the commit of {}",
                    run.id
                )
            })
        })
        .collect()
}

/// Each piece of work is a file; what takes it back removes that, and nothing else.
fn not_taken_back(model: &Model<'_>) -> Vec<String> {
    let (mut wrong, mut files) = (Vec::new(), 0_i64);
    for run in model
        .history
        .made()
        .into_iter()
        .filter_map(|run| model.history.run(run))
    {
        let pushed = run.outcome.as_ref().and_then(|outcome| outcome.pushed.as_ref());
        let (Some(pushed), Some(work)) = (pushed, model.work(run)) else {
            // It was on its way when the run was ended, and nobody was told what is in it.
            return wrong;
        };
        let told = (pushed.added, pushed.removed);
        let about = run
            .about
            .as_ref()
            .and_then(|about| model.history.run(about.as_str()));
        let taken_back = about.and_then(|about| about.outcome.as_ref()?.pushed.as_ref());
        let is_right = match (work, taken_back) {
            (Work::Revert, Some(earlier)) => told == (earlier.removed, earlier.added),
            (Work::Commit { .. }, _) => pushed.added >= 1,
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{work:?} {told:?} is not the work of {}", brief(run)));
        }
        let removed = if model.promise == Promise::UndoKeepsTheWork {
            0
        } else {
            pushed.removed
        };
        files += i64::from(pushed.added) - i64::from(removed);
    }
    if i64::try_from(model.history.files) != Ok(files) {
        wrong.push(format!("{} files of {files} pieces of work", model.history.files));
    }
    wrong
}

/// What somebody has read of a run's end is not made untrue by a later push.
fn after_it_was_told(history: &History) -> Vec<String> {
    let end: BTreeSet<_> = history.made().into_iter().collect();
    let mut wrong = Vec::new();
    for act in &history.acts {
        let Act::Saw { ended, log, .. } = act else {
            continue;
        };
        let then: BTreeSet<_> = of_runs(log).into_iter().collect();
        let changed = ended
            .keys()
            .filter(|run| then.contains(run.as_str()) != end.contains(run.as_str()));
        wrong.extend(
            changed
                .map(|run| format!("run {run} was told to have ended, and its commits changed afterwards")),
        );
    }
    wrong
}

/// The branch only grows.
fn rewritten(history: &History) -> Vec<String> {
    let seen = history.acts.iter().filter_map(|act| match act {
        Act::Saw { log, .. } => Some(log),
        _ => None,
    });
    seen.filter(|log| !history.log.ends_with(log))
        .map(|log| format!("the branch was {log:?}, and is {:?}", history.log))
        .collect()
}

/// The pull request shows what is on its branch, as long as it is open.
fn not_shown(history: &History) -> Vec<String> {
    let hidden = hidden(history);
    let is_closed = history.acts.contains(&Act::Closed);
    let shows_more = history
        .shown
        .iter()
        .any(|shown| history.log.iter().all(|commit| commit.id != *shown));
    let mut wrong = Vec::new();
    if shows_more || (!is_closed && !hidden.is_empty()) {
        wrong.push(format!(
            "the pull request shows {:?} of {:?}",
            history.shown, history.log
        ));
    }
    wrong
}

/// Runs whose commits the pull request does not show.
fn hidden(history: &History) -> Vec<&str> {
    let hidden = history
        .log
        .iter()
        .filter(|commit| !history.shown.contains(&commit.id));
    hidden.filter_map(|commit| commit.run.as_deref()).collect()
}

/// How many commits of the bot's the pull request shows beyond those of `done` runs; fewer where it was merged meanwhile.
pub(super) fn beyond_done_runs(history: &History) -> i64 {
    let is_done = |run: &&&str| history.run(run).is_some_and(|run| run.state == RunState::Done);
    let late = history.made().iter().filter(|run| !is_done(run)).count();
    i64::try_from(late).expect("it is small") - i64::try_from(hidden(history).len()).expect("it is small")
}
