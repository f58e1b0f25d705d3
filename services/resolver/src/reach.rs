//! Where a run starts. A pull request's source is reached in its own repository; in the target repository, when it is in a
//! fork that the bot may not write to; and under another name, when the repository was renamed since the job was made. What
//! is asked for after a pull request has ended starts beside it.

use std::path::Path;

use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::job::Job;
use pipeline::mention::Closed;
use pipeline::run::{Outcome, Run, RunState};

use crate::attempt::Ending;
use crate::course::{self, Delivery};
use crate::deliver::kept;
use crate::git_door::{Aside, CheckedOut, GitDoor};
use crate::handler::Resolver;
use crate::instructions::quoted;

/// What a push takes.
const WRITE: &str = "REPO_WRITE";

/// Said where the work cannot go to the source branch.
const ELSEWHERE: &str = "The bot may not push to the fork that the source branch is in: what it makes goes to a branch of the target repository, with a pull request of its own";
/// What the agent is told of the target branch that it works on after a merge.
const AFTER_MERGE: &str = "The pull request was merged. The working directory is its target branch as it is now, which has the change that the diff shows; what you change goes to a new branch.";
/// The same where the change was not merged and its branch is gone.
const WITHOUT_SOURCE: &str = "The pull request is closed and its source branch is gone. The working directory is its target branch as it is now, without the change that the diff shows; what you change goes to a new branch.";

/// Where a run starts, and where it does if nothing is there.
pub(crate) struct Doors {
    pub(crate) first: GitDoor,
    instead: Option<GitDoor>,
}

/// The doors of a run: to the source branch; of one that was asked for after its pull request had ended to what is left of
/// it, which is not pushed to.
pub(crate) async fn doors(resolver: &Resolver, job: &Job, run: &Run) -> Result<Doors, Failure> {
    let Some(how) = run.after_end else {
        let first = door(resolver, job).await?;
        return Ok(Doors { first, instead: None });
    };
    let starts = starts(job, how, course::delivery(&run.command) == Delivery::Words);
    let mut doors = Vec::new();
    for ((branch, shown), aside) in starts {
        doors.push(resolver.door(job)?.beside(job, (&branch, &shown), aside)?);
    }
    let mut doors = doors.into_iter();
    let first = doors.next().ok_or_else(|| {
        let cause = anyhow::anyhow!("a closed pull request without a place to start from");
        Failure::abandon(FailureCode::Internal, None, cause)
    })?;
    Ok(Doors {
        first,
        instead: doors.next(),
    })
}

/// Checks out what is behind the first door, or else behind the other one. `None` where both branches are gone.
pub(crate) async fn check_out(
    doors: Doors,
    directory: &Path,
    attempt: u32,
) -> Result<Option<(GitDoor, CheckedOut)>, Failure> {
    for door in std::iter::once(doors.first).chain(doors.instead) {
        if let Some(start) = door.check_out(directory, attempt).await? {
            return Ok(Some((door, start)));
        }
    }
    Ok(None)
}

/// A branch's full name and the one people see, and what is said of it.
type Start = ((String, String), Aside);

/// What a run on a pull request that has ended starts from, the best first. To look at it, its last commit, which Bitbucket
/// keeps; to change something, the target branch that it was merged into, or the source branch of one that was not.
fn starts(job: &Job, how: Closed, only_looks: bool) -> Vec<Start> {
    let (source, target) = (&job.from_ref, &job.to_ref);
    let kept = (git::pull_request_ref(job.pull_request), source.display_id.clone());
    let target = (target.id.clone(), target.display_id.clone());
    let from = |why: &str, branch: &str| Some(format!("{why}: this starts from {}", quoted(branch)));
    let silent = Aside {
        note: None,
        told: None,
    };
    let without_source = Aside {
        note: from("The source branch is gone", &target.1),
        told: Some(WITHOUT_SOURCE),
    };
    if only_looks {
        return vec![(kept, silent), (target, without_source)];
    }
    if how == Closed::Merged {
        let aside = Aside {
            note: from("The pull request was merged", &target.1),
            told: Some(AFTER_MERGE),
        };
        return vec![(target, aside)];
    }
    let is_fork = source.repository.id != job.repository.id;
    let branch = if is_fork {
        kept
    } else {
        (source.id.clone(), source.display_id.clone())
    };
    let aside = Aside {
        note: from("The pull request was declined", &branch.1),
        told: None,
    };
    vec![(branch, aside), (target, without_source)]
}

