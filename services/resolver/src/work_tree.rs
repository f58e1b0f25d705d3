//! The directory an agent works in, its home and its temporary files beside it. Gone when the attempt is over.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;

/// Tries to make a directory of one's own; each fails only when a sweep comes by in the same instant.
const TAKES_MAX: usize = 10;

/// In each process's directory, locked for as long as the process lives. The kernel frees it with the process.
const LOCK: &str = "lock";

/// In a process's directory of which something has to stay: the start of the machine in which it had to. Processes do
/// not outlive that.
const KEPT: &str = "kept";
/// Names the machine's present start.
const MACHINE_START: &str = "/proc/sys/kernel/random/boot_id";

/// The directory of one process's work trees, beside those of the others that share a `data_dir`.
pub(crate) struct WorkDirectory {
    path: PathBuf,
    /// Trees made so far: one of an attempt may still be removed while the same attempt makes another.
    made: AtomicU64,
    _lock: File,
}

impl WorkDirectory {
    /// Takes a new directory below `all`, and removes those of processes that are gone.
    pub(crate) fn take(all: impl AsRef<Path>) -> anyhow::Result<Self> {
        let all = all.as_ref();
        std::fs::create_dir_all(all).with_context(|| format!("cannot make {}", all.display()))?;
        let taken =
            Self::new_below(all).with_context(|| format!("cannot make a directory in {}", all.display()))?;
        let swept = taken.sweep(all);
        swept.with_context(|| format!("cannot read {}", all.display()))?;
        Ok(taken)
    }

    /// Directories as those of an attempt, for trying out whether agents can work here.
    pub(crate) fn trial(&self) -> anyhow::Result<WorkTree> {
        let root = self.path.join("trial");
        WorkTree::make_at(root.clone()).with_context(|| format!("cannot make {}", root.display()))
    }

    /// A name below this directory that no other tree of the process had.
    fn fresh(&self, name: &str) -> PathBuf {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("{name}-{number}"))
    }

    fn new_below(all: &Path) -> io::Result<Self> {
        let mut swept_away = io::Error::from(io::ErrorKind::NotFound);
        for _ in 0..TAKES_MAX {
            let path = tempfile::Builder::new()
                .prefix("process-")
                .tempdir_in(all)?
                .keep();
            match lock_in(&path) {
                Ok(lock) => {
                    return Ok(Self {
                        path,
                        made: AtomicU64::new(0),
                        _lock: lock,
                    });
                }
                // A sweep found it before it was locked.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock) => {
                    swept_away = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(swept_away)
    }

    /// Removes every other directory whose lock is free or missing, unless a run in it may still be alive.
    fn sweep(&self, all: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(all)? {
            let entry = entry?;
            let path = entry.path();
            if path == self.path || !entry.file_type()?.is_dir() {
                continue;
            }
            if has_to_stay(&path) {
                tracing::warn!(path = %path.display(), "kept: a run in it may still be alive; remove it by hand");
                continue;
            }
            match OpenOptions::new().write(true).open(path.join(LOCK)) {
                // Held while the directory goes, so that two sweeps do not fight over it.
                Ok(lock) if lock.try_lock().is_ok() => remove_directory(&path),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => remove_directory(&path),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot tell whose work this is");
                }
            }
        }
        Ok(())
    }
}

impl Drop for WorkDirectory {
    /// Leaves nothing behind where nothing is left; work trees that are still being removed are the next sweep's.
    fn drop(&mut self) {
        let emptied =
            std::fs::remove_file(self.path.join(LOCK)).and_then(|()| std::fs::remove_dir(&self.path));
        if let Err(error) = emptied {
            tracing::debug!(path = %self.path.display(), %error, "left for the next sweep");
        }
    }
}

