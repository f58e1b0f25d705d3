//! The one trait that git hides behind, and its implementation by gix.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pipeline::ids::{CommitId, RunId};

use crate::cache::MirrorLock;
use crate::change::Changes;
use crate::commit::{CommitRequest, Identity};
use crate::error::{Error, PushError};
use crate::fetch::Whose;
use crate::limits::TreeLimits;
use crate::merge::{Joined, Merged};
pub(crate) use crate::object::{commit_id, object_id, tree_of};
use crate::overlay::{Overlaid, Overlay};
use crate::patch::Patch;
use crate::push::Expected;
use crate::read_changes::{ReadRequest, Reader};
use crate::remote::{Clients, Remote};
use crate::tree_file::TreeFile;

/// A locked mirror of one repository, and what can be done with it. Everything blocks.
pub trait Mirror: Send {
    /// Brings the branch's head into the mirror. `branch` is a full ref name (`refs/heads/x`).
    fn fetch(
        &self,
        remote: &Remote,
        branch: &str,
        depth: Depth,
        stop: &AtomicBool,
    ) -> Result<CommitId, Error>;

    /// As [`Mirror::fetch`], and in the same exchange the head of `also`, another branch of the same repository: `None`
    /// where there is no such branch.
    fn fetch_both(
        &self,
        remote: &Remote,
        branch: &str,
        also: &str,
        depth: Depth,
        stop: &AtomicBool,
    ) -> Result<(CommitId, Option<CommitId>), Error>;

    /// Brings the head of another repository's branch into this mirror, such as the target of a pull request from a
    /// fork; `None` where there is no such branch.
    fn fetch_foreign(
        &self,
        remote: &Remote,
        branch: &str,
        depth: Depth,
        stop: &AtomicBool,
    ) -> Result<Option<CommitId>, Error>;

    /// Fetches these branches so many commits deep, also where the mirror has less of them already. Notes no heads.
    fn deepen(
        &self,
        remote: &Remote,
        branches: &[&str],
        depth: Depth,
        stop: &AtomicBool,
    ) -> Result<(), Error>;

    /// The name of whoever committed it, as the commit says it: anyone can write any name.
    fn committer(&self, commit: &CommitId) -> Result<String, Error>;

    /// Whether the commit was fetched before.
    fn has(&self, commit: &CommitId) -> bool;

    /// One file of a commit, at most `bytes_max` of it; `None` where there is no such file. Symbolic links are followed
    /// as long as they stay in the commit's tree.
    fn read_file(&self, commit: &CommitId, path: &str, bytes_max: usize) -> Result<Option<TreeFile>, Error>;

    /// The source commit with every path that `selects` says made equal to the target commit's: replaced, added or
    /// removed; without a target all of them are removed. `selects` is asked with paths below the tree, with `/`; of a
    /// directory it selects, everything is meant.
    fn overlay(
        &self,
        source: &CommitId,
        target: Option<&CommitId>,
        selects: &dyn Fn(&[u8]) -> bool,
        limits: &TreeLimits,
    ) -> Result<Overlay, Error>;

    /// Writes the commit's files into `directory`, which has to be empty and nobody else's. No `.git`, symbolic
    /// links and executable bits kept, submodules as empty directories.
    fn check_out(
        &self,
        commit: &CommitId,
        directory: &Path,
        limits: &TreeLimits,
        stop: &AtomicBool,
    ) -> Result<(), Error>;

    /// What is different in `directory` from the commit. The directory may be hostile: symbolic links are never
    /// followed, nothing in it is run or believed, and nobody may be writing to it any more. Reads in this process, and
    /// for as long as it takes; what an agent leaves is read [apart](Self::changes_apart).
    fn changes(&self, commit: &CommitId, directory: &Path, limits: &TreeLimits) -> Result<Changes, Error>;

    /// As [`changes`](Self::changes), in a process of its own that has no network, no credential and a deadline.
    /// Must not be called on a thread of an asynchronous runtime that may not block.
    fn changes_apart(
        &self,
        reader: &Reader,
        request: &ReadRequest,
        stop: &AtomicBool,
    ) -> Result<Changes, Error>;

