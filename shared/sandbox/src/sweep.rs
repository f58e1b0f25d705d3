//! Makes the tree an agent leaves behind safe to read: no repository in it, nothing that hangs or is not a file,
//! nothing closed, and no more of anything than may be read (sandbox.md Handing the tree back).
//!
//! Only after everything of the agent's is dead. All the same nothing is reached by a name that could lead elsewhere:
//! every directory is opened beneath one descriptor, with links, magic links and mounts refused.

mod beneath;
mod links;
mod names;
mod removal;
mod swept;
mod trash;

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, OFlags, Stat};
use rustix::io::Errno;

use beneath::{Opened, repair};
use links::Links;
pub use removal::remove;
pub use swept::{Removed, SweepError, Swept, Why, Withheld};
use trash::Trash;

/// How much of a tree is gone through, and what of it may be read afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepRules {
    /// Directories within one another; what is deeper is removed. No shallower than trees that are checked out.
    pub depth_max: usize,
    /// Bytes of a path below the tree; what is longer is removed. No shorter than those that are checked out.
    pub path_bytes_max: usize,
    /// Everything with a name, build litter included; more ends the sweep.
    pub entries_max: u64,
    /// Bytes of one file that may be read; larger ones are withheld.
    pub file_bytes_max: u64,
    /// Bytes of all files that may be read; more ends the sweep.
    pub total_bytes_max: u64,
    /// How long it may take; longer ends it.
    pub time_limit: Duration,
}

impl Default for SweepRules {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            depth_max: 128,
            path_bytes_max: 3_000,
            // A large repository beside two large build directories.
            entries_max: 2_000_000,
            file_bytes_max: 256 * MIB,
            // Build directories count, too, and are larger than what is in git.
            total_bytes_max: 65_536 * MIB,
            // A hundred thousand files take a second or two.
            time_limit: Duration::from_secs(120),
        }
    }
}

/// Entries between two looks at the clock.
const CLOCK_EVERY: u64 = 256;
/// Memory for names and paths that are remembered at one time. The largest trees need a tenth of it; the longest paths
/// that there may be, so many times, would need gigabytes, and a sweep is made in the process that serves all runs.
const HELD_BYTES_MAX: usize = 256 << 20;
/// What remembering a path costs beside the path itself.
const HELD_BYTES_EACH: usize = 64;
/// Paths of which nothing may be taken; a tree with more of them is no work.
const WITHHELD_MAX: usize = 10_000;

/// Sweeps the directory `tree`. Blocks for at most the rules' time limit.
pub fn sweep(tree: &Path, rules: &SweepRules) -> Result<Swept, SweepError> {
    let clock = Clock::for_at_most(rules.time_limit);
    let root = rustix::fs::open(
        tree,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(SweepError::io("opening the work tree"))?;
    let mut sweep = Sweep {
        root,
        rules,
        clock,
        trash: None,
        links: Links::default(),
        held_bytes: 0,
        swept: Swept::default(),
    };
    let mut waiting = vec![Place::default()];
    while let Some(place) = waiting.pop() {
        sweep.let_go(place.path.len());
        sweep.directory(&place, &mut waiting)?;
    }
    sweep.finish()
}

/// The time that is left.
struct Clock {
    until: Instant,
    limit: Duration,
    ticks: u64,
}

impl Clock {
    fn for_at_most(limit: Duration) -> Self {
        Self {
            until: Instant::now() + limit,
            limit,
            ticks: 0,
        }
    }

    fn tick(&mut self) -> Result<(), SweepError> {
        self.ticks += 1;
        if self.ticks.is_multiple_of(CLOCK_EVERY) && Instant::now() > self.until {
            return Err(SweepError::TimeOut {
                seconds: self.limit.as_secs(),
            });
        }
        Ok(())
    }
}

/// A directory of the tree.
#[derive(Default)]
struct Place {
    path: Vec<u8>,
    depth: usize,
}

impl Place {
    fn child(&self, name: &[u8]) -> Vec<u8> {
        // Exactly as much as is needed: there may be many.
        let mut path = Vec::with_capacity(self.path.len() + 1 + name.len());
        path.extend_from_slice(&self.path);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }
}

struct Sweep<'a> {
    /// Opened as a place only: the agent may have closed it to us.
    root: OwnedFd,
    rules: &'a SweepRules,
    clock: Clock,
    trash: Option<Trash>,
    links: Links,
    held_bytes: usize,
    swept: Swept,
}

