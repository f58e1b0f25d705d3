//! A branch made for a run's work, with a pull request onto the source branch: what `--new-pr` and `--branch` ask for.

use git::{Depth, PushError};
use pipeline::effect::{Effect, What};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::job::Job;
use pipeline::run::{Outcome, Run, RunState};

use crate::attempt::{Attempt, Ending};
use crate::commits::Work;
use crate::course::{self, Delivery};
use crate::deliver::kept;
use crate::git_door::{DEPTH_SEARCHED, GitDoor};
use crate::instructions::quoted;
use crate::patience::pause;
use crate::push;
use crate::recover::{self, Landed};

/// Pushes tried while nobody can tell whether one landed.
const PUSHES_MAX: u32 = 3;

/// Makes the branch with the work on it, once; the pull request is planned before, for `services/reply` to open.
pub(crate) async fn deliver(
    door: &GitDoor,
    attempt: &Attempt,
    job: &Job,
    (work, name): (&Work, Option<&str>),
) -> Result<Ending, Failure> {
    if let Some(ending) = push::closed_meanwhile(door, attempt, work).await? {
        return Ok(ending);
    }
    let branch = full_name(&attempt.run, name);
    let effect = pull_request((job, door.reaches_source()), &attempt.run, work, &branch);
    attempt.plan_also(&[effect]).await?;
    let mut in_the_way = FailureCode::GitFailed;
    for pushes in 1..=PUSHES_MAX {
        if !attempt.committed(&work.commits.ids(), &[]).await? {
            return Ok(Ending::NotOurs);
        }
        match head_of(door, attempt, &branch).await? {
            There::Nothing => {}
            There::Ours(landed) => return done(door, work.outcome.clone(), &branch, landed).await,
            There::Foreign => {
                let (outcome, code) = (work.outcome.clone(), FailureCode::BranchExists);
                return Ok(kept(outcome, RunState::Failed, code, Some(shown(&branch))));
            }
        }
        // Before each try, the first of which was looked at above.
        if pushes > 1
            && let Some(ending) = push::closed_meanwhile(door, attempt, work).await?
        {
            return Ok(ending);
        }
        let pushed = create(door, work, &branch).await?;
        telemetry::metrics::pushes(push::result_label(&pushed)).inc();
        let (code, detail) = match pushed {
            // What the server has now is what counts: the next look tells.
            Ok(()) | Err(PushError::Ambiguous { .. } | PushError::Moved { .. }) => {
                in_the_way = FailureCode::GitFailed;
                if !matches!(pushed, Ok(())) {
                    tokio::time::sleep(pause(pushes)).await;
                }
                continue;
            }
            Err(PushError::Rejected { messages }) => (FailureCode::PushRejected, Some(messages)),
            Err(PushError::Forbidden) => (FailureCode::PushForbidden, None),
            Err(error) => return Err(error.into()),
        };
        return Ok(kept(work.outcome.clone(), RunState::Failed, code, detail));
    }
    if let There::Ours(landed) = head_of(door, attempt, &branch).await? {
        return done(door, work.outcome.clone(), &branch, landed).await;
    }
    Ok(kept(work.outcome.clone(), RunState::Failed, in_the_way, None))
}

/// How a run ends whose earlier attempt made its branch and died before it could say so: with the pull request that was
/// planned before the push.
pub(crate) async fn landed(door: &GitDoor, attempt: &Attempt) -> Result<Option<Ending>, Failure> {
    let name = match course::delivery(&attempt.run.command) {
        Delivery::NewBranch { name } => name,
        Delivery::Push if !door.reaches_source() => None,
        _ => return Ok(None),
    };
    let branch = full_name(&attempt.run, name.as_deref());
    match head_of(door, attempt, &branch).await? {
        There::Ours(landed) => {
            tracing::info!(run.id = %attempt.run.id, branch, "an earlier attempt had made the branch");
            Ok(Some(done(door, Outcome::default(), &branch, landed).await?))
        }
        There::Nothing | There::Foreign => Ok(None),
    }
}

