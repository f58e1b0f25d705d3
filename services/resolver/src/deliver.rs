//! From a patched work tree to a commit, or to the reason why there is none.

use agent::{Ended, Report};
use git::CommitRequest;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use pipeline::run::{Outcome, RunState};
use sandbox::How;

use crate::attempt::{Attempt, Ending};
use crate::checks::{self, Bench};
use crate::course::Delivery;
use crate::git_door::{CheckedOut, GitDoor};
use crate::hand_back::{self, HandedBack};
use crate::handler::Resolver;
use crate::message::commit_message;
use crate::patching::Patched;
use crate::policy::Policy;
use crate::push::push;
use crate::secrets::{self, Finding, Known};
use crate::verdict::{Verdict, judge};
use crate::work_tree::WorkTree;

/// Said where the patch is larger than an artifact may be.
const NOT_KEPT: &str = "The change is too large to be kept as a patch beside the run.";
/// Said where the patch would spread what must not be spread.
const NOT_KEPT_SECRET: &str = "The change was not kept as a patch either, since the secret would be in it.";

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
    (patched, delivery): (Patched, Delivery),
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
    if cut_short.is_none() {
        outcome.notes.extend(broke_down(&report));
    }
    let handed_back = match hand_back(resolver, door, attempt, tree, start).await {
        Ok(handed_back) => handed_back,
        Err(failure) => return unreadable(failure, cut_short),
    };
    let (changes, overlaid) = start.instructions.without_overlaid(handed_back.changes);
    outcome.notes.extend(overlaid);
    let (verdict, notes) = judge(
        changes,
        &handed_back.left_out,
        &Policy::new(&resolver.settings.policy, &resolver.workshop.leaves),
    );
    outcome.notes.extend(notes);
    let known = patience
        .with("look up what is secret", || async { resolver.known(door) })
        .await?;
    let mut outcome = redacted(outcome, &known);
    match verdict {
        Verdict::Nothing => Ok(nothing_to_commit(outcome, cut_short, &report)),
        Verdict::TooLarge { detail } => {
            outcome.failure = Outcome::of_failure(FailureCode::ChangeTooLarge, Some(detail)).failure;
            Ok(Ending::new(RunState::Failed, outcome))
        }
        Verdict::Work { changes } => {
            let make = || commit(door, attempt, tree, &start.base, &changes, &outcome);
            let mut work = patience.with("commit", make).await?;
            if let Some(ending) = keep(door, attempt, &mut work, &known).await? {
                return Ok(ending);
            }
            if let Some((state, code)) = cut_short {
                // Half-finished work is kept for people to look at, and never pushed.
                return Ok(kept(work.outcome, state, code, None));
            }
            match delivery {
                Delivery::Push => {}
                // The others are not built; admission starts no run for these.
                Delivery::Words | Delivery::Patch | Delivery::Suggest | Delivery::NewBranch { .. } => {
                    return Ok(kept(
                        work.outcome,
                        RunState::NoChange,
                        FailureCode::Internal,
                        None,
                    ));
                }
            }
            let bench = Bench::new(resolver, door, attempt);
            let commits = (&work.base, &work.commit);
            work.outcome.checks =
                checks::measure(&bench, &start.configuration.checks, commits, &known).await?;
            patience.with("push", || push(door, attempt, &work)).await
        }
    }
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

