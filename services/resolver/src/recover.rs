//! Whether an earlier attempt has done it already: pushed, and died before it could say so.

use git::{Identity, Mirror};
use pipeline::failure::Failure;
use pipeline::ids::CommitId;
use pipeline::run::{Outcome, Pushed, Run, RunState};

use crate::attempt::{Attempt, Ending};
use crate::git_door::{DEPTH_SEARCHED, GitDoor};
use crate::new_branch;

/// Searches the branch for a commit of this run's. Found means done: the outcome is put together again from git.
pub(crate) async fn landed(door: &GitDoor, attempt: &Attempt) -> Result<Option<Ending>, Failure> {
    if let Some(ending) = new_branch::landed(door, attempt).await? {
        return Ok(Some(ending));
    }
    let Some(head) = door.fetch().await? else {
        return Ok(None);
    };
    let Some(pushed) = find(door, attempt, head).await? else {
        return Ok(None);
    };
    tracing::info!(run.id = %attempt.run.id, commit = %pushed.commit, "an earlier attempt had pushed");
    Ok(Some(Ending::new(
        RunState::Done,
        Outcome {
            pushed: Some(pushed),
            ..Outcome::default()
        },
    )))
}

/// The run's commit on the branch below `head`, with its statistics; only one that was made here, which the record says.
pub(crate) async fn find(
    door: &GitDoor,
    attempt: &Attempt,
    head: CommitId,
) -> Result<Option<Pushed>, Failure> {
    let Some(record) = attempt.record().await? else {
        return Ok(None);
    };
    let branch = door.branch().to_owned();
    let bot = door.identity().await?;
    door.with_mirror(move |mirror, _, _, _| {
        let Some(commit) = made_by(mirror, &record, &head, &bot)? else {
            return Ok(None);
        };
        let parent = mirror.first_parent(&commit)?;
        let patch = mirror.patch(&parent, &commit)?;
        Ok(Some(Pushed {
            commit,
            branch,
            files: patch.files,
            added: patch.added,
            removed: patch.removed,
        }))
    })
    .await
}

/// The newest commit at or below `head` that the run has made.
pub(crate) fn made_by(
    mirror: &dyn Mirror,
    run: &Run,
    head: &CommitId,
    bot: &Identity,
) -> Result<Option<CommitId>, git::Error> {
    let marked = mirror.commits_of_run(head, &run.id, bot, DEPTH_SEARCHED as usize)?;
    Ok(marked.into_iter().find(|commit| run.may_have_made(commit)))
}
