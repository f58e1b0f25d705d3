//! The pack of a push: the new commits and what of their trees differs from their parents'. Whole objects, no deltas;
//! a run's change is small, and the server repacks anyway.

use std::collections::HashSet;

use gix::objs::tree::EntryMode;
use gix::objs::{FindExt as _, TreeRefIter};
use gix_pack::data::output;
use pipeline::ids::CommitId;

use super::commits_between;
use crate::error::Error;
use crate::mirror::object_id;

/// Ids of everything that `new` has and `old` has not, as far as their difference shows.
pub(super) fn new_objects(
    repo: &gix::Repository,
    old: &CommitId,
    new: &CommitId,
) -> Result<Vec<gix::ObjectId>, Error> {
    let mut ids = Vec::new();
    let mut seen = HashSet::new();
    let mut parent_tree = tree_of(repo, object_id(old))?;
    // Oldest first: each is compared with the one below it.
    for commit in commits_between(repo, old, new)?.into_iter().rev() {
        let tree = tree_of(repo, commit)?;
        ids.push(commit);
        if tree != parent_tree && seen.insert(tree) {
            ids.push(tree);
        }
        for (id, mode) in differences(repo, parent_tree, tree)? {
            // A submodule's commit is in another repository.
            if !mode.is_commit() && seen.insert(id) {
                ids.push(id);
            }
        }
        parent_tree = tree;
    }
    Ok(ids)
}

fn tree_of(repo: &gix::Repository, commit: gix::ObjectId) -> Result<gix::ObjectId, Error> {
    let commit = repo.find_commit(commit).map_err(Error::damaged)?;
    Ok(commit.tree_id().map_err(Error::damaged)?.detach())
}

fn differences(
    repo: &gix::Repository,
    old: gix::ObjectId,
    new: gix::ObjectId,
) -> Result<Vec<(gix::ObjectId, EntryMode)>, Error> {
    use gix_diff::tree::recorder::Change;
    let (mut old_bytes, mut new_bytes) = (Vec::new(), Vec::new());
    let old = repo
        .objects
        .find_tree_iter(&old, &mut old_bytes)
        .map_err(Error::damaged)?;
    let new: TreeRefIter<'_> = repo
        .objects
        .find_tree_iter(&new, &mut new_bytes)
        .map_err(Error::damaged)?;
    let mut recorder = gix_diff::tree::Recorder::default();
    gix_diff::tree(
        old,
        new,
        gix_diff::tree::State::default(),
        &repo.objects,
        &mut recorder,
    )
    .map_err(Error::damaged)?;
    let added = recorder.records.into_iter().filter_map(|change| match change {
        Change::Addition { entry_mode, oid, .. } | Change::Modification { entry_mode, oid, .. } => {
            Some((oid, entry_mode))
        }
        Change::Deletion { .. } => None,
    });
    Ok(added.collect())
}

/// The pack's bytes.
pub(super) fn write(repo: &gix::Repository, ids: &[gix::ObjectId]) -> Result<Vec<u8>, Error> {
    let mut entries = Vec::with_capacity(ids.len());
    let mut buffer = Vec::new();
    for id in ids {
        let object = repo.objects.find(id, &mut buffer).map_err(Error::damaged)?;
        let count = output::Count::from_data(*id, None);
        let entry = output::Entry::from_data(&count, &object, gix::zlib::Compression::default());
        entries.push(entry.map_err(Error::damaged)?);
    }
    let number =
        u32::try_from(entries.len()).map_err(|_| Error::Invalid("too many objects to push".to_owned()))?;
    let mut pack = Vec::new();
    let batches = std::iter::once(Ok::<_, gix::Error>(entries));
    let writer = output::bytes::FromEntriesIter::new(
        batches,
        &mut pack,
        number,
        gix_pack::data::Version::V2,
        gix::hash::Kind::Sha1,
    );
    for written in writer {
        written.map_err(Error::damaged)?;
    }
    Ok(pack)
}
