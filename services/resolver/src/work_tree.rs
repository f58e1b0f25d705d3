//! The directory an agent works in, and its home beside it. Gone when the attempt is over.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;

/// The directory of all work trees, held by one process: another one's sweep would take the ground from its agents.
pub(crate) struct WorkDirectory {
    path: PathBuf,
    _lock: File,
}

impl WorkDirectory {
    /// Takes the directory and removes what earlier processes left behind.
    pub(crate) fn take(path: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let lock = path.with_extension("lock");
        let file = File::create(&lock).with_context(|| format!("cannot open {}", lock.display()))?;
        if file.try_lock().is_err() {
            anyhow::bail!(
                "another resolver works in {}: give each one a data_dir of its own",
                path.display()
            );
        }
        for entry in std::fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))? {
            remove_directory(&entry?.path());
        }
        Ok(Self { path, _lock: file })
    }
}

/// One attempt's directories.
pub(crate) struct WorkTree {
    root: PathBuf,
    tree: PathBuf,
    home: PathBuf,
}

impl WorkTree {
    /// Makes fresh, empty directories.
    pub(crate) fn create(work: &WorkDirectory, run: &RunId, attempt: u32) -> Result<Self, Failure> {
        let root = work.path.join(format!("{run}-{attempt}"));
        let made = Self {
            tree: root.join("tree"),
            home: root.join("home"),
            root,
        };
        made.make().map_err(|error| {
            let cause = anyhow::Error::new(error).context(format!("cannot make {}", made.root.display()));
            Failure::retry(FailureCode::Internal, cause)
        })?;
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

    fn make(&self) -> io::Result<()> {
        remove_whatever_its_modes(&self.root)?;
        std::fs::create_dir_all(&self.tree)?;
        std::fs::create_dir_all(&self.home)
    }
}

impl Drop for WorkTree {
    /// On a thread that may block: a large tree takes longer to remove than a job may be without a sign of life.
    fn drop(&mut self) {
        let root = std::mem::take(&mut self.root);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove_directory(&root))),
            Err(_) => remove_directory(&root),
        }
    }
}

/// A directory that cannot be removed costs disk, not correctness: the next start sweeps again.
fn remove_directory(path: &Path) {
    if let Err(error) = remove_whatever_its_modes(path) {
        tracing::warn!(path = %path.display(), %error, "cannot remove a work tree");
    }
}

/// Removes a directory, also one in which an agent took away its own right to write: build tools make their caches
/// read-only. Nothing is done where nothing is.
fn remove_whatever_its_modes(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            std::fs::remove_dir_all(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Gives us every right to a directory and those below it. Links are not followed. The list of what is left to open
/// is kept here, not on the stack: an agent may nest directories deeper than a stack is.
fn open_up(path: &Path) -> io::Result<()> {
    let mut closed = vec![path.to_owned()];
    while let Some(directory) = closed.pop() {
        std::fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                closed.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
}
