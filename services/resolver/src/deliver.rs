//! From a patched work tree to a commit, or to the reason why there is none.

use agent::Report;
use git::CommitRequest;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::job::Job;
use pipeline::run::{Outcome, Run, RunState};
use sandbox::Swept;

use crate::attempt::{Attempt, Ending};
use crate::checks::{self, Bench};
use crate::commits::{Commits, Work};
use crate::course::{self, Delivery};
use crate::effects;
use crate::git_door::{CheckedOut, GitDoor};
use crate::hand_back::{self, HandedBack};
use crate::handler::Resolver;
use crate::instructions::quoted;
use crate::keep::keep;
use crate::message::{commit_message, merge_message, signature};
use crate::new_branch;
use crate::patching::Patched;
use crate::policy::{OnlyPaths, Policy};
use crate::push::push;
use crate::secrets::Known;
use crate::terms::Terms;
use crate::told::{self, CutShort};
use crate::update;
use crate::verdict::{Verdict, judge};
use crate::words;
use crate::work_tree::WorkTree;

/// Said where the requester cannot sign.
const NOT_SIGNED_OFF: &str =
    "The commit is not signed off: Bitbucket shows the bot no e-mail address of the person who asked";
/// Paths outside of those of a request that are named; a person needs some, not all.
const OUTSIDE_NAMED_MAX: usize = 10;

/// Judges the tree, commits, keeps the patch, pushes; or what else the delivery asks for.
pub(crate) async fn deliver(
    resolver: &Resolver,
    door: &GitDoor,
    attempt: &Attempt,
    (tree, start): (&WorkTree, &CheckedOut),
    (job, patched, terms): (&Job, Patched, &Terms),
) -> Result<Ending, Failure> {
    let patience = &attempt.patience;
    if !patience.with("look at the record", || attempt.is_held()).await? {
        return Ok(Ending::NotOurs);
    }
    let mut report = match patched {
        Patched::Reported(report) => report,
        Patched::Broke(error) => {
            let report = told::broke(error)?;
            return Ok(Ending::failed(report.code, report.detail));
        }
    };
    let (handed, unread) = effects::take(&attempt.run, &mut report);
    let mut outcome = told::outcome_of(&report, [start.notes(), terms.notes.clone(), unread].concat());
    let known = patience
        .with("look up what is secret", || async { resolver.known(door) })
        .await?;
    if course::delivery(&attempt.run.command) == Delivery::Words {
        let mut outcome = told::redacted(outcome, &known);
        let handed = (handed, &known);
        let in_the_way = effects::note(door, attempt, job, handed, &start.base, &mut outcome).await?;
        if let Some((state, code, detail)) = in_the_way {
            return Ok(kept(outcome, state, code, Some(detail)));
        }
        return words::deliver(attempt, &report, outcome).await;
    }
    let cut_short = told::cut_short(&report);
    let handed_back = match hand_back(resolver, door, attempt, (tree, &mut Swept::default()), start).await {
        Ok(handed_back) => handed_back,
        Err(failure) => return unreadable(failure, cut_short),
    };
    let (verdict, notes) = judged(resolver, start, handed_back);
    outcome.notes.extend(notes);
    let mut outcome = told::redacted(outcome, &known);
    // What is in the way of this is in the way of a push as well, which ends the run with its patch.
    effects::note(door, attempt, job, (handed, &known), &start.base, &mut outcome).await?;
    let changes = match verdict {
        Verdict::Nothing => {
            let ending = nothing_to_commit(outcome, cut_short, &report);
            return Ok(update::unended(start.merging.as_ref(), ending));
        }
        Verdict::TooLarge { detail } => {
            outcome.failure = Outcome::of_failure(FailureCode::ChangeTooLarge, Some(detail)).failure;
            return Ok(Ending::new(RunState::Failed, outcome));
        }
        Verdict::Work { changes } => changes,
    };
    outcome.notes.extend(not_signed_off(&attempt.run, terms));
    let make = || commit(door, attempt, (tree, terms), start, &changes, &outcome);
    let commits = patience.with("commit", make).await?;
    let work = Work {
        base: start.base.clone(),
        commits,
        outcome,
    };
    let held_back = held_back(cut_short, told::detail(&report), outside(&changes, &terms.only));
    finish(
        resolver,
        door,
        attempt,
        (job, terms, start, &known),
        (work, held_back),
    )
    .await
}

/// How a run ends whose work is made and not pushed.
pub(crate) type HeldBack = (RunState, FailureCode, Option<String>);

/// Half-finished work, and work that nobody asked for, is kept for people to look at, and never pushed. `outside`: changes
/// that the request does not let be.
pub(crate) fn held_back(
    cut_short: Option<CutShort>,
    detail: Option<String>,
    outside: Option<String>,
) -> Option<HeldBack> {
    let unwanted = outside.map(|named| (RunState::Failed, FailureCode::OutsidePaths, Some(named)));
    cut_short.map(|(state, code)| (state, code, detail)).or(unwanted)
}

