//! Where a pull request's source is reached: in its own repository; in the target repository, when it is in a fork that
//! the bot may not write to; and under another name, when the repository was renamed since the job was made.

use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::job::Job;
use pipeline::run::{Outcome, RunState};

use crate::attempt::Ending;
use crate::deliver::kept;
use crate::git_door::GitDoor;
use crate::handler::Resolver;
use crate::instructions::quoted;

/// What a push takes.
const WRITE: &str = "REPO_WRITE";

/// The door to the source. A fork that the bot may not write to is read by what the target repository has of it, and
/// what is made goes to a branch there; whether the bot may is asked of Bitbucket before anything is started.
pub(crate) async fn door(resolver: &Resolver, job: &Job) -> Result<GitDoor, Failure> {
    let door = resolver.door(job)?;
    let source = &job.from_ref.repository;
    if source.id == job.to_ref.repository.id || door.client()?.bot_may(source, WRITE).await? {
        return Ok(door);
    }
    tracing::info!(run.id = %job.run, "the bot may not write to the fork: the target repository is used");
    door.through_target(job)
}

/// The job as it would be made now, where the source could not be found and the pull request says that it, or its
/// target, is elsewhere by now.
pub(crate) async fn renamed(
    resolver: &Resolver,
    job: &Job,
    failure: &Failure,
) -> Result<Option<Job>, Failure> {
    let Failure::Abandon { report, .. } = failure else {
        return Ok(None);
    };
    // Not there, or redirected to where it is.
    if !matches!(
        report.code,
        FailureCode::BitbucketNotFound | FailureCode::GitUnreachable
    ) {
        return Ok(None);
    }
    let client = resolver.door(job)?.client()?;
    let now = client.pull_request(&job.repository, job.pull_request).await?;
    let is_same =
        now.from_ref.repository == job.from_ref.repository && now.to_ref.repository == job.to_ref.repository;
    let is_known = now.from_ref.repository.id == job.from_ref.repository.id
        && now.to_ref.repository.id == job.to_ref.repository.id;
    if is_same || !is_known {
        return Ok(None);
    }
    tracing::info!(run.id = %job.run, "the repository was renamed since the job was made");
    Ok(Some(Job {
        repository: now.to_ref.repository.clone(),
        from_ref: now.from_ref,
        to_ref: now.to_ref,
        ..job.clone()
    }))
}

/// How a run ends that can do nothing but push to a source branch that the bot may not push to.
pub(crate) fn closed(job: &Job) -> Ending {
    let source = &job.from_ref;
    let detail = format!(
        "{} is in the fork `{}/{}`",
        quoted(&source.display_id),
        source.repository.project,
        source.repository.slug
    );
    let (state, code) = (RunState::Failed, FailureCode::PushForbidden);
    kept(Outcome::default(), state, code, Some(detail))
}
