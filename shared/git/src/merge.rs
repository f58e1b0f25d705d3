//! Three-way merges: of one change onto a branch that moved, and of one branch into another. Objects only, and no
//! attributes or drivers of the repository's.

use std::collections::BTreeSet;

use gix::bstr::{BString, ByteSlice};
use gix::merge::blob::Resolution as BlobResolution;
use gix::merge::blob::builtin_driver::text::Labels;
use gix::merge::tree::{Conflict, Resolution, TreatAsUnresolved};
use pipeline::ids::CommitId;

use crate::ancestors::{Common, common};
use crate::commit::{CommitRequest, Merges, write_commit};
use crate::error::Error;
use crate::mirror::{commit_id, object_id, tree_of};

mod markers;

pub(crate) use markers::still_marked;

/// What came of putting a change onto a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// This commit on top of ours.
    Commit(CommitId),
    /// Ours has it all already: nothing is left to commit.
    Nothing,
    /// These paths were changed on both sides in ways that exclude each other.
    Conflict(Vec<String>),
}

/// What came of merging one branch into another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// Ours contains theirs.
    Contained,
    /// They have no commit in common.
    Unrelated,
    /// The merge commit, with its two parents.
    Commit(CommitId),
    /// Somebody has to decide.
    Conflicts(Conflicts),
}

/// A merge that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflicts {
    /// What the commit that ends it has to say about its parents and its tree, in which `marked` have git's markers.
    pub merges: Merges,
    /// Files with markers.
    pub marked: Vec<String>,
    /// Paths that both changed in a way that markers cannot show: one has removed it, a binary file, a link.
    pub others: Vec<String>,
}

/// The mirror's part of [`crate::Mirror::merge_onto`].
pub(crate) fn merge_onto(
    repo: &gix::Repository,
    ours: &CommitId,
    base: &CommitId,
    theirs: &CommitId,
    request: &CommitRequest,
) -> Result<Merged, Error> {
    let trees = [tree_of(repo, base)?, tree_of(repo, ours)?, tree_of(repo, theirs)?];
    commit_merged(repo, trees, ours, request)
}

/// Merges the trees of base, ours and theirs, and makes a commit of that on top of ours.
fn commit_merged(
    repo: &gix::Repository,
    trees: [gix::ObjectId; 3],
    ours: &CommitId,
    request: &CommitRequest,
) -> Result<Merged, Error> {
    let mut merged = merge_trees(repo, trees, ("branch", "change"))?;
    let conflicts = unresolved(&merged.conflicts);
    if !conflicts.is_empty() {
        let paths: BTreeSet<_> = conflicts
            .into_iter()
            .map(|conflict| path_of(conflict).to_str_lossy().into_owned())
            .collect();
        return Ok(Merged::Conflict(paths.into_iter().collect()));
    }
    let tree = merged.tree.write().map_err(Error::damaged)?.detach();
    if tree == trees[1] {
        return Ok(Merged::Nothing);
    }
    Ok(Merged::Commit(write_commit(repo, request, tree, ours)?))
}

/// The mirror's part of [`crate::Mirror::revert`].
pub(crate) fn revert(
    repo: &gix::Repository,
    commit: &CommitId,
    request: &CommitRequest,
) -> Result<Merged, Error> {
    let found = repo.find_commit(object_id(commit)).map_err(Error::damaged)?;
    if found.parent_ids().nth(1).is_some() {
        let commit = commit.clone();
        return Err(Error::OfMerge { commit });
    }
    let before = match found.parent_ids().next() {
        None => repo.empty_tree().id,
        Some(parent) if !repo.has_object(parent) => return Err(Error::TooShallow),
        Some(parent) => tree_of(repo, &commit_id(&parent))?,
    };
    let trees = [tree_of(repo, commit)?, tree_of(repo, &request.parent)?, before];
    commit_merged(repo, trees, &request.parent, request)
}

