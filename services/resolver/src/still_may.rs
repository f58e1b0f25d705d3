//! Whether who asked may still have their work pushed, looked up right before it is: rights may be lost while an agent
//! works.

use bitbucket::{Access, Client, PullRequest};
use config::{Permission, REPOSITORY_FILE_BYTES_MAX, REPOSITORY_FILE_PATH, RepositoryFile};
use pipeline::event::{Person, Repository};
use pipeline::failure::Failure;
use pipeline::run::Run;

/// What the requester lacks, in a few words; nothing where they may. A push takes the right to change the target
/// repository and, where the source is another one, that one too: the bot's rights are not the requester's.
pub(crate) async fn lacking(
    client: &Client,
    operator: &Permission,
    run: &Run,
    pull_request: &PullRequest,
) -> Result<Option<String>, Failure> {
    let Some(requester) = &run.requester else {
        return Ok(Some("nobody knows any more who asked".to_owned()));
    };
    let target = &pull_request.to_ref;
    let (path, bytes_max) = (REPOSITORY_FILE_PATH, REPOSITORY_FILE_BYTES_MAX);
    let found = client
        .file(&target.repository, &target.latest_commit, path, bytes_max)
        .await?;
    let file = found.map_or_else(RepositoryFile::default, |found| {
        RepositoryFile::read(&found.bytes, found.truncated, &target.display_id)
    });
    if leaves_out(&file, requester) {
        return Ok(Some(format!("{path} of the target branch leaves them out")));
    }
    let rules = config::narrowed(operator, &file);
    let source = Some(&pull_request.from_ref.repository).filter(|_| pull_request.is_from_fork());
    for repository in std::iter::once(&target.repository).chain(source) {
        let access = client
            .access(&rules, repository, requester, Some(&rules.change))
            .await?;
        if let Some(lacking) = named(access, &rules.change, repository) {
            return Ok(Some(lacking));
        }
    }
    Ok(None)
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