/// Whether a run in the directory could be alive: one whose end nobody saw, since the machine was started.
fn has_to_stay(path: &Path) -> bool {
    match std::fs::read_to_string(path.join(KEPT)) {
        // Where it cannot be told when the machine was started, it stays.
        Ok(kept) => std::fs::read_to_string(MACHINE_START).map_or(true, |started| started == kept),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Makes and locks the lock of a directory. `NotFound` or `WouldBlock` when a sweep was quicker.
fn lock_in(path: &Path) -> io::Result<File> {
    let name = path.join(LOCK);
    let lock = File::create_new(&name)?;
    lock.try_lock().map_err(io::Error::from)?;
    // A sweep may have locked and removed the file before us; then ours is a lock that nobody sees.
    if std::fs::metadata(&name)?.ino() == lock.metadata()?.ino() {
        Ok(lock)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// One attempt's directories.
pub(crate) struct WorkTree {
    root: PathBuf,
    tree: PathBuf,
    home: PathBuf,
    tmp: PathBuf,
    stays: AtomicBool,
}

impl WorkTree {
    /// Makes fresh, empty directories.
    pub(crate) fn create(work: &WorkDirectory, run: &RunId, attempt: u32) -> Result<Self, Failure> {
        Self::create_at(work.fresh(&format!("{run}-{attempt}")))
    }

    /// The same for checks, which run in trees of their own: `side` tells an attempt's trees apart.
    pub(crate) fn create_for_checks(
        work: &WorkDirectory,
        run: &RunId,
        attempt: u32,
        side: &str,
    ) -> Result<Self, Failure> {
        Self::create_at(work.fresh(&format!("{run}-{attempt}-{side}")))
    }

    /// The same for a merge that an agent is to end, beside the tree of the source branch.
    pub(crate) fn create_for_merge(work: &WorkDirectory, run: &RunId, attempt: u32) -> Result<Self, Failure> {
        Self::create_at(work.fresh(&format!("{run}-{attempt}-merge")))
    }

    fn create_at(root: PathBuf) -> Result<Self, Failure> {
        Self::make_at(root.clone()).map_err(|error| {
            let cause = anyhow::Error::new(error).context(format!("cannot make {}", root.display()));
            Failure::retry(FailureCode::Internal, cause)
        })
    }

    fn make_at(root: PathBuf) -> io::Result<Self> {
        let made = Self {
            tree: root.join("tree"),
            home: root.join("home"),
            tmp: root.join("tmp"),
            stays: AtomicBool::new(false),
            root,
        };
        made.make()?;
        Ok(made)
    }

    /// Where the files are.
    pub(crate) fn path(&self) -> &Path {
        &self.tree
    }

    /// The agent's HOME.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Where the agent's temporary files go.
    pub(crate) fn tmp(&self) -> &Path {
        &self.tmp
    }

    /// Makes home and temporary files anew, for another program in the same tree; of those before it nothing is alive.
    pub(crate) async fn renew(&self) -> Result<(), Failure> {
        let places = [self.home.clone(), self.tmp.clone()];
        let made = tokio::task::spawn_blocking(move || {
            places.iter().try_for_each(|place| {
                remove(place)?;
                std::fs::create_dir_all(place)
            })
        });
        let made = made.await.map_err(io::Error::other).flatten();
        made.map_err(|error| {
            let cause = anyhow::Error::new(error).context("cannot make an agent's home anew");
            Failure::retry(FailureCode::Internal, cause)
        })
    }

    /// Keeps the directories as they are, also over restarts of this program: processes that may still be alive work in
    /// them.
    pub(crate) fn leave(&self) {
        self.stays.store(true, Ordering::Relaxed);
        let process = self.root.parent().unwrap_or(&self.root);
        let marked = std::fs::read_to_string(MACHINE_START)
            .and_then(|started| std::fs::write(process.join(KEPT), started));
        if let Err(error) = marked {
            tracing::error!(path = %process.display(), %error, "the next start may remove what has to stay");
        }
    }

    fn make(&self) -> io::Result<()> {
        remove(&self.root)?;
        std::fs::create_dir_all(&self.tree)?;
        std::fs::create_dir_all(&self.home)?;
        std::fs::create_dir_all(&self.tmp)
    }
}

impl Drop for WorkTree {
    /// On a thread that may block: a large tree takes longer to remove than a job may be without a sign of life.
    fn drop(&mut self) {
        if *self.stays.get_mut() {
            return;
        }
        let root = std::mem::take(&mut self.root);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove_directory(&root))),
            Err(_) => remove_directory(&root),
        }
    }
}

/// A directory that cannot be removed costs disk, not correctness: the next start sweeps again.
fn remove_directory(path: &Path) {
    if let Err(error) = remove(path) {
        tracing::warn!(path = %path.display(), %error, "cannot remove a work tree");
    }
}

/// Removes what agents could write to, as nothing of it can be trusted: not its modes, not its depth.
fn remove(path: &Path) -> io::Result<()> {
    sandbox::remove(path).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_tree_with_read_only_and_closed_directories_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let work = WorkDirectory::take(directory.path().join("work")).unwrap();
        let tree = WorkTree::create(&work, &RunId::new("r-0123456789ab").unwrap(), 1).unwrap();
        let outside = directory.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::set_permissions(&outside, Permissions::from_mode(0o500)).unwrap();
        let (cache, closed) = (tree.home().join("go/pkg/mod"), tree.path().join("closed/inner"));
        for path in [&cache, &closed] {
            std::fs::create_dir_all(path).unwrap();
            std::fs::write(path.join("file"), "x").unwrap();
        }
        std::os::unix::fs::symlink(&outside, cache.join("link")).unwrap();
        std::fs::set_permissions(&cache, Permissions::from_mode(0o555)).unwrap();
        std::fs::set_permissions(tree.path().join("closed"), Permissions::from_mode(0o000)).unwrap();
        let root = tree.root.clone();
        drop(tree);
        assert!(!root.exists());
        let mode = std::fs::metadata(&outside).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o500, "a link was followed");
    }

    #[test]
    fn processes_of_one_data_dir_leave_each_others_trees_and_sweep_those_of_the_dead() {
        let directory = tempfile::tempdir().unwrap();
        let all = directory.path().join("work");
        let run = RunId::new("r-0123456789ab").unwrap();
        // What processes leave behind that were killed: with a lock that nobody holds, and without one.
        for (dead, lock) in [("process-dead", true), ("r-00112233aabb-1", false)] {
            std::fs::create_dir_all(all.join(dead).join("tree")).unwrap();
            if lock {
                std::fs::write(all.join(dead).join(LOCK), "").unwrap();
            }
        }
        let first = WorkDirectory::take(&all).unwrap();
        let theirs = WorkTree::create(&first, &run, 1).unwrap();
        std::fs::write(theirs.path().join("file"), "x").unwrap();
        let second = WorkDirectory::take(&all).unwrap();
        let ours = WorkTree::create(&second, &run, 1).unwrap();
        assert_eq!(std::fs::read(theirs.path().join("file")).unwrap(), b"x");
        assert_ne!(theirs.path(), ours.path());
        assert_eq!(
            std::fs::read_dir(&all).unwrap().count(),
            2,
            "the dead were not swept"
        );
        drop((ours, second));
        assert!(theirs.path().join("file").exists());
        assert_eq!(std::fs::read_dir(&all).unwrap().count(), 1);
        drop((theirs, first));
        assert_eq!(std::fs::read_dir(&all).unwrap().count(), 0);
    }

    #[test]
    fn an_attempt_that_works_again_has_a_tree_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let work = WorkDirectory::take(directory.path().join("work")).unwrap();
        let run = RunId::new("r-0123456789ab").unwrap();
        let first = WorkTree::create(&work, &run, 1).unwrap();
        std::fs::write(first.path().join("file"), "x").unwrap();
        let again = WorkTree::create(&work, &run, 1).unwrap();
        assert!(!again.path().join("file").exists());
        drop(first);
        assert!(again.path().exists(), "it went with the first one");
    }

    #[test]
    fn what_may_be_alive_stays_until_the_machine_was_started_again() {
        let directory = tempfile::tempdir().unwrap();
        let all = directory.path().join("work");
        let work = WorkDirectory::take(&all).unwrap();
        let run = RunId::new("r-0123456789ab").unwrap();
        let tree = WorkTree::create(&work, &run, 1).unwrap();
        let over = WorkTree::create(&work, &run, 2).unwrap();
        let (root, over_root) = (tree.root.clone(), over.root.clone());
        tree.leave();
        drop((tree, over));
        assert!(root.exists() && !over_root.exists());
        // The process ends, and others start.
        drop(work);
        let next = WorkDirectory::take(&all).unwrap();
        assert!(root.exists(), "it was swept");
        // As it is found after another start of the machine.
        std::fs::write(root.parent().unwrap().join(KEPT), "another").unwrap();
        drop(next);
        drop(WorkDirectory::take(&all).unwrap());
        assert!(!root.exists());
    }

    #[test]
    fn a_directory_that_a_sweep_removed_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let gone = lock_in(&directory.path().join("gone")).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
