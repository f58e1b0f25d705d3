//! What is promised, as a pure function of what happened: the model that every sequence is held against.
//!
//! Deliveries may overtake one another, so what people did in quick succession may have been heard in another order.
//! Where somebody has read a reply in between, it may not.

use std::collections::{BTreeMap, BTreeSet};

use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, RunId};
use pipeline::mention::Verb;
use pipeline::run::{Run, RunState};

use super::play::{Act, Commit, History, run_shown};
use super::steps::Ask;

/// Said on a run whose comment was edited after it had begun.
const TOO_LATE: &str = "edited after work had begun";

/// What is promised. All but the default is wrong, and is there to be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Promise {
    /// What the product promises.
    #[default]
    Kept,
    /// That every edit asks again, whatever it changes.
    EveryEditAsksAgain,
    /// That nothing but the end of work ends a run.
    NothingStops,
    /// That who may only read is obeyed.
    EveryoneMay,
}

/// A comment through its versions.
struct Told {
    comment: u64,
    by_alice: bool,
    /// Version, place among the acts, what it asks for.
    versions: Vec<(u32, usize, Ask)>,
    is_deleted: bool,
}

/// Everything that is not as promised, in words.
pub(super) fn broken(history: &History, promise: Promise) -> Vec<String> {
    let mut wrong = Vec::new();
    let told = told(&history.acts);
    for run in &history.runs {
        wrong.extend(without_a_reason(history, &told, run, promise));
    }
    for comment in &told {
        wrong.extend(not_answered(history, comment, promise));
    }
    wrong.extend(not_one_reply_each(history));
    wrong.extend(not_one_commit_each(history));
    wrong.extend(two_at_once(&history.runs));
    wrong.extend(after_it_was_told(history));
    wrong.extend(rewritten(history));
    wrong.extend(outlived_a_stop(history));
    wrong.extend(history.acts.iter().filter_map(|act| match act {
        Act::InVain { comment } => Some(format!("nobody answered comment {comment} in time")),
        _ => None,
    }));
    wrong
}

fn told(acts: &[Act]) -> Vec<Told> {
    let mut all: BTreeMap<u64, Told> = BTreeMap::new();
    for (at, act) in acts.iter().enumerate() {
        match act {
            Act::Wrote {
                comment,
                by_alice,
                ask,
            } => {
                let versions = vec![(0, at, *ask)];
                let told = Told {
                    comment: *comment,
                    by_alice: *by_alice,
                    versions,
                    is_deleted: false,
                };
                all.insert(*comment, told);
            }
            Act::Edited {
                comment,
                version,
                ask,
            } => {
                all.get_mut(comment)
                    .expect("it was written")
                    .versions
                    .push((*version, at, *ask));
            }
            Act::Deleted { comment } => all.get_mut(comment).expect("it was written").is_deleted = true,
            _ => {}
        }
    }
    all.into_values().collect()
}

/// What a run was asked for; nothing where it is not one of the texts that were written.
fn ask_of(run: &Run) -> Option<Ask> {
    if run.command.refused.is_some() {
        return Some(Ask::Unknown);
    }
    match run.command.verb {
        Verb::Stop => Some(Ask::Stop),
        Verb::Help => Some(Ask::Help),
        Verb::Request => Some(Ask::Change(
            run.command.text.strip_prefix("do piece ")?.parse().ok()?,
        )),
        _ => None,
    }
}

fn code_of(run: &Run) -> Option<FailureCode> {
    Some(run.outcome.as_ref()?.failure.as_ref()?.code)
}

fn runs_of(history: &History, comment: u64) -> impl Iterator<Item = &Run> {
    history
        .runs
        .iter()
        .filter(move |run| run.comment == CommentId(comment))
}

