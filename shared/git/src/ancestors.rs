//! What two commits have in common, in a history that may have been fetched in part.

use std::collections::{BinaryHeap, HashMap};

use gix::ObjectId;
use pipeline::ids::CommitId;

use crate::error::Error;
use crate::mirror::{commit_id, object_id};

/// Reached from the one, from the other, and below a common ancestor.
const OURS: u8 = 1;
const THEIRS: u8 = 2;
const BELOW: u8 = 4;

/// The answer of [`common`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Common {
    /// The best common ancestors: none is an ancestor of another. Mostly one.
    Bases(Vec<ObjectId>),
    /// There is none in the whole history.
    None,
    /// What has been fetched does not tell.
    NotFetched,
}

/// The best common ancestors. Both sides are followed, newest commit first, until everything that is left is below a
/// common ancestor; where that needs a commit which has not been fetched, nothing can be said.
pub(crate) fn common(repo: &gix::Repository, ours: ObjectId, theirs: ObjectId) -> Result<Common, Error> {
    let mut walk = Walk::default();
    walk.paint(repo, ours, OURS)?;
    walk.paint(repo, theirs, THEIRS)?;
    let mut found = Vec::new();
    while let Some(id) = walk.newest() {
        let mut marks = walk.marks(&id);
        if marks & (OURS | THEIRS) == OURS | THEIRS && marks & BELOW == 0 {
            found.push(id);
            marks |= BELOW;
        }
        for parent in walk.parents(&id) {
            if !walk.paint(repo, parent, marks)? && marks & BELOW == 0 {
                return Ok(Common::NotFetched);
            }
        }
    }
    // One that was found before something above it was, as dates may lie.
    found.retain(|id| walk.marks(id) & BELOW == 0);
    Ok(if found.is_empty() {
        Common::None
    } else {
        Common::Bases(found)
    })
}

/// The mirror's part of [`crate::Mirror::merge_base`].
pub(crate) fn merge_base(
    repo: &gix::Repository,
    ours: &CommitId,
    theirs: &CommitId,
) -> Result<Option<CommitId>, Error> {
    match common(repo, object_id(ours), object_id(theirs))? {
        Common::Bases(bases) => Ok(bases.first().map(|base| commit_id(base))),
        Common::None => Ok(None),
        Common::NotFetched => Err(Error::TooShallow),
    }
}

#[derive(Debug, Default)]
struct Walk {
    seen: HashMap<ObjectId, Seen>,
    waiting: BinaryHeap<(i64, ObjectId)>,
    /// Of those waiting, the ones that are not known to be below a common ancestor.
    open: usize,
}

#[derive(Debug)]
struct Seen {
    marks: u8,
    time: i64,
    parents: Vec<ObjectId>,
    waits: bool,
}

impl Walk {
    /// Adds marks to a commit, and looks at it again if they are new. `false` where it has not been fetched.
    fn paint(&mut self, repo: &gix::Repository, id: ObjectId, marks: u8) -> Result<bool, Error> {
        let seen = match self.seen.entry(id) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let Some(object) = repo.try_find_object(id).map_err(Error::damaged)? else {
                    return Ok(false);
                };
                let commit = object.try_into_commit().map_err(Error::damaged)?;
                entry.insert(Seen {
                    marks: 0,
                    time: commit.time().map_err(Error::damaged)?.seconds,
                    parents: commit.parent_ids().map(gix::Id::detach).collect(),
                    waits: false,
                })
            }
        };
        if seen.marks | marks == seen.marks {
            return Ok(true);
        }
        if seen.waits && seen.marks & BELOW == 0 {
            self.open -= 1;
        }
        seen.marks |= marks;
        if !seen.waits {
            seen.waits = true;
            self.waiting.push((seen.time, id));
        }
        if seen.marks & BELOW == 0 {
            self.open += 1;
        }
        Ok(true)
    }

    /// The newest commit that waits; `None` when only those below common ancestors are left.
    fn newest(&mut self) -> Option<ObjectId> {
        if self.open == 0 {
            return None;
        }
        let (_, id) = self.waiting.pop()?;
        let seen = self.seen.get_mut(&id)?;
        seen.waits = false;
        if seen.marks & BELOW == 0 {
            self.open -= 1;
        }
        Some(id)
    }

    fn marks(&self, id: &ObjectId) -> u8 {
        self.seen.get(id).map_or(0, |seen| seen.marks)
    }

    fn parents(&self, id: &ObjectId) -> Vec<ObjectId> {
        self.seen
            .get(id)
            .map(|seen| seen.parents.clone())
            .unwrap_or_default()
    }
}
