//! The directory an agent works in, and its home beside it. Gone when the attempt is over.

use std::fs::File;
use std::io;
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

    /// Removes everything now rather than when dropped.
    pub(crate) fn remove(self) {
        drop(self);
    }

    fn make(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::create_dir_all(&self.tree)?;
        std::fs::create_dir_all(&self.home)
    }
}

impl Drop for WorkTree {
    fn drop(&mut self) {
        remove_directory(&self.root);
    }
}

/// A directory that cannot be removed costs disk, not correctness: the next start sweeps again.
fn remove_directory(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a work tree");
    }
}
