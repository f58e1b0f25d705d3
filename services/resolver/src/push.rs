//! From commits in the mirror to commits on the branch that were read back.

use git::{Merged, PushError};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, CommitId};
use pipeline::run::{Outcome, Pushed, RunState};

use crate::attempt::{Attempt, Ending};
use crate::commits::{Commits, Made, Work};
use crate::deliver::{kept, unknown};
use crate::git_door::GitDoor;
use crate::patience::pause;
use crate::{moved, recover, still_may};

/// Pushes tried while the branch keeps moving.
const PUSHES_MAX: u32 = 5;

/// Pushes as a fast-forward; merges onto the new head and tries again while the branch moves.
pub(crate) async fn push(door: &GitDoor, attempt: &Attempt, work: &Work) -> Result<Ending, Failure> {
    let (mut head, mut commits) = (work.base.clone(), work.commits.clone());
    let mut outcome = work.outcome.clone();
    let mut in_the_way = FailureCode::BranchBusy;
    let (mut last_move, mut contained) = (None, Vec::new());
    for pushes in 1..=PUSHES_MAX {
        // Before each try: the branch may keep moving for a while.
        if let Some(ending) = closed_meanwhile(door, attempt, work).await? {
            return Ok(ending);
        }
        if !attempt.committed(&commits.ids(), &contained).await? {
            return Ok(Ending::NotOurs);
        }
        let pushed = push_once(door, &head, commits.tip()).await?;
        telemetry::metrics::pushes(result_label(&pushed)).inc();
        match pushed {
            Ok(()) => return read_back(door, attempt, &head, &commits, outcome).await,
            Err(PushError::Rejected { messages }) => {
                return Ok(kept(
                    outcome,
                    RunState::Failed,
                    FailureCode::PushRejected,
                    Some(messages),
                ));
            }
            Err(PushError::Forbidden) => {
                return Ok(kept(outcome, RunState::Failed, FailureCode::PushForbidden, None));
            }
            Err(PushError::Moved { .. } | PushError::Ambiguous { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match onto_new_head(door, attempt, work).await? {
            Moved::Ends(ending) => return Ok(ending),
            Moved::Onto { new_head, .. } if new_head == head => {
                tracing::warn!(run.id = %attempt.run.id, pushes, "the push did not land, and the branch is where it was");
                in_the_way = FailureCode::GitFailed;
            }
            Moved::Onto {
                new_head,
                commits: moved,
                contained: had,
            } => {
                in_the_way = FailureCode::BranchBusy;
                tracing::info!(run.id = %attempt.run.id, pushes, %new_head, "the branch moved");
                outcome = work.outcome.clone();
                let measured = if outcome.checks.is_empty() {
                    ""
                } else {
                    ", after the checks were run"
                };
                let told = moved::told(door, attempt, &work.base, &new_head).await;
                outcome
                    .notes
                    .push(format!("{told}; the change was merged onto it{measured}"));
                last_move = Some(told);
                outcome.notes.extend(recover::told_contained(&had));
                (head, commits, contained) = (new_head, moved, had);
            }
        }
        tokio::time::sleep(pause(pushes)).await;
    }
    let last_move = last_move.filter(|_| in_the_way == FailureCode::BranchBusy);
    Ok(kept(outcome, RunState::Failed, in_the_way, last_move))
}

/// What a branch that moved means for the work.
enum Moved {
    Ends(Ending),
    Onto {
        new_head: CommitId,
        commits: Commits,
        /// Threads whose change the branch has already.
        contained: Vec<CommentId>,
    },
}

/// Looks at the branch again: the push may have landed after all, the branch may be gone, or the work goes on top.
async fn onto_new_head(door: &GitDoor, attempt: &Attempt, work: &Work) -> Result<Moved, Failure> {
    let mut outcome = work.outcome.clone();
    let Some(new_head) = door.fetch().await? else {
        return Ok(Moved::Ends(unknown(
            outcome,
            RunState::Failed,
            FailureCode::SourceBranchGone,
            None,
        )));
    };
    if let Some(found) = recover::find(door, attempt, new_head.clone()).await? {
        found.tell(&mut outcome);
        return Ok(Moved::Ends(Ending::new(RunState::Done, outcome)));
    }
    if door.is_pinned() && new_head != work.base {
        let told = moved::told(door, attempt, &work.base, &new_head).await;
        let there = format!(
            "it is at `{}`, not at `{}`: {told}",
            new_head.short(),
            work.base.short()
        );
        let (state, code) = (RunState::Failed, FailureCode::BranchMoved);
        return Ok(Moved::Ends(kept(outcome, state, code, Some(there))));
    }
    match merge_onto(door, work, &new_head).await? {
        Onto::Commits { commits, contained } => Ok(Moved::Onto {
            new_head,
            commits,
            contained,
        }),
        Onto::Nothing => {
            outcome
                .notes
                .push("The branch has the same change already".to_owned());
            Ok(Moved::Ends(Ending::new(RunState::NoChange, outcome)))
        }
        Onto::Conflict(paths) => {
            let told = moved::told(door, attempt, &work.base, &new_head).await;
            let detail = format!("in {}; {told}", paths.join(", "));
            Ok(Moved::Ends(kept(
                outcome,
                RunState::Failed,
                FailureCode::BranchConflict,
                Some(detail),
            )))
        }
    }
}

/// The pull request may have ended while the agent worked, and its webhook may not have reached us; or who asked may have
/// lost the right to it.
pub(crate) async fn closed_meanwhile(
    door: &GitDoor,
    attempt: &Attempt,
    work: &Work,
) -> Result<Option<Ending>, Failure> {
    let Some((state, code, detail)) = still_may::in_the_way(door, &attempt.run).await? else {
        return Ok(None);
    };
    let mut outcome = work.outcome.clone();
    // A push whose answer was lost may have landed, and been merged, before this try.
    let head = door.fetch().await?;
    let is_known = head.is_some();
    if let Some(head) = head
        && let Some(found) = recover::find(door, attempt, head).await?
    {
        found.tell(&mut outcome);
        return Ok(Some(Ending::new(RunState::Done, outcome)));
    }
    let ends = if is_known { kept } else { unknown };
    Ok(Some(ends(outcome, state, code, Some(detail))))
}

async fn push_once(
    door: &GitDoor,
    head: &CommitId,
    tip: &CommitId,
) -> Result<Result<(), PushError>, Failure> {
    let (head, tip) = (head.clone(), tip.clone());
    door.with_remote(move |mirror, remote, branch, _| Ok(mirror.push(remote, branch, &head, &tip)))
        .await
}

/// How a push ended, as the metric counts it.
pub(crate) fn result_label(pushed: &Result<(), PushError>) -> &'static str {
    match pushed {
        Ok(()) => "pushed",
        Err(PushError::Moved { .. }) => "moved",
        Err(PushError::Rejected { .. }) => "rejected",
        Err(PushError::Forbidden) => "forbidden",
        Err(PushError::Ambiguous { .. }) => "ambiguous",
        Err(PushError::Git(_)) => "failed",
    }
}

/// What came of putting the work onto another head.
enum Onto {
    Commits {
        commits: Commits,
        contained: Vec<CommentId>,
    },
    /// The head has it all already.
    Nothing,
    Conflict(Vec<String>),
}

/// Puts each commit onto the new head, in their order. None is lost: one of which nothing is left is told.
async fn merge_onto(door: &GitDoor, work: &Work, new_head: &CommitId) -> Result<Onto, Failure> {
    let (base, ours, commits) = (work.base.clone(), new_head.clone(), work.commits.clone());
    door.with_mirror(move |mirror, _, _, _| {
        let (mut before, mut onto) = (base, ours);
        let (mut moved, mut contained) = (Vec::new(), Vec::new());
        for made in commits.iter() {
            match mirror.merge_onto(&onto, &before, &made.commit, &made.request)? {
                Merged::Commit(commit) => {
                    onto.clone_from(&commit);
                    moved.push(Made {
                        commit,
                        ..made.clone()
                    });
                }
                Merged::Nothing => contained.extend(made.thread),
                Merged::Conflict(paths) => return Ok(Onto::Conflict(paths)),
            }
            before.clone_from(&made.commit);
        }
        Ok(match Commits::of(moved) {
            Some(commits) => Onto::Commits { commits, contained },
            None => Onto::Nothing,
        })
    })
    .await
}

/// What the server has now is what counts. Someone may have pushed on top of us already: ours is then below the head.
async fn read_back(
    door: &GitDoor,
    attempt: &Attempt,
    head: &CommitId,
    commits: &Commits,
    mut outcome: Outcome,
) -> Result<Ending, Failure> {
    let tip = commits.tip().clone();
    let (old, new, branch) = (head.clone(), tip.clone(), door.branch().to_owned());
    let (seen, patch) = door
        .with_remote(move |mirror, remote, branch, _| {
            Ok((mirror.remote_head(remote, branch)?, mirror.patch(&old, &new)?))
        })
        .await?;
    let pushed = Pushed {
        commit: tip.clone(),
        branch,
        files: patch.files,
        added: patch.added,
        removed: patch.removed,
        threads: commits.threads(),
    };
    if seen.as_ref() != Some(&tip) {
        match door.fetch().await? {
            Some(now) if recover::find(door, attempt, now.clone()).await?.is_some() => {
                outcome.notes.push(format!(
                    "Someone has pushed on top of it already: the head is `{}`",
                    now.short()
                ));
            }
            _ => {
                let cause = anyhow::anyhow!("pushed {tip} but the branch has {seen:?}");
                return Err(Failure::retry(FailureCode::GitFailed, cause));
            }
        }
    }
    outcome.pushed = Some(pushed);
    Ok(Ending::new(RunState::Done, outcome))
}
