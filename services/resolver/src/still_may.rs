//! Whether who asked may still have their work brought to the pull request, looked up right before it is: rights may be
//! lost, and a pull request may end, while an agent works.

use bitbucket::{Access, Client, PullRequest};
use config::{REPOSITORY_FILE_BYTES_MAX, REPOSITORY_FILE_PATH, RepositoryFile};
use pipeline::event::{GitRef, Person, Repository};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::job::Job;
use pipeline::run::{Run, RunState};
use pipeline::verbs::Class;

use crate::course::{self, Delivery};
use crate::git_door::GitDoor;

/// How a run ends that may not do any more what it was asked for, with a detail; nothing where it may.
pub(crate) async fn in_the_way(
    door: &GitDoor,
    run: &Run,
) -> Result<Option<(RunState, FailureCode, String)>, Failure> {
    let client = door.client()?;
    let pull_request = client.pull_request(&run.repository, run.pull_request).await?;
    let target = &pull_request.to_ref.repository;
    if target.id != run.repository.id {
        // It was read by name, and names are given again.
        let detail = format!("{}/{} is another repository now", target.project, target.slug);
        return Ok(Some((RunState::Failed, FailureCode::BitbucketNotFound, detail)));
    }
    if !pull_request.open && run.after_end.is_none() {
        let detail = format!("it is {} now", pull_request.state.to_lowercase());
        return Ok(Some((
            RunState::Cancelled,
            FailureCode::PullRequestClosed,
            detail,
        )));
    }
    let pushed_to = pushed_to(door, run, &pull_request);
    let archived = Some(target).filter(|_| pull_request.target_archived);
    if let Some(archived) = archived.or(pushed_to.filter(|_| pull_request.source_archived)) {
        let detail = format!("{}/{} was archived meanwhile", archived.project, archived.slug);
        let (state, code) = (RunState::Failed, FailureCode::RepositoryArchived);
        return Ok(Some((state, code, detail)));
    }
    let lacking = lacking(door, run, (&pull_request, pushed_to)).await?;
    Ok(lacking.map(|lacking| (RunState::Failed, FailureCode::AccessLost, lacking)))
}

/// What the requester lacks to have a run's work pushed to the fork that the source branch is in, before anything is
/// started: who may ask in the target repository need not have a say there.
pub(crate) async fn never_could(door: &GitDoor, job: &Job, run: &Run) -> Result<Option<String>, Failure> {
    if job.from_ref.repository.id == job.repository.id {
        return Ok(None);
    }
    let client = door.client()?;
    let pull_request = client.pull_request(&job.repository, job.pull_request).await?;
    match pushed_to(door, run, &pull_request) {
        None => Ok(None),
        source => lacking(door, run, (&pull_request, source)).await,
    }
}

/// The fork that a run's work is pushed to. What is no push takes nothing there, and neither does one to a branch of the
/// target repository.
fn pushed_to<'p>(door: &GitDoor, run: &Run, pull_request: &'p PullRequest) -> Option<&'p Repository> {
    let pushes = matches!(
        course::delivery(&run.command),
        Delivery::Push | Delivery::NewBranch { .. }
    );
    let is_fork = pushes && door.reaches_source() && pull_request.is_from_fork();
    is_fork.then_some(&pull_request.from_ref.repository)
}

/// What the requester lacks, in a few words; nothing where they may. A verb takes its permission on the target repository
/// and, where the source is another one that is pushed to, there as well: the bot's rights are not the requester's.
async fn lacking(
    door: &GitDoor,
    run: &Run,
    (pull_request, source): (&PullRequest, Option<&Repository>),
) -> Result<Option<String>, Failure> {
    let Some(requester) = &run.requester else {
        return Ok(Some("nobody knows any more who asked".to_owned()));
    };
    let target = &pull_request.to_ref;
    let client = door.client()?;
    let file = repository_file(door, &client, target).await?;
    if leaves_out(&file, requester) {
        let sentence = format!("{REPOSITORY_FILE_PATH} of the target branch leaves them out");
        return Ok(Some(sentence));
    }
    let rules = config::narrowed(door.rules(), &file);
    let needed = match run.command.verb.class() {
        Class::Read | Class::Query => &rules.read,
        Class::Work | Class::Control => &rules.change,
    };
    for repository in std::iter::once(&target.repository).chain(source) {
        let access = client.access(&rules, repository, requester, Some(needed)).await?;
        if let Some(lacking) = named(access, needed, repository) {
            return Ok(Some(lacking));
        }
    }
    Ok(None)
}

/// The target branch's file as it is now: of the mirror, which has it where the branch is as it was when the work began;
/// else Bitbucket is asked.
async fn repository_file(
    door: &GitDoor,
    client: &Client,
    target: &GitRef,
) -> Result<RepositoryFile, Failure> {
    let (path, bytes_max) = (REPOSITORY_FILE_PATH, REPOSITORY_FILE_BYTES_MAX);
    let commit = target.latest_commit.clone();
    let fetched = door
        .with_mirror(move |mirror, _, _, _| {
            if !mirror.has(&commit) {
                return Ok(None);
            }
            Ok(Some(mirror.read_file(&commit, path, bytes_max)?))
        })
        .await?;
    if let Some(found) = fetched {
        return Ok(found.map_or_else(RepositoryFile::default, |found| {
            RepositoryFile::read(&found.bytes, found.is_cut(), &target.display_id)
        }));
    }
    let found = client
        .file(&target.repository, &target.latest_commit, path, bytes_max)
        .await?;
    Ok(found.map_or_else(RepositoryFile::default, |found| {
        RepositoryFile::read(&found.bytes, found.truncated, &target.display_id)
    }))
}

fn leaves_out(file: &RepositoryFile, person: &Person) -> bool {
    let mut names = vec![person.name.as_str()];
    names.extend(person.slug.as_deref());
    file.leaves_out(&names)
}

fn named(access: Access, needed: &str, repository: &Repository) -> Option<String> {
    match access {
        Access::Granted => None,
        Access::Lacking => Some(format!(
            "{needed} on {}/{} is needed",
            repository.project, repository.slug
        )),
        Access::PersonExcluded => Some("an administrator has excluded them".to_owned()),
        Access::ProjectExcluded => Some("an administrator has excluded the project".to_owned()),
    }
}
