//! Which commits the server lacks: from the new head down to what it is known to have.

use std::collections::{HashMap, HashSet};

use gix::ObjectId;
use pipeline::ids::CommitId;

use crate::error::Error;
use crate::mirror::object_id;

/// A run pushes a commit or a few, on top of at most the merges of a few tries.
const FIRST_PARENTS_MAX: usize = 64;
/// Commits that a merge may bring along from another repository; a fork that is further behind is for its owner.
const SIDE_COMMITS_MAX: usize = 10_000;

/// The new commits, and for each the parents it is compared with.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// In no order.
    pub(super) commits: HashMap<ObjectId, Vec<ObjectId>>,
}

/// Commits from `new` down to `old`, which has to be reached by first parents, and of what was merged into them as much
/// as is in no history of `had`, commits that the server and the mirror have.
pub(super) fn lacking(
    repo: &gix::Repository,
    old: &CommitId,
    new: &CommitId,
    had: &[ObjectId],
) -> Result<Lacking, Error> {
    let mut lacking = Lacking::default();
    let mut sides = Vec::new();
    let old_id = object_id(old);
    let mut next = object_id(new);
    while next != old_id {
        let not_forward = || Error::NotFastForward {
            old: old.clone(),
            new: new.clone(),
        };
        if lacking.commits.len() == FIRST_PARENTS_MAX {
            return Err(not_forward());
        }
        let parents = parents_of(repo, next)?.ok_or_else(not_forward)?;
        let first = *parents.first().ok_or_else(not_forward)?;
        sides.extend(parents.iter().skip(1));
        lacking.commits.insert(next, parents);
        next = first;
    }
    sides.retain(|side| *side != old_id && !had.contains(side));
    if !sides.is_empty() {
        let mut had = histories(repo, had.iter().copied().chain([old_id]))?;
        had.extend(lacking.commits.keys());
        add_sides(repo, sides, &had, &mut lacking)?;
    }
    Ok(lacking)
}

fn add_sides(
    repo: &gix::Repository,
    mut waiting: Vec<ObjectId>,
    had: &HashSet<ObjectId>,
    lacking: &mut Lacking,
) -> Result<(), Error> {
    while let Some(id) = waiting.pop() {
        if had.contains(&id) || lacking.commits.contains_key(&id) {
            continue;
        }
        if lacking.commits.len() == SIDE_COMMITS_MAX {
            return Err(Error::TooLarge {
                what: "the number of commits to push".to_owned(),
                limit: SIDE_COMMITS_MAX as u64,
            });
        }
        let parents = parents_of(repo, id)?.ok_or(Error::TooShallow)?;
        waiting.extend(&parents);
        lacking.commits.insert(id, parents);
    }
    Ok(())
}

/// These commits and all their ancestors, as far as they have been fetched.
fn histories(
    repo: &gix::Repository,
    tips: impl Iterator<Item = ObjectId>,
) -> Result<HashSet<ObjectId>, Error> {
    let mut waiting: Vec<_> = tips.collect();
    let mut seen = HashSet::new();
    while let Some(id) = waiting.pop() {
        if seen.insert(id) {
            waiting.extend(parents_of(repo, id)?.unwrap_or_default());
        }
    }
    Ok(seen)
}

/// `None` where the commit has not been fetched.
fn parents_of(repo: &gix::Repository, id: ObjectId) -> Result<Option<Vec<ObjectId>>, Error> {
    let Some(object) = repo.try_find_object(id).map_err(Error::damaged)? else {
        return Ok(None);
    };
    let commit = object.try_into_commit().map_err(Error::damaged)?;
    Ok(Some(commit.parent_ids().map(gix::Id::detach).collect()))
}
