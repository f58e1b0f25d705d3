//! Commits, made from changes. Objects only: no ref of anybody's is touched.

use std::path::PathBuf;

use gix::bstr::ByteSlice;
use pipeline::ids::CommitId;

use crate::change::{Change, ChangeKind};
use crate::error::Error;
use crate::mirror::{commit_id, object_id, tree_of};

/// A commit to be made.
#[derive(Debug, Clone)]
pub struct CommitRequest {
    /// The commit it goes on top of.
    pub parent: CommitId,
    /// The work tree the changes were read from; named in errors, not read again: what was judged is committed.
    pub directory: PathBuf,
    /// What changes; from [`crate::Mirror::changes`] with the same parent, less what is not wanted.
    pub changes: Vec<Change>,
    /// Who wrote it.
    pub author: Identity,
    /// Who commits it; the Verify Committer hook compares this with the account that pushes.
    pub committer: Identity,
    /// The whole message, with trailers.
    pub message: String,
    /// Author and committer date.
    pub time: jiff::Timestamp,
    /// Set for a merge commit.
    pub merges: Option<Merges>,
}

/// What a merge commit merges into its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merges {
    /// The second parent.
    pub commit: CommitId,
    /// The commit whose tree both make together, which the changes go on top of; never pushed.
    pub together: CommitId,
}

/// A name and an address in a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Shown.
    pub name: String,
    /// Without angle brackets.
    pub email: String,
}

/// The mirror's part of [`crate::Mirror::commit`].
pub(crate) fn commit(repo: &gix::Repository, request: &CommitRequest) -> Result<CommitId, Error> {
    if request.changes.is_empty() && request.merges.is_none() {
        return Err(Error::Invalid(format!(
            "no changes to commit from {}",
            request.directory.display()
        )));
    }
    let together = request.merges.as_ref().map(|merges| &merges.together);
    let base = tree_of(repo, together.unwrap_or(&request.parent))?;
    let mut editor = repo.edit_tree(base).map_err(Error::damaged)?;
    let refused = |change: &Change, error: gix::Error| {
        Error::Invalid(format!("{} cannot be committed: {error}", change.path_lossy()))
    };
    // Removals first: a file may have become a directory, or the other way round.
    for change in request
        .changes
        .iter()
        .filter(|change| change.kind == ChangeKind::Removed)
    {
        editor
            .remove(change.path.as_bstr())
            .map_err(|error| refused(change, error))?;
    }
    for change in &request.changes {
        if let Some((mode, blob)) = change.blob {
            editor
                .upsert(change.path.as_bstr(), mode.entry_kind(), blob)
                .map_err(|error| refused(change, error))?;
        }
    }
    let tree = editor.write().map_err(Error::damaged)?.detach();
    write_commit(repo, request, tree, &request.parent)
}

/// The mirror's part of [`crate::Mirror::stack`].
pub(crate) fn stack(
    repo: &gix::Repository,
    like: &CommitId,
    request: &CommitRequest,
) -> Result<Option<CommitId>, Error> {
    let tree = tree_of(repo, like)?;
    if tree == tree_of(repo, &request.parent)? {
        return Ok(None);
    }
    write_commit(repo, request, tree, &request.parent).map(Some)
}

/// Writes a commit on top of `parent`, which need not be the request's.
pub(crate) fn write_commit(
    repo: &gix::Repository,
    request: &CommitRequest,
    tree: gix::ObjectId,
    parent: &CommitId,
) -> Result<CommitId, Error> {
    let merged = request.merges.as_ref().map(|merges| &merges.commit);
    let signature = |identity: &Identity| gix::actor::Signature {
        name: clean(&identity.name).into(),
        email: clean(&identity.email).into(),
        // UTC: the machine's zone says nothing about anybody.
        time: gix::date::Time {
            seconds: request.time.as_second(),
            offset: 0,
        },
    };
    let commit = gix::objs::Commit {
        tree,
        parents: [parent].into_iter().chain(merged).map(object_id).collect(),
        author: signature(&request.author),
        committer: signature(&request.committer),
        encoding: None,
        message: request.message.replace('\0', "").into(),
        extra_headers: Vec::new(),
    };
    Ok(commit_id(&repo.write_object(&commit).map_err(Error::damaged)?))
}

/// Names come from Bitbucket; what would break the commit's header is left out.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && !matches!(c, '<' | '>'))
        .collect::<String>()
        .trim()
        .to_owned()
}