/// Why a run may not start whose branch was named by a person: somebody has one of this name. Looked up before anything is
/// worked on, and once more before the push.
pub(crate) async fn is_taken(door: &GitDoor, attempt: &Attempt) -> Result<Option<String>, Failure> {
    let Delivery::NewBranch { name: Some(name) } = course::delivery(&attempt.run.command) else {
        return Ok(None);
    };
    let branch = full_name(&attempt.run, Some(&name));
    let there = head_of(door, attempt, &branch).await?;
    Ok(matches!(there, There::Foreign).then(|| shown(&branch)))
}

/// A branch as people see it.
fn shown(branch: &str) -> String {
    quoted(branch.trim_start_matches("refs/heads/"))
}

/// The branch's full ref name.
fn full_name(run: &Run, name: Option<&str>) -> String {
    format!(
        "refs/heads/{}",
        name.map_or_else(|| default_name(run), ToOwned::to_owned)
    )
}

/// `openhands/7-r-0123456789ab`: nobody else makes a branch of this name.
fn default_name(run: &Run) -> String {
    format!("openhands/{}-{}", run.pull_request, run.id)
}

/// The pull request that brings the work to the source branch.
fn pull_request((job, reaches_source): (&Job, bool), run: &Run, work: &Work, branch: &str) -> Effect {
    let title = match work.commits.len() {
        1 => {
            let message = &work.commits.request().message;
            message.lines().next().unwrap_or_default().to_owned()
        }
        several => format!("Address {several} threads of pull request {}", run.pull_request),
    };
    let said = work.outcome.summary.clone().unwrap_or_default();
    let asked = format!(
        "Asked for in comment {} on pull request {}, run {}.",
        run.comment, run.pull_request, run.id
    );
    Effect::planned(What::PullRequest {
        from: branch.to_owned(),
        in_target: !reaches_source || job.from_ref.repository.id == job.repository.id,
        title,
        description: format!("{said}\n\n{asked}").trim_start().to_owned(),
    })
}

/// What is on the server under the branch's name.
enum There {
    Nothing,
    /// This run's commits.
    Ours(Landed),
    /// Somebody else's.
    Foreign,
}

async fn head_of(door: &GitDoor, attempt: &Attempt, branch: &str) -> Result<There, Failure> {
    let branch = branch.to_owned();
    let record = attempt.record().await?.unwrap_or_else(|| attempt.run.clone());
    let bot = door.identity().await?;
    door.with_remote(move |mirror, remote, _, stop| {
        let head = match mirror.fetch(remote, &branch, Depth::Shallow(DEPTH_SEARCHED), stop) {
            Err(git::Error::BranchGone { .. }) => return Ok(There::Nothing),
            head => head?,
        };
        let ours = recover::made_by(mirror, &record, &head, &bot)?;
        Ok(ours.map_or(There::Foreign, There::Ours))
    })
    .await
}

async fn create(door: &GitDoor, work: &Work, branch: &str) -> Result<Result<(), PushError>, Failure> {
    let (branch, base, tip) = (branch.to_owned(), work.base.clone(), work.commits.tip().clone());
    door.with_remote(move |mirror, remote, _, _| Ok(mirror.create_branch(remote, &branch, &base, &tip)))
        .await
}

/// The branch is there, with the work of this attempt or of an earlier one.
async fn done(door: &GitDoor, mut outcome: Outcome, branch: &str, landed: Landed) -> Result<Ending, Failure> {
    let branch = branch.to_owned();
    let pushed = door
        .with_mirror(move |mirror, _, _, _| Ok(recover::pushed(mirror, &landed, branch)?))
        .await?;
    outcome.pushed = Some(pushed);
    outcome.pushed_aside = true;
    Ok(Ending::new(RunState::Done, outcome))
}