/// Said where the requester is to sign the commits off and cannot.
pub(crate) fn not_signed_off(run: &Run, terms: &Terms) -> Option<String> {
    (terms.sign_off && signature(run).is_none()).then(|| NOT_SIGNED_OFF.to_owned())
}

/// From commits to the way the run ends: keeps the patch, measures, and brings them to where the command asks for it.
pub(crate) async fn finish(
    resolver: &Resolver,
    door: &GitDoor,
    attempt: &Attempt,
    (job, terms, start, known): (&Job, &Terms, &CheckedOut, &Known),
    (mut work, held_back): (Work, Option<HeldBack>),
) -> Result<Ending, Failure> {
    if let Some(ending) = keep(door, attempt, &mut work, known).await? {
        return Ok(ending);
    }
    if let Some((state, code, detail)) = held_back {
        return Ok(kept(work.outcome, state, code, detail));
    }
    if let Some(ending) = update::unresolved(door, start.merging.as_ref(), &work).await? {
        return Ok(ending);
    }
    if !terms.no_test {
        let bench = Bench::new(resolver, door, attempt);
        let commits = (&work.base, work.commits.tip());
        work.outcome.checks = checks::measure(&bench, &start.configuration.checks, commits, known).await?;
    }
    bring(door, attempt, job, work).await
}

/// Brings the commit to where the command asks for it.
async fn bring(door: &GitDoor, attempt: &Attempt, job: &Job, work: Work) -> Result<Ending, Failure> {
    let patience = &attempt.patience;
    match course::delivery(&attempt.run.command) {
        Delivery::Push if !door.reaches_source() => {
            let made = || new_branch::deliver(door, attempt, job, (&work, None));
            patience.with("make the branch", made).await
        }
        Delivery::Push => patience.with("push", || push(door, attempt, &work)).await,
        Delivery::Patch => Ok(as_patch(work.outcome)),
        Delivery::Suggest => as_suggestions(door, attempt, work).await,
        Delivery::NewBranch { name } => {
            let made = || new_branch::deliver(door, attempt, job, (&work, name.as_deref()));
            patience.with("make the branch", made).await
        }
        // Handled before anything was read.
        Delivery::Words => Ok(kept(work.outcome, RunState::Failed, FailureCode::Internal, None)),
    }
}

/// What of the changes is work, and facts for the reply.
pub(crate) fn judged(
    resolver: &Resolver,
    start: &CheckedOut,
    handed_back: HandedBack,
) -> (Verdict, Vec<String>) {
    let (changes, mut notes) = start.instructions.without_overlaid(handed_back.changes);
    let (changes, beside) = update::only_conflicts(start.merging.as_ref(), changes);
    notes.extend(beside);
    let (verdict, more) = judge(
        changes,
        &handed_back.left_out,
        &Policy::new(&resolver.settings.policy, &resolver.workshop.leaves)
            .protecting(&start.configuration.paths.protected),
    );
    notes.extend(more);
    (verdict, notes)
}

/// The work is delivered with the kept patch.
pub(crate) fn as_patch(mut outcome: Outcome) -> Ending {
    outcome.nothing_pushed = true;
    Ending::new(RunState::Answered, outcome)
}

/// The work becomes suggestions on lines of the diff; what cannot be one is in the kept patch.
async fn as_suggestions(door: &GitDoor, attempt: &Attempt, mut work: Work) -> Result<Ending, Failure> {
    let (base, commit) = (work.base.clone(), work.commits.tip().clone());
    let patch = door
        .with_mirror(move |mirror, _, _, _| Ok(mirror.patch(&base, &commit)?))
        .await?;
    effects::note_suggestions(door, attempt, (&patch.text, &work.base), &mut work.outcome).await?;
    Ok(as_patch(work.outcome))
}

/// The changes outside of where a request lets them be, named.
pub(crate) fn outside(changes: &[git::Change], only: &OnlyPaths) -> Option<String> {
    let outside: Vec<_> = changes
        .iter()
        .map(git::Change::path_lossy)
        .filter(|path| only.leave_out(path))
        .collect();
    if outside.is_empty() {
        return None;
    }
    let named: Vec<_> = outside
        .iter()
        .take(OUTSIDE_NAMED_MAX)
        .map(|path| quoted(path))
        .collect();
    let more = match outside.len().saturating_sub(OUTSIDE_NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("{}{more}", named.join(", ")))
}

/// An agent that comes to no change has at least asked its model; one that has not did nothing at all.
pub(crate) fn nothing_to_commit(
    mut outcome: Outcome,
    cut_short: Option<CutShort>,
    report: &Report,
) -> Ending {
    outcome.notes.extend(told::failed_calls(report));
    if let Some((state, code)) = cut_short.or(told::idle(report)) {
        outcome.failure = Outcome::of_failure(code, told::detail(report)).failure;
        return Ending::new(state, outcome);
    }
    let state = if outcome.questions.is_empty() {
        RunState::NoChange
    } else {
        RunState::NeedsInput
    };
    Ending::new(state, outcome)
}

