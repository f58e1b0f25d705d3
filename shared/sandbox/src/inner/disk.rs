//! What a run adds to the disk: in its directories, and in files that no directory names any more.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::process::Process;

/// How long one look may walk before it pauses until the next; with [`super::watch`]'s pace a tenth of a core.
const WALK_SLICE: Duration = Duration::from_millis(25);
/// Directories below directories that are walked into; each holds a descriptor open. What is deeper is seen only by the
/// free space of the disk.
const DEPTH_MAX: usize = 800;
/// The disk's free space below which a run is ended, whoever filled it: the worker's own files need room.
const FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;
/// The unit of `st_blocks`, whatever the file system's own is.
const BLOCK_BYTES: u64 = 512;

/// Disk use of one run.
pub(super) struct Disk {
    tops: Vec<PathBuf>,
    /// What was there before the program started.
    before: u64,
    limit_bytes: u64,
    free_bytes_min: u64,
    /// What the last complete walk found.
    in_directories: u64,
    walk: Option<Walk>,
}

impl Disk {
    /// Measures what is there. Takes as long as a whole walk does.
    pub(super) fn measure(tops: [&PathBuf; 3], limit_bytes: u64) -> Self {
        let tops: Vec<PathBuf> = tops.into_iter().cloned().collect();
        let before = Walk::of(&tops).finish();
        // A disk that is nearly full already is not this run's doing.
        let free = tops.iter().filter_map(|top| free_bytes(top)).min();
        Self {
            before,
            limit_bytes,
            free_bytes_min: free.map_or(0, |free| FREE_BYTES_MIN.min(free / 2)),
            in_directories: before,
            walk: None,
            tops,
        }
    }

    /// Whether the run has added more than it may. A large tree is walked in slices, one per call.
    pub(super) fn is_over(&mut self, processes: &[Process]) -> bool {
        let free = self.tops.iter().filter_map(|top| free_bytes(top)).min();
        if free.is_some_and(|free| free < self.free_bytes_min) {
            return true;
        }
        let mut walk = self.walk.take().unwrap_or_else(|| Walk::of(&self.tops));
        let done = walk.go_on(Instant::now() + WALK_SLICE);
        // Also of an unfinished walk: what it has counted is there.
        self.in_directories = if done {
            walk.bytes
        } else {
            self.in_directories.max(walk.bytes)
        };
        if !done {
            self.walk = Some(walk);
        }
        let added = self.in_directories.saturating_sub(self.before) + deleted_but_open(processes);
        added > self.limit_bytes
    }
}

/// What is free for the run's user on the disk of `path`.
fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

fn allocated(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK_BYTES
}

/// A walk through directories that can be interrupted. By descriptors, following nothing.
struct Walk {
    tops: Vec<PathBuf>,
    open: Vec<Dir>,
    /// Files with more names than one, which count once.
    linked: HashSet<(u64, u64)>,
    bytes: u64,
}

impl Walk {
    fn of(tops: &[PathBuf]) -> Self {
        Self {
            tops: tops.to_vec(),
            open: Vec::new(),
            linked: HashSet::new(),
            bytes: 0,
        }
    }

    fn finish(mut self) -> u64 {
        while !self.step() {}
        self.bytes
    }

    /// Walks until `deadline`; true at the end.
    fn go_on(&mut self, deadline: Instant) -> bool {
        /// The clock is asked once in so many entries.
        const ENTRIES: usize = 64;
        while Instant::now() < deadline {
            for _ in 0..ENTRIES {
                if self.step() {
                    return true;
                }
            }
        }
        false
    }

    /// One entry; true at the end. What is gone or closed is passed over.
    fn step(&mut self) -> bool {
        let Some(directory) = self.open.last_mut() else {
            let Some(top) = self.tops.pop() else { return true };
            self.enter(open_top(&top));
            return false;
        };
        let Some(Ok(entry)) = directory.read() else {
            self.open.pop();
            return false;
        };
        let name = entry.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            self.count(&name);
        }
        false
    }

    fn count(&mut self, name: &CString) {
        let Some(Ok(directory)) = self.open.last().map(Dir::fd) else {
            return;
        };
        let Ok(stat) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
            return;
        };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_directory || stat.st_nlink < 2 || self.linked.insert((stat.st_dev, stat.st_ino)) {
            self.bytes += allocated(&stat);
        }
        if is_directory && self.open.len() < DEPTH_MAX {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            self.enter(rustix::fs::openat(directory, name, flags, Mode::empty()));
        }
    }

    fn enter(&mut self, directory: Result<OwnedFd, Errno>) {
        if let Ok(directory) = directory.and_then(Dir::new) {
            self.open.push(directory);
        }
    }
}

fn open_top(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Bytes of files that have no name any more and are held open by one of `processes`.
fn deleted_but_open(processes: &[Process]) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for process in processes {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            // Through the link in /proc: this asks about the open file, whatever its name is now.
            let Ok(stat) = rustix::fs::stat(descriptor.path()) else {
                continue;
            };
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            if is_file && stat.st_nlink == 0 && seen.insert((stat.st_dev, stat.st_ino)) {
                bytes += allocated(&stat);
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn write(file: &mut File, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap();
        file.write_all(&vec![7; bytes]).unwrap();
        file.sync_all().unwrap();
    }

    fn here() -> Vec<Process> {
        let pid = rustix::process::getpid();
        vec![Process { pid, threads: 1 }]
    }

    #[test]
    fn files_count_where_they_are_and_once_and_those_from_before_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let tops = ["a", "b", "c"].map(|name| dir.path().join(name));
        for top in &tops {
            fs::create_dir(top).unwrap();
        }
        write(&mut File::create(tops[0].join("before")).unwrap(), 3 * MIB);
        let mut disk = Disk::measure([&tops[0], &tops[1], &tops[2]], 2 * MIB);
        assert!(!disk.is_over(&[]));
        fs::create_dir_all(tops[1].join("x/y")).unwrap();
        write(
            &mut File::create(tops[1].join("x/y/after")).unwrap(),
            MIB + MIB / 2,
        );
        fs::hard_link(tops[1].join("x/y/after"), tops[1].join("again")).unwrap();
        std::os::unix::fs::symlink("/", tops[2].join("elsewhere")).unwrap();
        File::create(tops[2].join("sparse"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        assert!(!disk.is_over(&[]), "1.5 MiB were added");
        write(&mut File::create(tops[2].join("more")).unwrap(), MIB);
        assert!(disk.is_over(&[]), "2.5 MiB were added");
    }

    #[test]
    fn deleted_files_count_while_they_are_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deleted");
        let mut file = File::create(&path).unwrap();
        write(&mut file, 3 * MIB);
        let named = deleted_but_open(&here());
        fs::remove_file(&path).unwrap();
        assert!(deleted_but_open(&here()) >= named + 3 * MIB);
    }
}
