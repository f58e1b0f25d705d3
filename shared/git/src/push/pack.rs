//! The pack of a push: the new commits and what of their trees differs from their parents'. Whole objects, no deltas;
//! a run's change is small, and the server repacks anyway.

use std::collections::HashSet;

use gix::objs::tree::EntryMode;
use gix::objs::{FindExt as _, TreeRefIter};
use gix_pack::data::output;

use super::lacking::Lacking;
use crate::error::Error;

/// Ids of everything that these commits have and none of their parents has, as far as their difference shows.
pub(super) fn new_objects(repo: &gix::Repository, lacking: &Lacking) -> Result<Vec<gix::ObjectId>, Error> {
    let mut ids: HashSet<_> = lacking.commits.keys().copied().collect();
    for (commit, parents) in &lacking.commits {
        ids.extend(new_in(repo, tree_of(repo, *commit)?, parents)?);
    }
    Ok(ids.into_iter().collect())
}

/// What of a tree is in the tree of no parent.
fn new_in(
    repo: &gix::Repository,
    tree: gix::ObjectId,
    parents: &[gix::ObjectId],
) -> Result<HashSet<gix::ObjectId>, Error> {
    let mut trees = Vec::new();
    for parent in parents {
        trees.push(Some(tree_of(repo, *parent)?));
    }
    if trees.is_empty() {
        trees.push(None);
    }
    let mut new: Option<HashSet<_>> = None;
    for parent in trees {
        let mut found = HashSet::new();
        if parent != Some(tree) {
            found.insert(tree);
            for (id, mode) in differences(repo, parent, tree)? {
                // A submodule's commit is in another repository.
                if !mode.is_commit() {
                    found.insert(id);
                }
            }
        }
        new = Some(match new {
            Some(before) => before.intersection(&found).copied().collect(),
            None => found,
        });
    }
    Ok(new.unwrap_or_default())
}

fn tree_of(repo: &gix::Repository, commit: gix::ObjectId) -> Result<gix::ObjectId, Error> {
    let commit = repo.find_commit(commit).map_err(Error::damaged)?;
    Ok(commit.tree_id().map_err(Error::damaged)?.detach())
}

fn differences(
    repo: &gix::Repository,
    old: Option<gix::ObjectId>,
    new: gix::ObjectId,
) -> Result<Vec<(gix::ObjectId, EntryMode)>, Error> {
    use gix_diff::tree::recorder::Change;
    let (mut old_bytes, mut new_bytes) = (Vec::new(), Vec::new());
    let old = match old {
        Some(old) => repo
            .objects
            .find_tree_iter(&old, &mut old_bytes)
            .map_err(Error::damaged)?,
        None => TreeRefIter::from_bytes(&[], gix::hash::Kind::Sha1),
    };
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