    /// Makes a commit of the changes on top of the request's parent.
    fn commit(&self, request: &CommitRequest) -> Result<CommitId, Error>;

    /// A commit on top of the request's parent with all files of `like`; the request's changes are not used. `None` where
    /// the parent has the same files.
    fn stack(&self, like: &CommitId, request: &CommitRequest) -> Result<Option<CommitId>, Error>;

    /// Three-way merge: what `theirs` did since `base`, as one commit on top of `ours`. The request's parent and
    /// changes are not used.
    fn merge_onto(
        &self,
        ours: &CommitId,
        base: &CommitId,
        theirs: &CommitId,
        request: &CommitRequest,
    ) -> Result<Merged, Error>;

    /// Merges `theirs` into the request's parent, as a commit with both as its parents; the request's changes are not
    /// used. The markers of conflicts have `names`, ours and theirs. [`Error::TooShallow`] where the common history has
    /// not been fetched.
    fn join(&self, theirs: &CommitId, names: (&str, &str), request: &CommitRequest) -> Result<Joined, Error>;

    /// Takes back what the commit did against its first parent, as one commit on top of the request's parent; the
    /// request's changes are not used. [`Error::TooShallow`] where that parent has not been fetched, and
    /// [`Error::OfMerge`] where it is not the only one.
    fn revert(&self, commit: &CommitId, request: &CommitRequest) -> Result<Merged, Error>;

    /// The best common ancestor, one of them where there are several; [`Error::TooShallow`] where what has been fetched
    /// does not tell.
    fn merge_base(&self, ours: &CommitId, theirs: &CommitId) -> Result<Option<CommitId>, Error>;

    /// Those of the overlaid paths that are not the same in the source commit as in `base`.
    fn changed_by(
        &self,
        base: &CommitId,
        source: &CommitId,
        overlaid: Vec<Overlaid>,
    ) -> Result<Vec<Overlaid>, Error>;

    /// Those of the paths that still have conflict markers in the merge commit, or are no files there.
    fn still_marked(&self, merge: &CommitId, paths: &[String]) -> Result<Vec<String>, Error>;

    /// Moves the branch on the server from `old` to `new`, if it is still at `old` and `new` descends from it.
    fn push(&self, remote: &Remote, branch: &str, old: &CommitId, new: &CommitId) -> Result<(), PushError>;

    /// Makes a branch at `new`, if there is none of that name on the server ([`PushError::Moved`] otherwise, unless it
    /// is at `new` already). `base`: the ancestor of `new` that the server has.
    fn create_branch(
        &self,
        remote: &Remote,
        branch: &str,
        base: &CommitId,
        new: &CommitId,
    ) -> Result<(), PushError>;

    /// The branch's head on the server; `None` when there is no such branch.
    fn remote_head(&self, remote: &Remote, branch: &str) -> Result<Option<CommitId>, Error>;

    /// The commits with the trailer `Run-Id: <run>` and the address of `by`, newest first, searched from `head` through
    /// at most `commits_max` commits and not beyond what has been fetched.
    fn commits_of_run(
        &self,
        head: &CommitId,
        run: &RunId,
        by: &Identity,
        commits_max: usize,
    ) -> Result<Vec<CommitId>, Error>;

    /// The subjects of the latest commits that people made, newest first, at most `count`: neither merges nor commits that
    /// name a run. Searched from `heads` through at most `commits_max` commits and not beyond what has been fetched.
    fn latest_subjects(
        &self,
        heads: &[&CommitId],
        count: usize,
        commits_max: usize,
    ) -> Result<Vec<String>, Error>;

    /// The value of the commit's trailer of this name; of several the last one's.
    fn trailer(&self, commit: &CommitId, name: &str) -> Result<Option<String>, Error>;

    /// The commit's first parent.
    fn first_parent(&self, commit: &CommitId) -> Result<CommitId, Error>;

    /// What changed from `old` to `new`, as `git apply` takes it, with the numbers for a reply.
    fn patch(&self, old: &CommitId, new: &CommitId) -> Result<Patch, Error>;
}

