//! What a run adds to the disk: in its directories, and in files that no directory names any more.

mod free;
mod walk;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, Stat, Uid};

use self::free::Free;
use self::walk::Walk;
use super::held::Totals;
use super::slice::Slice;

/// How much of a processor one look may use for walking before it pauses until the next; with [`super::watch`]'s pace a
/// tenth of a core.
const WALK_SLICE: Duration = Duration::from_millis(25);
/// The same while the disk's free space says that the run may be over its limit; with that pace two thirds of a core.
const PRESSED_SLICE: Duration = Duration::from_millis(100);
/// What any name in a directory counts for at least, as on the disk a small file does: empty files and further names of a
/// file take no room that could be counted, and take time to be walked through.
const ENTRY_BYTES: u64 = 4 * 1024;
/// The disk's free space below which a run is ended, whoever filled it: the worker's own files need room.
const FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;
/// Files that can still be made on the disk, below which a run is ended likewise.
const FREE_FILES_MIN: u64 = 16_384;
/// So many looks in a row may see descriptors on their way, with the disk fuller by more than the limit and nothing of it
/// to be found, before that is taken for this run's doing.
const IN_FLIGHT_LOOKS_MAX: u32 = 4;
/// The unit of `st_blocks`, whatever the file system's own is.
const BLOCK_BYTES: u64 = 512;

/// Disk use of one run.
pub(super) struct Disk {
    /// Held, because who looks may not be able to get there by a path.
    tops: Rc<[OwnedFd]>,
    /// Who looks.
    user: Uid,
    /// What was there before the program started.
    before: u64,
    free_before: Free,
    limit_bytes: u64,
    least: Free,
    /// What the last complete walk found.
    in_directories: u64,
    walk: Option<Walk>,
    walk_begun: Instant,
    free_then: Free,
    /// What was free when the last walk began that found the run within its limit, and when that was.
    free_within: Free,
    within: Instant,
    pressed: bool,
    in_flight_looks: u32,
}