impl Sweep<'_> {
    fn directory(&mut self, place: &Place, waiting: &mut Vec<Place>) -> Result<(), SweepError> {
        let opened = match beneath::open_directory(&self.root, &place.path)? {
            Opened::Yes { directory, repaired } => {
                self.swept.repaired += u64::from(repaired);
                directory
            }
            Opened::NotOurs => return self.withhold(place.path.clone(), Why::NotOurs),
            Opened::Changed => return self.withhold(place.path.clone(), Why::Changed),
        };
        for name in self.names(&opened)? {
            self.entry(&opened, place, &name, waiting)?;
            self.let_go(name.count_bytes());
        }
        Ok(())
    }

    /// Remembers one more path of this length.
    fn hold(&mut self, length: usize) -> Result<(), SweepError> {
        self.held_bytes += length + HELD_BYTES_EACH;
        if self.held_bytes > HELD_BYTES_MAX {
            return Err(SweepError::TooMuch {
                what: "the names of all files in the work tree, in bytes,",
                limit: HELD_BYTES_MAX as u64,
            });
        }
        Ok(())
    }

    fn let_go(&mut self, length: usize) {
        self.held_bytes = self.held_bytes.saturating_sub(length + HELD_BYTES_EACH);
    }

    fn names(&mut self, directory: &OwnedFd) -> Result<Vec<std::ffi::CString>, SweepError> {
        let what = "reading a directory of the work tree";
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(directory).map_err(SweepError::io(what))? {
            let entry = entry.map_err(SweepError::io(what))?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            self.clock.tick()?;
            self.swept.entries += 1;
            if self.swept.entries > self.rules.entries_max {
                return Err(SweepError::TooMuch {
                    what: "the number of files in the work tree",
                    limit: self.rules.entries_max,
                });
            }
            self.hold(entry.file_name().count_bytes())?;
            names.push(entry.file_name().to_owned());
        }
        Ok(names)
    }

    fn entry(
        &mut self,
        directory: &OwnedFd,
        place: &Place,
        name: &std::ffi::CStr,
        waiting: &mut Vec<Place>,
    ) -> Result<(), SweepError> {
        self.clock.tick()?;
        let path = place.child(name.to_bytes());
        let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(SweepError::io("looking at a file of the work tree")(error)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if let Some(why) = self.unwanted(place, name.to_bytes(), &path, kind) {
            self.remove(directory, name, kind)?;
            // Something tracked may have stood here; that it is gone was not the agent's to decide.
            if why == Why::Special {
                self.withhold(path.clone(), why)?;
            }
            self.swept.note_removed(path, why);
            return Ok(());
        }
        match kind {
            FileType::Directory => {
                self.hold(path.len())?;
                waiting.push(Place {
                    path,
                    depth: place.depth + 1,
                });
                Ok(())
            }
            FileType::RegularFile => self.file(directory, name, path, &stat),
            _ => Ok(()),
        }
    }

    /// Why an entry has to go. None of these can be in a tree that was checked out.
    fn unwanted(&self, place: &Place, name: &[u8], path: &[u8], kind: FileType) -> Option<Why> {
        if names::is_dot_git(name) {
            return Some(if name != b".git" {
                Why::GitSpelling
            } else if place.depth == 0 {
                Why::Repository
            } else {
                Why::NestedRepository
            });
        }
        match kind {
            FileType::Directory if place.depth + 1 > self.rules.depth_max => Some(Why::TooDeep),
            _ if path.len() > self.rules.path_bytes_max => Some(Why::TooDeep),
            FileType::Directory | FileType::RegularFile | FileType::Symlink => None,
            _ => Some(Why::Special),
        }
    }

    fn file(
        &mut self,
        directory: &OwnedFd,
        name: &std::ffi::CStr,
        path: Vec<u8>,
        stat: &Stat,
    ) -> Result<(), SweepError> {
        // Readable and writable by its owner, and no set-id bits; whether it is executable is the agent's business.
        let wanted = (stat.st_mode & 0o777) | 0o600;
        if stat.st_mode & 0o7777 != wanted {
            match beneath::open(directory, name.to_bytes(), OFlags::PATH) {
                Ok(opened) => match repair(&opened, wanted) {
                    Ok(()) => self.swept.repaired += 1,
                    Err(Errno::PERM) => return self.withhold(path, Why::NotOurs),
                    Err(error) => return Err(SweepError::io("opening up a file of the work tree")(error)),
                },
                Err(Errno::NOENT | Errno::LOOP | Errno::XDEV) => return self.withhold(path, Why::Changed),
                Err(error) => return Err(SweepError::io("opening a file of the work tree")(error)),
            }
        }
        let bytes = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if bytes > self.rules.file_bytes_max {
            return self.withhold(path, Why::TooLarge);
        }
        self.swept.bytes = self.swept.bytes.saturating_add(bytes);
        if self.swept.bytes > self.rules.total_bytes_max {
            return Err(SweepError::TooMuch {
                what: "all files in the work tree, in bytes,",
                limit: self.rules.total_bytes_max,
            });
        }
        if stat.st_nlink > 1 {
            self.hold(path.len())?;
            self.links.see(stat, path);
        }
        Ok(())
    }

    fn remove(
        &mut self,
        directory: &OwnedFd,
        name: &std::ffi::CStr,
        kind: FileType,
    ) -> Result<(), SweepError> {
        if kind != FileType::Directory {
            return beneath::unlink(directory, name);
        }
        let trash = match &mut self.trash {
            Some(trash) => trash,
            none => none.insert(Trash::inside(&self.root)?),
        };
        trash.take(directory.as_fd(), name)?;
        trash.empty(&mut self.clock)
    }

    fn withhold(&mut self, path: Vec<u8>, why: Why) -> Result<(), SweepError> {
        if self.swept.withheld.len() >= WITHHELD_MAX {
            return Err(SweepError::TooMuch {
                what: "the number of files that cannot be taken",
                limit: WITHHELD_MAX as u64,
            });
        }
        self.swept.withheld.push(Withheld { path, why });
        Ok(())
    }

    fn finish(mut self) -> Result<Swept, SweepError> {
        for path in std::mem::take(&mut self.links).leading_out() {
            self.withhold(path, Why::LinkedElsewhere)?;
        }
        if let Some(trash) = self.trash.take() {
            trash.remove(&self.root)?;
        }
        self.swept.write_notes();
        Ok(self.swept)
    }
}