/// How much history a fetch asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// So many commits below the head, where the branch is not known yet; later fetches add what is new.
    Shallow(u32),
    /// All of it.
    Full,
}

/// A bare repository below the cache's directory, by gix.
pub(crate) struct GixMirror {
    pub(crate) repo: gix::Repository,
    pub(crate) clients: Arc<Clients>,
    pub(crate) fetch_bytes_max: u64,
    // Last: the lock goes after everything that uses the repository.
    pub(crate) lock: MirrorLock,
}

impl GixMirror {
    /// Runs `work` and remembers when it found the mirror damaged, so that the next user gets a new one.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let done = work();
        if let Err(Error::Damaged { cause }) = &done {
            tracing::warn!(mirror = %self.lock.directory().display(), cause, "the mirror is damaged; it will be made anew");
            self.lock.condemn();
        }
        done
    }
}

impl Mirror for GixMirror {
    fn fetch(
        &self,
        remote: &Remote,
        branch: &str,
        depth: Depth,
        stop: &AtomicBool,
    ) -> Result<CommitId, Error> {
        let from = (remote, Whose::Own);
        let heads = self.guarded(|| crate::fetch::fetch(self, from, &[branch], depth, stop))?;
        head_of(heads, branch)
    }

    fn fetch_both(
        &self,
        remote: &Remote,
        branch: &str,
        also: &str,
        depth: Depth,
        stop: &AtomicBool,
    ) -> Result<(CommitId, Option<CommitId>), Error> {
        let from = (remote, Whose::Own);
        let mut heads = self.guarded(|| crate::fetch::fetch(self, from, &[branch, also], depth, stop))?;
        let other = heads.pop().flatten();
        Ok((head_of(heads, branch)?, other))
    }

    fn fetch_foreign(
        &self,
        remote: &Remote,
        branch: &str,
        depth: Depth,
        stop: &AtomicBool,
    ) -> Result<Option<CommitId>, Error> {
        let from = (remote, Whose::Foreign);
        let heads = self.guarded(|| crate::fetch::fetch(self, from, &[branch], depth, stop))?;
        Ok(heads.into_iter().flatten().next())
    }

    fn deepen(
        &self,
        remote: &Remote,
        branches: &[&str],
        depth: Depth,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        self.guarded(|| crate::fetch::deepen(self, remote, branches, depth, stop))
    }

    fn committer(&self, commit: &CommitId) -> Result<String, Error> {
        self.guarded(|| {
            let found = self.repo.find_commit(object_id(commit));
            let found = found.map_err(Error::damaged)?;
            let committer = found.committer().map_err(Error::damaged)?;
            Ok(committer.name.to_string())
        })
    }

    fn has(&self, commit: &CommitId) -> bool {
        self.repo.has_object(object_id(commit))
    }

    fn read_file(&self, commit: &CommitId, path: &str, bytes_max: usize) -> Result<Option<TreeFile>, Error> {
        self.guarded(|| crate::tree_file::read_file(&self.repo, commit, path, bytes_max))
    }

    fn overlay(
        &self,
        source: &CommitId,
        target: Option<&CommitId>,
        selects: &dyn Fn(&[u8]) -> bool,
        limits: &TreeLimits,
    ) -> Result<Overlay, Error> {
        self.guarded(|| crate::overlay::overlay(&self.repo, source, target, selects, limits))
    }

    fn check_out(
        &self,
        commit: &CommitId,
        directory: &Path,
        limits: &TreeLimits,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        self.guarded(|| crate::checkout::check_out(&self.repo, commit, directory, limits, stop))
    }

    fn changes(&self, commit: &CommitId, directory: &Path, limits: &TreeLimits) -> Result<Changes, Error> {
        let withheld = crate::change::Withheld::default();
        self.guarded(|| crate::change::changes(&self.repo, commit, directory, limits, &withheld))
    }

    fn changes_apart(
        &self,
        reader: &Reader,
        request: &ReadRequest,
        stop: &AtomicBool,
    ) -> Result<Changes, Error> {
        let mirror = self.lock.directory();
        self.guarded(|| crate::read_changes::changes_apart(mirror, reader, request, stop))
    }