/// The run ends without a push; its patch was kept before.
pub(crate) fn kept(outcome: Outcome, state: RunState, code: FailureCode, detail: Option<String>) -> Ending {
    let outcome = Outcome {
        nothing_pushed: true,
        ..outcome
    };
    unknown(outcome, state, code, detail)
}

/// The run ends, and nobody can tell any more whether a push of it landed.
pub(crate) fn unknown(
    mut outcome: Outcome,
    state: RunState,
    code: FailureCode,
    detail: Option<String>,
) -> Ending {
    outcome.failure = Outcome::of_failure(code, detail).failure;
    Ending::new(state, outcome)
}

/// Takes the tree back from the agent. `swept`: what was swept away when it was taken back before, with what is now.
pub(crate) async fn hand_back(
    resolver: &Resolver,
    door: &GitDoor,
    attempt: &Attempt,
    (tree, swept): (&WorkTree, &mut Swept),
    start: &CheckedOut,
) -> Result<HandedBack, Failure> {
    hand_back::sweep(tree, swept).await?;
    let seen = &start.instructions.overlay.commit;
    let read = || hand_back::read(resolver, door, tree, swept, seen);
    attempt.patience.with("read the changes", read).await
}

/// What the agent left cannot be judged. It would be no different the next time it is read. Where a limit has ended the
/// agent, that is what people have to know: a full disk also makes a change that is too large.
pub(crate) fn unreadable(failure: Failure, cut_short: Option<CutShort>) -> Result<Ending, Failure> {
    if let (Some((state, code)), Failure::Refuse { report } | Failure::Abandon { report, .. }) =
        (cut_short, &failure)
    {
        tracing::warn!(code = %report.code, "the work tree of a run that was cut short is not taken");
        return Ok(Ending::new(
            state,
            Outcome::of_failure(code, report.detail.clone()),
        ));
    }
    match failure {
        Failure::Refuse { report } => Ok(Ending::failed(report.code, report.detail)),
        Failure::Abandon { report, cause } => {
            tracing::warn!(code = %report.code, cause = format!("{cause:#}"), "the work tree is not taken");
            Ok(Ending::failed(report.code, report.detail))
        }
        failure @ Failure::Retry { .. } => Err(failure),
    }
}

async fn commit(
    door: &GitDoor,
    attempt: &Attempt,
    (tree, terms): (&WorkTree, &Terms),
    start: &CheckedOut,
    changes: &[git::Change],
    outcome: &Outcome,
) -> Result<Commits, Failure> {
    let identity = door.identity().await?;
    let base = &start.base;
    let merges = start.merging.as_ref().map(|conflicts| conflicts.merges.clone());
    let message = if merges.is_some() {
        merge_message(&attempt.run, door.names(), terms.sign_off)
    } else {
        let summary = outcome.summary.as_deref().unwrap_or_default();
        commit_message(&attempt.run, summary, terms.sign_off)
    };
    let request = CommitRequest {
        parent: base.clone(),
        directory: tree.path().to_owned(),
        changes: changes.to_vec(),
        author: identity.clone(),
        committer: identity,
        message,
        time: jiff::Timestamp::now(),
        merges,
    };
    let wanted = request.clone();
    let commit = door
        .with_mirror(move |mirror, _, _, _| Ok(mirror.commit(&wanted)?))
        .await?;
    Ok(Commits::one(commit, request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::report;

    fn ended(cut_short: Option<CutShort>, report: &Report) -> (RunState, Outcome) {
        match nothing_to_commit(Outcome::default(), cut_short, report) {
            Ending::Ends { state, outcome } => (state, *outcome),
            Ending::NotOurs => panic!("it is ours"),
        }
    }

    #[test]
    fn an_agent_that_asked_nothing_found_nothing_out() {
        let code = |outcome: &Outcome| outcome.failure.as_ref().map(|failure| failure.code);
        let (state, outcome) = ended(None, &report(0, 0));
        assert_eq!(
            (state, code(&outcome)),
            (RunState::Failed, Some(FailureCode::AgentIdle))
        );
        let (state, outcome) = ended(None, &report(1, 0));
        assert_eq!((state, code(&outcome)), (RunState::NoChange, None));
        assert!(outcome.notes.is_empty());
        // A limit goes before it: there was no time to ask.
        let limit = Some((RunState::Expired, FailureCode::TimeLimit));
        let (state, outcome) = ended(limit, &report(0, 0));
        assert_eq!(
            (state, code(&outcome)),
            (RunState::Expired, Some(FailureCode::TimeLimit))
        );
    }

    #[test]
    fn calls_that_failed_are_told_where_nothing_was_changed() {
        let (state, outcome) = ended(None, &report(2, 3));
        assert_eq!(state, RunState::NoChange);
        assert_eq!(outcome.notes, ["Calls of the model that failed: 3."]);
    }
}