/// Keeps the patch before anything is pushed, so that no ending loses the work. `Some` when there is a secret in it:
/// then it is neither kept nor pushed.
async fn keep(
    door: &GitDoor,
    attempt: &Attempt,
    work: &mut Work,
    known: &Known,
) -> Result<Option<Ending>, Failure> {
    let patience = &attempt.patience;
    let search = || searched_patch(door, work, known);
    let (patch, secrets) = patience.with("look for secrets", search).await?;
    if !secrets.is_empty() {
        return Ok(Some(with_secret(work.outcome.clone(), &secrets)));
    }
    if !patience
        .with("keep the patch", || attempt.keep_patch(&patch))
        .await?
    {
        work.outcome.notes.push(NOT_KEPT.to_owned());
    }
    Ok(None)
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

/// An agent that comes to no change has at least asked its model; one that has not did nothing at all.
fn nothing_to_commit(
    mut outcome: Outcome,
    cut_short: Option<(RunState, FailureCode)>,
    report: &Report,
) -> Ending {
    if report.model_errors > 0 {
        outcome.notes.push(format!(
            "Calls of the model that failed: {}.",
            report.model_errors
        ));
    }
    let idle = (report.usage.turns == 0).then_some((RunState::Failed, FailureCode::AgentIdle));
    if let Some((state, code)) = cut_short.or(idle) {
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

/// Takes the tree back from the agent.
async fn hand_back(
    resolver: &Resolver,
    door: &GitDoor,
    attempt: &Attempt,
    tree: &WorkTree,
    start: &CheckedOut,
) -> Result<HandedBack, Failure> {
    let swept = hand_back::sweep(tree).await?;
    let seen = &start.instructions.overlay.commit;
    let read = || hand_back::read(resolver, door, tree, &swept, seen);
    attempt.patience.with("read the changes", read).await
}

/// What the agent left cannot be judged. It would be no different the next time it is read. Where a limit has ended the
/// agent, that is what people have to know: a full disk also makes a change that is too large.
fn unreadable(failure: Failure, cut_short: Option<(RunState, FailureCode)>) -> Result<Ending, Failure> {
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
        merges: None,
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

/// The patch and the secrets in it.
async fn searched_patch(
    door: &GitDoor,
    work: &Work,
    known: &Known,
) -> Result<(Vec<u8>, Vec<Finding>), Failure> {
    let (base, commit, known) = (work.base.clone(), work.commit.clone(), known.clone());
    door.with_mirror(move |mirror, _, _, _| {
        let patch = mirror.patch(&base, &commit)?;
        let found = secrets::in_patch(&patch, &known);
        Ok((patch.text, found))
    })
    .await
}

/// The run ends without a push and without a patch, which would have the secret in it.
fn with_secret(mut outcome: Outcome, found: &[Finding]) -> Ending {
    let named: Vec<_> = found.iter().map(ToString::to_string).collect();
    outcome.notes.push(NOT_KEPT_SECRET.to_owned());
    kept(
        outcome,
        RunState::Failed,
        FailureCode::SecretInChange,
        Some(named.join("; ")),
    )
}

/// The agent's words without tokens it may have seen or made up.
fn redacted(mut outcome: Outcome, known: &Known) -> Outcome {
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

    use agent::Usage;

    use super::*;

    fn report(turns: u32, model_errors: u32) -> Report {
        Report {
            summary: "Nothing to do.".to_owned(),
            not_done: Vec::new(),
            questions: Vec::new(),
            usage: Usage {
                turns,
                ..Usage::default()
            },
            ended: Ended::Finished,
            model_errors,
            transcript: Vec::new(),
            cell: None,
        }
    }

    fn ended(cut_short: Option<(RunState, FailureCode)>, report: &Report) -> (RunState, Outcome) {
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
    fn an_agent_that_broke_down_is_told_of() {
        let note = |how| {
            broke_down(&Report {
                cell: Some(sandbox::CellEnd {
                    how,
                    wall: Duration::ZERO,
                    memory_peak_bytes: 0,
                    left_behind: 0,
                    over_for: None,
                }),
                ..report(1, 0)
            })
        };
        assert!(note(How::Exited(3)).unwrap().contains("exit code 3"));
        assert!(note(How::Signalled(11)).unwrap().contains("signal 11"));
        assert_eq!(note(How::Exited(0)), None);
        // What is asked to end when it has said that it is done has not broken down.
        assert_eq!(note(How::Cancelled), None);
        assert_eq!(broke_down(&report(1, 0)), None);
    }

    #[test]
    fn calls_that_failed_are_told_where_nothing_was_changed() {
        let (state, outcome) = ended(None, &report(2, 3));
        assert_eq!(state, RunState::NoChange);
        assert_eq!(outcome.notes, ["Calls of the model that failed: 3."]);
    }
}