/// A run that nobody asked for, or that ended as nothing that happened explains.
fn without_a_reason(history: &History, told: &[Told], run: &Run, promise: Promise) -> Option<String> {
    let wrong = |what: &str| {
        Some(format!(
            "run {} of comment {}: {what}; {}",
            run.id,
            run.comment,
            brief(run)
        ))
    };
    let Some(comment) = told.iter().find(|told| told.comment == run.comment.0) else {
        return wrong("of a comment that was not written");
    };
    let asked: Vec<_> = comment
        .versions
        .iter()
        .filter(|(_, _, ask)| *ask != Ask::Nothing)
        .collect();
    if !asked
        .iter()
        .any(|(version, ..)| RunId::derive(&run.instance, run.comment, *version) == run.id)
    {
        return wrong("of no version that asks for anything");
    }
    let Some((_, at, ask)) = asked
        .iter()
        .find(|(version, _, ask)| *version == run.comment_version && Some(*ask) == ask_of(run))
    else {
        return wrong("asks for something else than its version of the comment");
    };
    let is_after = |other: usize| other > *at || !sees_between(&history.acts, other, *at);
    let acts = || history.acts.iter().enumerate();
    let is_closed = acts().any(|(other, act)| *act == Act::Closed && is_after(other));
    let is_stopped = promise != Promise::NothingStops
        && acts().any(|(other, act)| asks_for(act) == Some(Ask::Stop) && is_after(other));
    let is_edited = comment
        .versions
        .iter()
        .any(|(_, other, ask)| other > at && !matches!(ask, Ask::Change(_)));
    let is_right = match (ask, run.state, code_of(run)) {
        (Ask::Change(_), RunState::Done, None) => comment.by_alice || promise == Promise::EveryoneMay,
        (Ask::Change(_), RunState::Refused, Some(FailureCode::PermissionDenied)) => {
            !comment.by_alice && promise != Promise::EveryoneMay
        }
        (Ask::Change(_), RunState::Cancelled | RunState::Refused, Some(FailureCode::PullRequestClosed)) => {
            is_closed
        }
        (Ask::Change(_), RunState::Cancelled, Some(FailureCode::Stopped)) => is_stopped,
        (Ask::Change(_), RunState::Cancelled, Some(FailureCode::RequestWithdrawn)) => is_edited,
        (Ask::Change(_), RunState::Cancelled, Some(FailureCode::CommentDeleted)) => comment.is_deleted,
        (Ask::Stop | Ask::Help, RunState::Answered, None) | (Ask::Unknown, RunState::Refused, None) => true,
        _ => false,
    };
    if is_right {
        None
    } else {
        wrong("ended as nothing explains")
    }
}

/// What a written or edited comment asks for now.
fn asks_for(act: &Act) -> Option<Ask> {
    match act {
        Act::Wrote { ask, .. } | Act::Edited { ask, .. } => Some(*ask),
        _ => None,
    }
}

/// Whether somebody has read a reply between two acts: what was done before it was heard before it.
fn sees_between(acts: &[Act], one: usize, other: usize) -> bool {
    let (first, last) = (one.min(other), one.max(other));
    acts[first..last].iter().any(|act| matches!(act, Act::Saw { .. }))
}

/// A comment whose last version did not come to the end that it should have, or came to one more than once.
fn not_answered(history: &History, told: &Told, promise: Promise) -> Vec<String> {
    let mut wrong = Vec::new();
    let runs: Vec<&Run> = runs_of(history, told.comment).collect();
    let (_, _, last) = told.versions.last().expect("it has a first");
    let mut blocks: Vec<Ask> = told.versions.iter().map(|(_, _, ask)| *ask).collect();
    if promise != Promise::EveryEditAsksAgain {
        blocks.dedup();
    }
    for ask in &blocks {
        let asked = blocks.iter().filter(|other| *other == ask).count();
        let ran = runs.iter().filter(|run| ask_of(run) == Some(*ask)).count();
        if ran > asked {
            wrong.push(format!(
                "comment {}: asked {asked} times for {ask:?}, and there are {ran} runs",
                told.comment
            ));
        }
    }
    let is_disturbed = told.is_deleted
        || history
            .acts
            .iter()
            .any(|act| *act == Act::Closed || asks_for(act) == Some(Ask::Stop));
    let is_plain =
        told.by_alice && !is_disturbed && blocks.iter().all(|ask| ask == last) && *last != Ask::Nothing;
    if is_plain && runs.len() != blocks.len() {
        wrong.push(format!(
            "comment {}: {} runs instead of {}",
            told.comment,
            runs.len(),
            blocks.len()
        ));
    }
    let is_answered =
        told.is_deleted || *last == Ask::Nothing || came_to_something(history, told, *last, &runs);
    if !is_answered {
        wrong.push(format!(
            "comment {} asks for {last:?}, and nothing came of it",
            told.comment
        ));
    }
    wrong
}

/// Whether what a comment asks for in the end was done, or it was told why not.
fn came_to_something(history: &History, told: &Told, last: Ask, runs: &[&Run]) -> bool {
    let is_closed = history.acts.contains(&Act::Closed);
    // Refusals are said once an hour to each person.
    let was_refused = |run: &Run| run.state == RunState::Refused && code_of(run).is_some();
    let is_told_elsewhere = history.runs.iter().any(|run| {
        let by_alice = run.requester.as_ref().is_some_and(|who| who.name == "alice");
        was_refused(run) && by_alice == told.by_alice
    });
    let is_silent = is_told_elsewhere && (is_closed || !told.by_alice);
    let has_run = runs.iter().any(|run| ask_of(run) == Some(last));
    let is_too_late = runs
        .iter()
        .any(|run| run.steps.iter().any(|step| step.contains(TOO_LATE)));
    let gave_up = matches!(last, Ask::Stop | Ask::Help | Ask::Unknown)
        && runs.iter().any(|run| run.state == RunState::Cancelled);
    has_run || is_too_late || gave_up || (matches!(last, Ask::Change(_)) && is_silent)
}

