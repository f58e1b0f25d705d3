//! The planted files: the worker's secret, and the tree of another run.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use tempfile::TempDir;

use crate::probe::plan::Places;
use crate::probe::planted;

/// The folder of one self-test; removed when dropped.
#[derive(Debug)]
pub(super) struct Files {
    folder: TempDir,
}

impl Files {
    /// Plants them. `user` owns the other run's tree: the agents' user, where it is not the worker's own.
    pub(super) fn plant(canary: &str, user: Option<u32>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("sandbox-self-test-").tempdir()?;
        let files = Self { folder };
        let outside = files.outside();
        let other_run = outside.join(planted::OTHER_RUN);
        fs::create_dir_all(&other_run)?;
        for place in [files.cell().work_tree, files.cell().home, files.cell().tmp] {
            fs::create_dir_all(place)?;
        }
        let secret = outside.join(planted::SECRET);
        fs::write(&secret, canary)?;
        fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
        for name in planted::EXPENDABLE.iter().chain([&planted::SOURCE]) {
            let file = other_run.join(name);
            fs::write(&file, canary)?;
            chown(&file, user, user)?;
        }
        chown(&other_run, user, user)?;
        if user.is_some() {
            // Another user must not be kept out by these folders: the sandbox is what is tested.
            fs::set_permissions(files.folder.path(), Permissions::from_mode(0o711))?;
            fs::set_permissions(&outside, Permissions::from_mode(0o755))?;
        }
        Ok(files)
    }

    /// Where nobody inside a cell may get to.
    pub(super) fn outside(&self) -> std::path::PathBuf {
        self.folder.path().join("outside")
    }

    /// The places of the battery's cell.
    pub(super) fn cell(&self) -> Places {
        let cell = self.folder.path().join("cell");
        Places {
            work_tree: cell.join("work"),
            home: cell.join("home"),
            tmp: cell.join("tmp"),
        }
    }
}

/// Lets everybody use a planted socket or terminal: the sandbox is what is tested.
pub(super) fn open_to_all(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o666))
}
