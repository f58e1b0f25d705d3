//! From a patched work tree to a commit, or to the reason why there is none.

use agent::{Ended, Report};
use git::{CommitRequest, TreeLimits};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use pipeline::run::{Outcome, RunState};

use crate::attempt::{Attempt, Ending};
use crate::checks::{self, Bench};
use crate::git_door::{CheckedOut, GitDoor};
use crate::handler::Resolver;
use crate::message::commit_message;
use crate::patching::Patched;
use crate::push::push;
use crate::verdict::{Verdict, judge};
use crate::work_tree::WorkTree;

/// Said where the patch is larger than an artifact may be.
const NOT_KEPT: &str = "The change is too large to be kept as a patch beside the run.";

/// A commit made of the agent's work, on top of what it started from.
pub(crate) struct Work {
    pub(crate) base: CommitId,
    pub(crate) commit: CommitId,
    pub(crate) request: CommitRequest,
    pub(crate) outcome: Outcome,
}

/// Judges the tree, commits, keeps the patch, pushes.
pub(crate) async fn deliver(
    resolver: &Resolver,
    door: &GitDoor,
    attempt: &Attempt,
    (tree, start): (&WorkTree, &CheckedOut),
    patched: Patched,
) -> Result<Ending, Failure> {
    let patience = &attempt.patience;
    if !patience.with("look at the record", || attempt.is_held()).await? {
        return Ok(Ending::NotOurs);
    }
    let (report, cut_short) = match patched {
        Patched::Reported(report) => {
            let cut_short = cut_short(&report);
            (report, cut_short)
        }
        Patched::Broke(error) => return broke(error),
    };
    let mut outcome = Outcome {
        summary: Some(report.summary.clone()).filter(|summary| !summary.trim().is_empty()),
        not_done: report.not_done.clone(),
        questions: report.questions.clone(),
        notes: start.notes(),
        ..Outcome::default()
    };
    let (changes, left_out) = patience
        .with("read the changes", || {
            read_changes(door, tree, &start.instructions.overlay.commit)
        })
        .await?;
    let (changes, overlaid) = start.instructions.without_overlaid(changes);
    outcome.notes.extend(overlaid);
    match judge(changes, &left_out) {
        Verdict::Nothing { notes } => {
            outcome.notes.extend(notes);
            Ok(nothing_to_commit(outcome, cut_short))
        }
        Verdict::TooLarge { detail } => {
            outcome.failure = Outcome::of_failure(FailureCode::ChangeTooLarge, Some(detail)).failure;
            Ok(Ending::new(RunState::Failed, outcome))
        }
        Verdict::Work { changes, notes } => {
            outcome.notes.extend(notes);
            let mut work = patience
                .with("commit", || {
                    commit(door, attempt, tree, &start.base, &changes, &outcome)
                })
                .await?;
            if !patience
                .with("keep the patch", || keep_patch(door, attempt, &work))
                .await?
            {
                work.outcome.notes.push(NOT_KEPT.to_owned());
            }
            match cut_short {
                // Half-finished work is kept for people to look at, and never pushed.
                Some((state, code)) => Ok(kept(work.outcome, state, code, None)),
                None => {
                    let bench = Bench::new(resolver, door, attempt);
                    let checks = &start.configuration.checks;
                    let commits = (&work.base, &work.commit);
                    work.outcome.checks = checks::measure(&bench, checks, commits).await?;
                    patience.with("push", || push(door, attempt, &work)).await
                }
            }
        }
    }
}

/// How the run ends when the agent did not come to an end by itself.
fn cut_short(report: &Report) -> Option<(RunState, FailureCode)> {
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

/// The agent could not go on. It has retried what was worth it: people learn the class, the log the cause. Only this
/// machine's own failures are worth another attempt.
fn broke(error: agent::Error) -> Result<Ending, Failure> {
    match Failure::from(error) {
        Failure::Abandon { report, cause } => {
            tracing::warn!(code = %report.code, cause = format!("{cause:#}"), "the agent broke off");
            Ok(Ending::failed(report.code, report.detail))
        }
        failure => Err(failure),
    }
}

fn nothing_to_commit(mut outcome: Outcome, cut_short: Option<(RunState, FailureCode)>) -> Ending {
    if let Some((state, code)) = cut_short {
        outcome.failure = Outcome::of_failure(code, None).failure;
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

async fn read_changes(
    door: &GitDoor,
    tree: &WorkTree,
    base: &CommitId,
) -> Result<(Vec<git::Change>, Vec<String>), Failure> {
    let (directory, base) = (tree.path().to_owned(), base.clone());
    door.with_mirror(move |mirror, _, _, _| {
        let changes = mirror.changes(&base, &directory, &TreeLimits::default())?;
        Ok((changes.changes, changes.left_out))
    })
    .await
}

async fn commit(
    door: &GitDoor,
    attempt: &Attempt,
    tree: &WorkTree,
    base: &CommitId,
    changes: &[git::Change],
    outcome: &Outcome,
) -> Result<Work, Failure> {
    let identity = door.identity().await?;
    let request = CommitRequest {
        parent: base.clone(),
        directory: tree.path().to_owned(),
        changes: changes.to_vec(),
        author: identity.clone(),
        committer: identity,
        message: commit_message(&attempt.run, outcome.summary.as_deref().unwrap_or_default()),
        time: jiff::Timestamp::now(),
    };
    let wanted = request.clone();
    let commit = door
        .with_mirror(move |mirror, _, _, _| Ok(mirror.commit(&wanted)?))
        .await?;
    Ok(Work {
        base: base.clone(),
        commit,
        request,
        outcome: outcome.clone(),
    })
}

/// Keeps the patch before anything is pushed, so that no ending loses the work. `false` when it is too large for that.
async fn keep_patch(door: &GitDoor, attempt: &Attempt, work: &Work) -> Result<bool, Failure> {
    let (base, commit) = (work.base.clone(), work.commit.clone());
    let patch = door
        .with_mirror(move |mirror, _, _, _| Ok(mirror.patch(&base, &commit)?))
        .await?;
    attempt.keep_patch(&patch.text).await
}