/// The door to the source. A fork that the bot may not write to is read by what the target repository has of it, and
/// what is made goes to a branch there; whether the bot may is asked of Bitbucket before anything is started.
async fn door(resolver: &Resolver, job: &Job) -> Result<GitDoor, Failure> {
    let door = resolver.door(job)?;
    let source = &job.from_ref.repository;
    if source.id == job.to_ref.repository.id || door.client()?.bot_may(source, WRITE).await? {
        return Ok(door);
    }
    tracing::info!(run.id = %job.run, "the bot may not write to the fork: the target repository is used");
    let kept = git::pull_request_ref(job.pull_request);
    let aside = Aside {
        note: Some(ELSEWHERE.to_owned()),
        told: None,
    };
    door.beside(job, (&kept, &job.from_ref.display_id), aside)
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

#[cfg(test)]
mod tests {
    use pipeline::event::{GitRef, Repository};
    use pipeline::ids::{CommitId, RepositoryId};
    use pipeline::job::Artifact;
    use pipeline::message::VERSION;

    use super::*;
    use crate::testing::run_asking;

    fn job() -> Job {
        let run = run_asking("x");
        let end = |name: &str, repository: &Repository| GitRef {
            id: format!("refs/heads/{name}"),
            display_id: name.to_owned(),
            latest_commit: CommitId::new("a".repeat(40)).unwrap(),
            repository: repository.clone(),
        };
        Job {
            v: VERSION,
            run: run.id.clone(),
            instance: run.instance.clone(),
            pull_request: run.pull_request,
            lane: run.lane.clone(),
            credential: run.credential.clone(),
            from_ref: end("feature/x", &run.repository),
            to_ref: end("main", &run.repository),
            repository: run.repository,
            near: None,
            title: "x".to_owned(),
            expect_head: None,
            threads: Vec::new(),
            brief: Artifact {
                key: "k".to_owned(),
                bytes: 1,
            },
        }
    }

    fn of(job: &Job, how: Closed, only_looks: bool) -> Vec<(String, Option<String>)> {
        let starts = starts(job, how, only_looks);
        starts
            .into_iter()
            .map(|((branch, _), aside)| (branch, aside.note))
            .collect()
    }

    #[test]
    fn what_is_asked_for_after_the_end_starts_from_what_is_left_of_it() {
        let job = job();
        let (source, target) = (job.from_ref.id.as_str(), job.to_ref.id.as_str());
        let kept = git::pull_request_ref(job.pull_request);
        let branches = |starts: &[(String, Option<String>)]| -> Vec<String> {
            starts.iter().map(|(branch, _)| branch.clone()).collect()
        };
        for how in [Closed::Merged, Closed::Declined] {
            let looks = of(&job, how, true);
            assert_eq!(branches(&looks), [kept.as_str(), target], "{how:?}");
            assert_eq!(looks[0].1, None, "people ask about what they see");
        }
        let merged = of(&job, Closed::Merged, false);
        assert_eq!(branches(&merged), [target]);
        assert!(
            merged[0]
                .1
                .as_ref()
                .unwrap()
                .starts_with("The pull request was merged")
        );
        let declined = of(&job, Closed::Declined, false);
        assert_eq!(branches(&declined), [source, target]);
        assert!(
            declined[1]
                .1
                .as_ref()
                .unwrap()
                .starts_with("The source branch is gone")
        );
    }

    #[test]
    fn of_a_fork_the_target_repository_has_the_last_commit() {
        let mut job = job();
        job.from_ref.repository.id = RepositoryId(job.repository.id.0 + 1);
        let declined = of(&job, Closed::Declined, false);
        assert_eq!(declined[0].0, git::pull_request_ref(job.pull_request));
    }
}