impl Disk {
    /// Opens a run's directories, for [`Self::measure`].
    pub(super) fn open(tops: [&PathBuf; 3]) -> Result<Rc<[OwnedFd]>, String> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::PATH | OFlags::CLOEXEC;
        let open = |top: &PathBuf| {
            rustix::fs::open(top, flags, Mode::empty()).map_err(|error| format!("{}: {error}", top.display()))
        };
        tops.into_iter().map(open).collect()
    }

    /// Measures what is in `tops`, as `user`. Takes as long as a whole walk does.
    pub(super) fn measure(tops: Rc<[OwnedFd]>, user: Uid, limit_bytes: u64) -> Result<Self, String> {
        let before = Walk::of(&tops, user).finish()?;
        let free = Free::on(&tops)?;
        Ok(Self {
            before,
            free_before: free,
            limit_bytes,
            // A disk that is nearly full already is not this run's doing.
            least: Free {
                bytes: FREE_BYTES_MIN.min(free.bytes / 2),
                files: FREE_FILES_MIN.min(free.files / 2),
            },
            in_directories: before,
            walk: None,
            walk_begun: Instant::now(),
            free_then: free,
            free_within: free,
            within: Instant::now(),
            pressed: false,
            in_flight_looks: 0,
            user,
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

    /// Whether so much has gone from the disk that the run may be over its limit: looking is urgent then.
    pub(super) fn is_pressed(&self) -> bool {
        self.pressed
    }

    /// Whether the run has added more than it may, with what its processes `hold`. A large tree is walked in slices, one per
    /// call. Fails where that cannot be told.
    pub(super) fn is_over(&mut self, hold: &Totals) -> Result<bool, String> {
        let now = Instant::now();
        let free = Free::on(&self.tops)?;
        if free.bytes < self.least.bytes || free.files < self.least.files {
            return Ok(true);
        }
        let left = self.limit_bytes.saturating_sub(self.added(hold));
        let pressed = self.free_within.lost_at_most(&free) > left;
        if pressed && !self.pressed {
            // Most of what makes it urgent is likely to be where the walk has been already: sooner found from the start.
            self.walk = None;
        }
        self.pressed = pressed;
        let slice = Slice::of(if self.pressed { PRESSED_SLICE } else { WALK_SLICE });
        let mut walk = self.walk.take().unwrap_or_else(|| {
            self.walk_begun = now;
            self.free_then = free;
            Walk::of(&self.tops, self.user)
        });
        let done = walk.go_on(&slice)?;
        // Also of an unfinished walk: what it has counted is there.
        self.in_directories = if done {
            walk.bytes()
        } else {
            self.in_directories.max(walk.bytes())
        };
        if !done {
            self.walk = Some(walk);
        }
        let added = self.added(hold);
        let over = added > self.limit_bytes || self.is_hidden(hold, &free, added);
        if done && !over {
            self.within = self.walk_begun;
            self.free_within = self.free_then;
        }
        Ok(over)
    }

    fn added(&self, hold: &Totals) -> u64 {
        self.in_directories.saturating_sub(self.before) + hold.nameless_bytes
    }

    /// A file that is open nowhere but on its way from one process to another is not to be seen. That there is something on
    /// its way is, and that the disk is fuller.
    fn is_hidden(&mut self, hold: &Totals, free: &Free, added: u64) -> bool {
        let unexplained = self.free_before.lost_bytes(free).saturating_sub(added);
        if hold.in_flight && unexplained > self.limit_bytes {
            self.in_flight_looks += 1;
        } else {
            self.in_flight_looks = 0;
        }
        self.in_flight_looks >= IN_FLIGHT_LOOKS_MAX
    }
}

pub(super) fn allocated(stat: &Stat) -> u64 {
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

    /// Three directories of a run, and what watches them.
    fn measured(dir: &tempfile::TempDir, limit_bytes: u64) -> ([PathBuf; 3], Disk) {
        let tops = ["a", "b", "c"].map(|name| dir.path().join(name));
        for top in &tops {
            fs::create_dir(top).unwrap();
        }
        write(&mut File::create(tops[0].join("before")).unwrap(), 3 * MIB);
        let open = Disk::open([&tops[0], &tops[1], &tops[2]]).unwrap();
        let disk = Disk::measure(open, rustix::process::geteuid(), limit_bytes).unwrap();
        (tops, disk)
    }

    #[test]
    fn files_count_where_they_are_and_once_and_those_from_before_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let (tops, mut disk) = measured(&dir, 2 * MIB);
        let nothing = Totals::default();
        assert_eq!(disk.is_over(&nothing), Ok(false));
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
        assert_eq!(disk.is_over(&nothing), Ok(false), "1.5 MiB were added");
        let held = Totals {
            nameless_bytes: MIB,
            ..Totals::default()
        };
        assert_eq!(disk.is_over(&held), Ok(true), "and a file without a name");
        write(&mut File::create(tops[2].join("more")).unwrap(), MIB);
        assert_eq!(disk.is_over(&nothing), Ok(true), "2.5 MiB were added");
    }

    #[test]
    fn names_count_though_nothing_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let (tops, mut disk) = measured(&dir, 200 * ENTRY_BYTES);
        for number in 0..150 {
            File::create(tops[1].join(number.to_string())).unwrap();
        }
        assert_eq!(disk.is_over(&Totals::default()), Ok(false), "150 files");
        for number in 0..100 {
            fs::hard_link(tops[1].join("0"), tops[2].join(number.to_string())).unwrap();
        }
        assert_eq!(disk.is_over(&Totals::default()), Ok(true), "250 names");
    }

    #[test]
    fn looking_is_urgent_when_the_disk_has_lost_what_the_run_may_still_add() {
        let dir = tempfile::tempdir().unwrap();
        let (_tops, mut disk) = measured(&dir, 1 << 40);
        assert_eq!(disk.is_over(&Totals::default()), Ok(false));
        assert!(!disk.is_pressed(), "nobody has taken a terabyte");
        disk.free_within.bytes += 1 << 41;
        assert_eq!(disk.is_over(&Totals::default()), Ok(false));
        assert!(disk.is_pressed());
        // The walk has found nothing: what is missing was taken by others.
        assert_eq!(disk.is_over(&Totals::default()), Ok(false));
        assert!(!disk.is_pressed());
    }

    #[test]
    fn what_is_on_its_way_while_the_disk_fills_is_the_runs() {
        let dir = tempfile::tempdir().unwrap();
        let (_tops, mut disk) = measured(&dir, 1 << 40);
        disk.free_before.bytes += 1 << 41;
        for _ in 0..IN_FLIGHT_LOOKS_MAX * 2 {
            assert_eq!(
                disk.is_over(&Totals::default()),
                Ok(false),
                "nothing is on its way"
            );
        }
        let on_its_way = Totals {
            in_flight: true,
            ..Totals::default()
        };
        for _ in 1..IN_FLIGHT_LOOKS_MAX {
            assert_eq!(disk.is_over(&on_its_way), Ok(false));
        }
        assert_eq!(disk.is_over(&on_its_way), Ok(true));
        // The control: a disk that is no fuller.
        let dir = tempfile::tempdir().unwrap();
        let (_tops, mut disk) = measured(&dir, 1 << 40);
        for _ in 0..IN_FLIGHT_LOOKS_MAX * 2 {
            assert_eq!(disk.is_over(&on_its_way), Ok(false));
        }
    }
}