fn not_one_reply_each(history: &History) -> Vec<String> {
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    for comment in &history.bots {
        *shown.entry(run_shown(comment).unwrap_or_default()).or_default() += 1;
    }
    let mut wrong = Vec::new();
    for run in &history.runs {
        let replies = shown.remove(run.id.as_str()).unwrap_or_default();
        if replies != 1 {
            wrong.push(format!("run {} has {replies} status replies", run.id));
        }
        let reply = history
            .bots
            .iter()
            .find(|c| run_shown(c).as_deref() == Some(run.id.as_str()));
        if !run.state.is_terminal() || reply.is_some_and(|reply| !reply.is_final()) {
            wrong.push(format!(
                "run {} has not ended for those who read of it: {}",
                run.id,
                brief(run)
            ));
        }
    }
    wrong.extend(
        shown
            .into_keys()
            .map(|run| format!("a reply of the bot's is about no run of this pull request: {run:?}")),
    );
    wrong
}

fn not_one_commit_each(history: &History) -> Vec<String> {
    let made = of_runs(&history.log);
    let mut wrong: Vec<_> = made
        .iter()
        .filter(|run| !history.runs.iter().any(|known| known.id.as_str() == **run))
        .map(|run| format!("a commit of the bot's is of no run: {run}"))
        .collect();
    for run in &history.runs {
        let commits = made.iter().filter(|made| **made == run.id.as_str()).count();
        let is_right = match run.state {
            RunState::Done => commits == 1,
            // A push that was on its way when the run was ended, which its reply does not deny.
            RunState::Cancelled if run.committed => commits <= 1,
            _ => commits == 0,
        };
        if !is_right {
            wrong.push(format!("run {} has {commits} commits: {}", run.id, brief(run)));
        }
    }
    wrong
}

fn of_runs(log: &[Commit]) -> Vec<&str> {
    log.iter().filter_map(|commit| commit.run.as_deref()).collect()
}

fn two_at_once(runs: &[Run]) -> Vec<String> {
    let mut spans: Vec<_> = runs
        .iter()
        .filter_map(|run| Some((run.started_at?, run.ended_at?, &run.id)))
        .collect();
    spans.sort();
    let pairs = spans.iter().zip(spans.iter().skip(1));
    pairs
        .filter(|((_, ended, _), (started, _, _))| started < ended)
        .map(|((_, ended, one), (started, _, other))| {
            format!("{other} began at {started} while {one} ran until {ended}")
        })
        .collect()
}

/// What somebody has read of a run's end is not made untrue by a later push.
fn after_it_was_told(history: &History) -> Vec<String> {
    let end: BTreeSet<_> = of_runs(&history.log).into_iter().collect();
    let mut wrong = Vec::new();
    for act in &history.acts {
        let Act::Saw { ended, log, .. } = act else {
            continue;
        };
        let then: BTreeSet<_> = of_runs(log).into_iter().collect();
        let changed = ended
            .iter()
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

/// What somebody knew of before they wrote `stop` has ended when the stop is answered.
fn outlived_a_stop(history: &History) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known: Vec<u64> = Vec::new();
    for act in &history.acts {
        match act {
            Act::Saw { comment, .. } => known.push(*comment),
            Act::Wrote {
                comment,
                ask: Ask::Stop,
                ..
            } => {
                let answers = runs_of(history, *comment).filter(|run| ask_of(run) == Some(Ask::Stop));
                for answer in answers {
                    let runs = known.iter().flat_map(|comment| runs_of(history, *comment));
                    let before =
                        runs.filter(|run| run.queued_at < answer.queued_at && run.comment_version == 0);
                    wrong.extend(
                        before.filter(|run| run.ended_at > answer.ended_at).map(|run| {
                            format!("{} went on after {} had stopped everything", run.id, answer.id)
                        }),
                    );
                }
            }
            _ => {}
        }
    }
    wrong
}

/// A run in one line.
pub(super) fn brief(run: &Run) -> String {
    format!(
        "v{} {:?} {} {:?} attempt {} committed {} queued {} started {:?} ended {:?} steps {:?}",
        run.comment_version,
        ask_of(run),
        run.state,
        code_of(run),
        run.attempt,
        run.committed,
        run.queued_at,
        run.started_at,
        run.ended_at,
        run.steps
    )
}
