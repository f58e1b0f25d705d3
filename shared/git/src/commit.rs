//! Commits, made from changes or by a three-way merge. Objects only: no ref of anybody's is touched.

use std::collections::BTreeSet;
use std::path::PathBuf;

use gix::bstr::ByteSlice;
use gix::merge::tree::TreatAsUnresolved;
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
}

/// A name and an address in a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Shown.
    pub name: String,
    /// Without angle brackets.
    pub email: String,
}

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// This commit on top of ours.
    Commit(CommitId),
    /// Ours has it all already: nothing is left to commit.
    Nothing,
    /// These paths were changed on both sides in ways that exclude each other.
    Conflict(Vec<String>),
}

/// The mirror's part of [`crate::Mirror::commit`].
pub(crate) fn commit(repo: &gix::Repository, request: &CommitRequest) -> Result<CommitId, Error> {
    if request.changes.is_empty() {
        return Err(Error::Invalid(format!(
            "no changes to commit from {}",
            request.directory.display()
        )));
    }
    let base = tree_of(repo, &request.parent)?;
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
    write_commit(repo, request, tree, object_id(&request.parent))
}

/// The mirror's part of [`crate::Mirror::merge_onto`].
pub(crate) fn merge_onto(
    repo: &gix::Repository,
    ours: &CommitId,
    base: &CommitId,
    theirs: &CommitId,
    request: &CommitRequest,
) -> Result<Merged, Error> {
    let our_tree = tree_of(repo, ours)?;
    let options = repo.tree_merge_options().map_err(Error::damaged)?;
    let labels = gix::merge::blob::builtin_driver::text::Labels {
        ancestor: Some("base".into()),
        current: Some("branch".into()),
        other: Some("change".into()),
    };
    let mut merged = repo
        .merge_trees(
            tree_of(repo, base)?,
            our_tree,
            tree_of(repo, theirs)?,
            labels,
            options,
        )
        .map_err(Error::damaged)?;
    let unresolved = TreatAsUnresolved::default();
    if merged.has_unresolved_conflicts(unresolved) {
        let paths: BTreeSet<_> = merged
            .conflicts
            .iter()
            .filter(|conflict| conflict.is_unresolved(unresolved))
            .map(|conflict| {
                conflict
                    .changes_in_resolution()
                    .0
                    .location()
                    .to_str_lossy()
                    .into_owned()
            })
            .collect();
        return Ok(Merged::Conflict(paths.into_iter().collect()));
    }
    let tree = merged.tree.write().map_err(Error::damaged)?.detach();
    if tree == our_tree {
        return Ok(Merged::Nothing);
    }
    Ok(Merged::Commit(write_commit(
        repo,
        request,
        tree,
        object_id(ours),
    )?))
}

pub(crate) fn write_commit(
    repo: &gix::Repository,
    request: &CommitRequest,
    tree: gix::ObjectId,
    parent: gix::ObjectId,
) -> Result<CommitId, Error> {
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
        parents: [parent].into_iter().collect(),
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
