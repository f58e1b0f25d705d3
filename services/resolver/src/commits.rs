//! The commits that a run's work is: one, or several on top of each other, pushed together.

use git::CommitRequest;
use pipeline::ids::{CommentId, CommitId};
use pipeline::run::{Outcome, ThreadCommit};

/// Work that is committed, on top of what it started from, and what is known of it so far.
pub(crate) struct Work {
    pub(crate) base: CommitId,
    pub(crate) commits: Commits,
    pub(crate) outcome: Outcome,
}

/// At least one commit. The first one is on top of what the work started from, each other one on top of the one before.
#[derive(Debug, Clone)]
pub(crate) struct Commits {
    below: Vec<Made>,
    last: Box<Made>,
}

/// A commit, and what it was made from.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) commit: CommitId,
    pub(crate) request: CommitRequest,
    /// The thread that it is for, where it is for one alone.
    pub(crate) thread: Option<CommentId>,
}

impl Commits {
    /// A single one.
    pub(crate) fn one(commit: CommitId, request: CommitRequest) -> Self {
        let last = Made {
            commit,
            request,
            thread: None,
        };
        Self {
            below: Vec::new(),
            last: Box::new(last),
        }
    }

    /// These, the first one first; nothing where there is none.
    pub(crate) fn of(mut made: Vec<Made>) -> Option<Self> {
        let last = Box::new(made.pop()?);
        Some(Self { below: made, last })
    }

    /// The newest, which has all others below it.
    pub(crate) fn tip(&self) -> &CommitId {
        &self.last.commit
    }

    /// What the newest one was made from.
    pub(crate) fn request(&self) -> &CommitRequest {
        &self.last.request
    }

    /// The first one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Made> {
        self.below.iter().chain([self.last.as_ref()])
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.below.len() + 1
    }

    /// Their ids, the newest last.
    pub(crate) fn ids(&self) -> Vec<CommitId> {
        self.iter().map(|made| made.commit.clone()).collect()
    }

    /// Those that are for one thread each.
    pub(crate) fn threads(&self) -> Vec<ThreadCommit> {
        let for_one = self.iter().filter_map(|made| {
            Some(ThreadCommit {
                thread: made.thread?,
                commit: made.commit.clone(),
            })
        });
        for_one.collect()
    }
}
