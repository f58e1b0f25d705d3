//! What a run adds to the disk: in its directories, and in files that no directory names any more.

mod nameless;
mod walk;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::Stat;

use self::nameless::Nameless;
use self::walk::Walk;
use super::process::Process;

/// How long one look may walk before it pauses until the next; with [`super::watch`]'s pace a tenth of a core.
const WALK_SLICE: Duration = Duration::from_millis(25);
/// The disk's free space below which a run is ended, whoever filled it: the worker's own files need room.
const FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;
/// Files that can still be made on the disk, below which a run is ended likewise.
const FREE_FILES_MIN: u64 = 16_384;
/// The unit of `st_blocks`, whatever the file system's own is.
const BLOCK_BYTES: u64 = 512;

/// Disk use of one run.
pub(super) struct Disk {
    tops: Vec<PathBuf>,
    /// What was there before the program started.
    before: u64,
    limit_bytes: u64,
    least: Free,
    /// What the last complete walk found.
    in_directories: u64,
    walk: Option<Walk>,
    walk_begun: Instant,
    /// When the last walk began that found the run within its limit.
    within: Instant,
    nameless: Nameless,
}

impl Disk {
    /// Measures what is there. Takes as long as a whole walk does.
    pub(super) fn measure(tops: [&PathBuf; 3], limit_bytes: u64) -> Result<Self, String> {
        let tops: Vec<PathBuf> = tops.into_iter().cloned().collect();
        let before = Walk::of(&tops).finish()?;
        let free = Free::on(&tops)?;
        Ok(Self {
            before,
            limit_bytes,
            // A disk that is nearly full already is not this run's doing.
            least: Free {
                bytes: FREE_BYTES_MIN.min(free.bytes / 2),
                files: FREE_FILES_MIN.min(free.files / 2),
            },
            in_directories: before,
            walk: None,
            walk_begun: Instant::now(),
            within: Instant::now(),
            nameless: Nameless::default(),
            tops,
        })
    }

    /// The program was started now; what it does not yet have done needs no walk to be known.
    pub(super) fn started(&mut self) {
        self.within = Instant::now();
    }

    /// When the run was last known to be within its limit.
    pub(super) fn within(&self) -> Instant {
        self.within
    }

    /// Whether the run has added more than it may. A large tree is walked in slices, one per call. Fails where that cannot
    /// be told.
    pub(super) fn is_over(&mut self, processes: &[Process]) -> Result<bool, String> {
        let now = Instant::now();
        let free = Free::on(&self.tops)?;
        if free.bytes < self.least.bytes || free.files < self.least.files {
            return Ok(true);
        }
        let mut walk = self.walk.take().unwrap_or_else(|| {
            self.walk_begun = now;
            Walk::of(&self.tops)
        });
        let done = walk.go_on(now + WALK_SLICE)?;
        // Also of an unfinished walk: what it has counted is there.
        self.in_directories = if done {
            walk.bytes()
        } else {
            self.in_directories.max(walk.bytes())
        };
        if !done {
            self.walk = Some(walk);
        }
        let added = self.in_directories.saturating_sub(self.before) + self.nameless.bytes(processes);
        let over = added > self.limit_bytes;
        if done && !over {
            self.within = self.walk_begun;
        }
        Ok(over)
    }
}

/// What is free for the run's user.
struct Free {
    bytes: u64,
    files: u64,
}

impl Free {
    /// On the fullest of the disks that `tops` are on.
    fn on(tops: &[PathBuf]) -> Result<Self, String> {
        let mut least = Self {
            bytes: u64::MAX,
            files: u64::MAX,
        };
        for top in tops {
            let free = Self::at(top).map_err(|error| format!("the disk of {}: {error}", top.display()))?;
            least.bytes = least.bytes.min(free.bytes);
            least.files = least.files.min(free.files);
        }
        Ok(least)
    }

    fn at(path: &Path) -> rustix::io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Self {
            bytes: stat.f_bavail * stat.f_frsize,
            // Some file systems do not count files.
            files: if stat.f_files == 0 {
                u64::MAX
            } else {
                stat.f_favail
            },
        })
    }
}

fn allocated(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK_BYTES
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn write(file: &mut File, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap();
        file.write_all(&vec![7; bytes]).unwrap();
        file.sync_all().unwrap();
    }

    #[test]
    fn files_count_where_they_are_and_once_and_those_from_before_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let tops = ["a", "b", "c"].map(|name| dir.path().join(name));
        for top in &tops {
            fs::create_dir(top).unwrap();
        }
        write(&mut File::create(tops[0].join("before")).unwrap(), 3 * MIB);
        let mut disk = Disk::measure([&tops[0], &tops[1], &tops[2]], 2 * MIB).unwrap();
        assert_eq!(disk.is_over(&[]), Ok(false));
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
        assert_eq!(disk.is_over(&[]), Ok(false), "1.5 MiB were added");
        write(&mut File::create(tops[2].join("more")).unwrap(), MIB);
        assert_eq!(disk.is_over(&[]), Ok(true), "2.5 MiB were added");
    }
}