    fn commit(&self, request: &CommitRequest) -> Result<CommitId, Error> {
        self.guarded(|| crate::commit::commit(&self.repo, request))
    }

    fn stack(&self, like: &CommitId, request: &CommitRequest) -> Result<Option<CommitId>, Error> {
        self.guarded(|| crate::commit::stack(&self.repo, like, request))
    }

    fn merge_onto(
        &self,
        ours: &CommitId,
        base: &CommitId,
        theirs: &CommitId,
        request: &CommitRequest,
    ) -> Result<Merged, Error> {
        self.guarded(|| crate::merge::merge_onto(&self.repo, ours, base, theirs, request))
    }

    fn join(&self, theirs: &CommitId, names: (&str, &str), request: &CommitRequest) -> Result<Joined, Error> {
        self.guarded(|| crate::merge::join(&self.repo, theirs, names, request))
    }

    fn revert(&self, commit: &CommitId, request: &CommitRequest) -> Result<Merged, Error> {
        self.guarded(|| crate::merge::revert(&self.repo, commit, request))
    }

    fn merge_base(&self, ours: &CommitId, theirs: &CommitId) -> Result<Option<CommitId>, Error> {
        self.guarded(|| crate::ancestors::merge_base(&self.repo, ours, theirs))
    }

    fn changed_by(
        &self,
        base: &CommitId,
        source: &CommitId,
        overlaid: Vec<Overlaid>,
    ) -> Result<Vec<Overlaid>, Error> {
        self.guarded(|| crate::overlay::changed_by(&self.repo, base, source, overlaid))
    }

    fn still_marked(&self, merge: &CommitId, paths: &[String]) -> Result<Vec<String>, Error> {
        self.guarded(|| crate::merge::still_marked(&self.repo, merge, paths))
    }

    fn push(&self, remote: &Remote, branch: &str, old: &CommitId, new: &CommitId) -> Result<(), PushError> {
        crate::push::push(self, remote, branch, Expected::Head(old), new)
    }

    fn create_branch(
        &self,
        remote: &Remote,
        branch: &str,
        base: &CommitId,
        new: &CommitId,
    ) -> Result<(), PushError> {
        crate::push::push(self, remote, branch, Expected::Absent(base), new)
    }

    fn remote_head(&self, remote: &Remote, branch: &str) -> Result<Option<CommitId>, Error> {
        crate::fetch::remote_head(self, remote, branch)
    }

    fn commits_of_run(
        &self,
        head: &CommitId,
        run: &RunId,
        by: &Identity,
        commits_max: usize,
    ) -> Result<Vec<CommitId>, Error> {
        self.guarded(|| crate::history::commits_of_run(&self.repo, head, run, by, commits_max))
    }

    fn latest_subjects(
        &self,
        heads: &[&CommitId],
        count: usize,
        commits_max: usize,
    ) -> Result<Vec<String>, Error> {
        self.guarded(|| crate::history::latest_subjects(&self.repo, heads, count, commits_max))
    }

    fn trailer(&self, commit: &CommitId, name: &str) -> Result<Option<String>, Error> {
        self.guarded(|| crate::history::trailer(&self.repo, commit, name))
    }

    fn first_parent(&self, commit: &CommitId) -> Result<CommitId, Error> {
        self.guarded(|| crate::history::first_parent(&self.repo, commit))
    }

    fn patch(&self, old: &CommitId, new: &CommitId) -> Result<Patch, Error> {
        self.guarded(|| crate::patch::patch(&self.repo, old, new))
    }
}

/// The head of the one branch without which there is nothing to work on.
fn head_of(heads: Vec<Option<CommitId>>, branch: &str) -> Result<CommitId, Error> {
    heads
        .into_iter()
        .flatten()
        .next()
        .ok_or_else(|| Error::BranchGone {
            branch: branch.to_owned(),
        })
}

/// Where a mirror's packs are.
pub(crate) fn pack_directory(repo: &gix::Repository) -> PathBuf {
    repo.objects.store_ref().path().join("pack")
}