/// The mirror's part of [`crate::Mirror::join`].
pub(crate) fn join(
    repo: &gix::Repository,
    theirs: &CommitId,
    names: (&str, &str),
    request: &CommitRequest,
) -> Result<Joined, Error> {
    let ours = &request.parent;
    let bases = match common(repo, object_id(ours), object_id(theirs))? {
        Common::Bases(bases) if bases.contains(&object_id(theirs)) => return Ok(Joined::Contained),
        Common::Bases(bases) => bases,
        Common::None => return Ok(Joined::Unrelated),
        Common::NotFetched => return Err(Error::TooShallow),
    };
    let trees = [
        tree_of_bases(repo, &bases)?,
        tree_of(repo, ours)?,
        tree_of(repo, theirs)?,
    ];
    let mut merged = merge_trees(repo, trees, names)?;
    let tree = merged.tree.write().map_err(Error::damaged)?.detach();
    let mut request = request.clone();
    request.merges = Some(Merges {
        commit: theirs.clone(),
        together: theirs.clone(),
    });
    let commit = write_commit(repo, &request, tree, ours)?;
    let conflicts = unresolved(&merged.conflicts);
    if conflicts.is_empty() {
        return Ok(Joined::Commit(commit));
    }
    let (mut marked, mut others) = (BTreeSet::new(), BTreeSet::new());
    for conflict in conflicts {
        let path = path_of(conflict);
        match path.to_str() {
            Ok(path) if is_marked(repo, conflict)? => marked.insert(path.to_owned()),
            _ => others.insert(path.to_str_lossy().into_owned()),
        };
    }
    Ok(Joined::Conflicts(Conflicts {
        merges: Merges {
            commit: theirs.clone(),
            together: commit,
        },
        marked: marked.difference(&others).cloned().collect(),
        others: others.into_iter().collect(),
    }))
}

/// One tree where there are several best common ancestors, as in a history whose branches were merged crosswise.
fn tree_of_bases(repo: &gix::Repository, bases: &[gix::ObjectId]) -> Result<gix::ObjectId, Error> {
    if let [base] = bases {
        let commit = repo.find_commit(*base).map_err(Error::damaged)?;
        return Ok(commit.tree_id().map_err(Error::damaged)?.detach());
    }
    if repo.is_shallow().map_err(Error::damaged)? {
        // Their own common ancestors are needed as well.
        return Err(Error::TooShallow);
    }
    let options = repo.tree_merge_options().map_err(Error::damaged)?;
    let made = repo
        .virtual_merge_base(bases.iter().copied(), options)
        .map_err(Error::damaged)?;
    Ok(made.tree_id.detach())
}

fn merge_trees<'repo>(
    repo: &'repo gix::Repository,
    [base, ours, theirs]: [gix::ObjectId; 3],
    (our_name, their_name): (&str, &str),
) -> Result<gix::merge::tree::Outcome<'repo>, Error> {
    let options = repo.tree_merge_options().map_err(Error::damaged)?;
    let labels = Labels {
        ancestor: Some("base".into()),
        current: Some(our_name.into()),
        other: Some(their_name.into()),
    };
    repo.merge_trees(base, ours, theirs, labels, options)
        .map_err(Error::damaged)
}

fn unresolved(conflicts: &[Conflict]) -> Vec<&Conflict> {
    let how = TreatAsUnresolved::default();
    conflicts
        .iter()
        .filter(|conflict| conflict.is_unresolved(how))
        .collect()
}

fn path_of(conflict: &Conflict) -> BString {
    conflict.changes_in_resolution().0.location().to_owned()
}

/// Whether what is left of the conflict is text with markers, in the file at its path.
fn is_marked(repo: &gix::Repository, conflict: &Conflict) -> Result<bool, Error> {
    let Ok(Resolution::OursModifiedTheirsModifiedThenBlobContentMerge { merged_blob }) = &conflict.resolution
    else {
        return Ok(false);
    };
    if merged_blob.resolution != BlobResolution::Conflict {
        return Ok(false);
    }
    let blob = repo
        .find_blob(merged_blob.merged_blob_id)
        .map_err(Error::damaged)?;
    Ok(markers::count(&blob.data).iter().any(|number| *number > 0))
}
