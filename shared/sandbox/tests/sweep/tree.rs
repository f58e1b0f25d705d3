//! A directory to sweep, with something outside that must not change.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use sandbox::{SweepError, SweepRules, Swept, Why, sweep};
use tempfile::TempDir;

pub(crate) struct Tree {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self::inside(tempfile::tempdir().unwrap())
    }

    /// In memory where there is such a file system: making many files takes much longer than sweeping them.
    pub(crate) fn in_memory() -> Self {
        Self::inside(tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap()))
    }

    fn inside(directory: TempDir) -> Self {
        let path = directory.path().join("tree");
        fs::create_dir(&path).unwrap();
        let outside = directory.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        fs::set_permissions(outside.join("kept"), fs::Permissions::from_mode(0o400)).unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o500)).unwrap();
        Self { directory, path }
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.directory.path().join("outside")
    }

    pub(crate) fn file(&self, name: &str, content: &str) {
        let file = self.path.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    pub(crate) fn special(&self, name: &str, kind: FileType) {
        rustix::fs::mknodat(CWD, self.path.join(name), kind, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) {
        symlink(target, self.path.join(name)).unwrap();
    }

    pub(crate) fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A chain of directories, deeper than any path may be long.
    pub(crate) fn chain(&self, name: &str, depth: usize) {
        let mut at = rustix::fs::open(&self.path, OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mut next = name;
        for _ in 0..depth {
            rustix::fs::mkdirat(&at, next, Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, next, OFlags::DIRECTORY, Mode::empty()).unwrap();
            next = "d";
        }
        rustix::fs::openat(&at, "end", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
    }

    pub(crate) fn sweep(&self) -> Swept {
        self.sweep_within(&SweepRules::default()).unwrap()
    }

    pub(crate) fn sweep_within(&self, rules: &SweepRules) -> Result<Swept, SweepError> {
        let swept = sweep(&self.path, rules);
        self.check_outside();
        swept
    }

    pub(crate) fn check_outside(&self) {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let outside = self.outside();
        assert_eq!(
            (mode(&outside), mode(&outside.join("kept"))),
            (0o500, 0o400),
            "modes outside"
        );
        let names: Vec<_> = fs::read_dir(&outside)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["kept"], "files outside");
    }

    /// Every path in the tree, sorted.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        let mut waiting = vec![self.path.clone()];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    waiting.push(entry.path());
                }
                let path = entry.path().strip_prefix(&self.path).unwrap().to_owned();
                paths.push(path.to_string_lossy().into_owned());
            }
        }
        paths.sort();
        paths
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        rustix::fs::chmodat(CWD, self.outside(), Mode::RWXU, AtFlags::empty()).unwrap();
    }
}

/// Paths with reasons, for comparing.
pub(crate) fn removed(swept: &Swept) -> Vec<(String, Why)> {
    let mut removed: Vec<_> = swept
        .removed
        .iter()
        .map(|removed| (text(&removed.path), removed.why))
        .collect();
    removed.sort_by(|a, b| a.0.cmp(&b.0));
    removed
}

/// Paths with reasons, for comparing.
pub(crate) fn withheld(swept: &Swept) -> Vec<(String, Why)> {
    let mut withheld: Vec<_> = swept
        .withheld
        .iter()
        .map(|withheld| (text(&withheld.path), withheld.why))
        .collect();
    withheld.sort_by(|a, b| a.0.cmp(&b.0));
    withheld
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
