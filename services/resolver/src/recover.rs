//! Whether an earlier attempt has done it already: pushed, and died before it could say so.

use git::{Identity, Mirror};
use pipeline::failure::Failure;
use pipeline::ids::{CommentId, CommitId};
use pipeline::run::{Outcome, Pushed, Run, RunState, ThreadCommit};

use crate::attempt::{Attempt, Ending};
use crate::git_door::{DEPTH_SEARCHED, GitDoor};
use crate::message::THREAD_TRAILER;
use crate::new_branch;

/// Searches the branch for a commit of this run's. Found means done: the outcome is put together again from git. Goes by
/// what the record knows and not by the attempt's number: one attempt looks twice where the repository gets a new name.
pub(crate) async fn landed(door: &GitDoor, attempt: &Attempt) -> Result<Option<Ending>, Failure> {
    if !attempt.record().await?.is_some_and(|run| run.committed) {
        return Ok(None);
    }
    if let Some(ending) = new_branch::landed(door, attempt).await? {
        return Ok(Some(ending));
    }
    match door.fetch().await? {
        Some(head) => landed_at(door, attempt, head).await,
        None => Ok(None),
    }
}

/// The same at the head that was fetched to start from: a push may have been on its way when it was looked for first, and
/// what an attempt starts from never has work of its run.
pub(crate) async fn landed_at(
    door: &GitDoor,
    attempt: &Attempt,
    head: CommitId,
) -> Result<Option<Ending>, Failure> {
    let Some(found) = find(door, attempt, head).await? else {
        return Ok(None);
    };
    tracing::info!(run.id = %attempt.run.id, commit = %found.pushed.commit, "it had been pushed already");
    let mut outcome = Outcome::default();
    found.tell(&mut outcome);
    Ok(Some(Ending::new(RunState::Done, outcome)))
}

/// What a run was found to have pushed.
pub(crate) struct Found {
    pushed: Pushed,
    /// Threads without a commit of it, whose change the branch had already.
    contained: Vec<CommentId>,
}

impl Found {
    /// Makes it the outcome's.
    pub(crate) fn tell(self, outcome: &mut Outcome) {
        outcome.notes.extend(told_contained(&self.contained));
        outcome.pushed = Some(self.pushed);
    }
}

/// Facts about threads whose change the branch had already.
pub(crate) fn told_contained(threads: &[CommentId]) -> impl Iterator<Item = String> {
    let told =
        |thread| format!("The branch has the change for comment {thread} already, so it got no commit");
    threads.iter().map(told)
}

/// The run's commits on the branch below `head`, with their statistics; only what was made here, which the record says.
pub(crate) async fn find(
    door: &GitDoor,
    attempt: &Attempt,
    head: CommitId,
) -> Result<Option<Found>, Failure> {
    let Some(record) = attempt.record().await?.filter(|run| run.committed) else {
        return Ok(None);
    };
    let mut contained = record.contained.clone();
    let branch = door.branch().to_owned();
    let bot = door.identity().await?;
    let pushed = door
        .with_mirror(move |mirror, _, _, _| {
            let landed = made_by(mirror, &record, &head, &bot)?;
            landed
                .map(|landed| pushed(mirror, &landed, branch))
                .transpose()
                .map_err(Failure::from)
        })
        .await?;
    Ok(pushed.map(|pushed| {
        contained.retain(|thread| pushed.of_thread(*thread).is_none());
        Found { pushed, contained }
    }))
}

/// What a run has made of a branch.
pub(crate) struct Landed {
    /// What its work started from, or was put onto.
    base: CommitId,
    /// Its commits on top of that, the newest first.
    commits: Vec<CommitId>,
}

/// The newest commit at or below `head` that the run has made, and those of it right below.
pub(crate) fn made_by(
    mirror: &dyn Mirror,
    run: &Run,
    head: &CommitId,
    bot: &Identity,
) -> Result<Option<Landed>, git::Error> {
    let mut marked = mirror.commits_of_run(head, &run.id, bot, DEPTH_SEARCHED as usize)?;
    marked.retain(|commit| run.may_have_made(commit));
    let Some(newest) = marked.first() else {
        return Ok(None);
    };
    let mut base = mirror.first_parent(newest)?;
    let mut commits = vec![newest.clone()];
    while marked.contains(&base) {
        let below = mirror.first_parent(&base)?;
        commits.push(std::mem::replace(&mut base, below));
    }
    Ok(Some(Landed { base, commits }))
}

/// The same as a record tells it, as what was pushed to `branch`.
pub(crate) fn pushed(mirror: &dyn Mirror, landed: &Landed, branch: String) -> Result<Pushed, git::Error> {
    let commit = landed.commits.first().unwrap_or(&landed.base).clone();
    let patch = mirror.patch(&landed.base, &commit)?;
    let mut threads = Vec::new();
    for commit in landed.commits.iter().rev() {
        let named = mirror.trailer(commit, THREAD_TRAILER)?;
        if let Some(thread) = named.and_then(|number| number.parse().ok()) {
            threads.push(ThreadCommit {
                thread: CommentId(thread),
                commit: commit.clone(),
            });
        }
    }
    Ok(Pushed {
        commit,
        branch,
        files: patch.files,
        added: patch.added,
        removed: patch.removed,
        threads,
    })
}
