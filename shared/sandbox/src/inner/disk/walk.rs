//! A walk through a run's directories, counting what they hold while the run goes on changing them.
//!
//! It can be interrupted, follows nothing, and keeps one directory open however deep it is: back up it goes by `..`, and
//! sees by its number that it is where it came from.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use super::{ENTRY_BYTES, allocated};
use crate::inner::slice::Slice;

/// Directories within one another. No path that a program can name has more than 2,048 of them.
const DEPTH_MAX: usize = 10_000;
/// Bytes of the names of directories that are still to be walked into: more than half a million of them in one place.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Files with several names that are told apart; further ones count once for each name.
const LINKED_MAX: usize = 1_000_000;
/// What a directory needs of its owner to be walked through.
const OPEN_MODE: u32 = 0o500;
/// Nothing is followed.
const FLAGS: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory on the way from a top to where the walk is.
struct Place {
    /// In the directory above; `.` of a top.
    name: CString,
    id: (u64, u64),
    /// Directories in it that are still to be walked into.
    waiting: Vec<CString>,
    /// The mode it is to have again, which closed it to us.
    closed: Option<u32>,
}

/// How far a walk is.
pub(super) struct Walk {
    tops: Rc<[OwnedFd]>,
    /// The one after that which the walk is in.
    next_top: usize,
    /// Who walks.
    user: Uid,
    places: Vec<Place>,
    /// The last of `places`, with the rest of its entries while they are `unread`.
    here: Option<Dir>,
    unread: bool,
    waiting_bytes: usize,
    linked: HashSet<(u64, u64)>,
    bytes: u64,
}

impl Walk {
    /// Through `tops`, which may be mere places, as `user`.
    pub(super) fn of(tops: &Rc<[OwnedFd]>, user: Uid) -> Self {
        Self {
            tops: Rc::clone(tops),
            next_top: 0,
            user,
            places: Vec::new(),
            here: None,
            unread: false,
            waiting_bytes: 0,
            linked: HashSet::new(),
            bytes: 0,
        }
    }

    /// What was found until now.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Walks until the slice is over; true at the end. Fails where it cannot go on; what is gone, and what another user has
    /// closed, is passed over.
    pub(super) fn go_on(&mut self, slice: &Slice) -> Result<bool, String> {
        /// Clocks are asked once in so many steps.
        const STEPS: usize = 64;
        while !slice.is_over() {
            for _ in 0..STEPS {
                if self.step()? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Walks to the end.
    pub(super) fn finish(mut self) -> Result<u64, String> {
        while !self.step()? {}
        Ok(self.bytes)
    }

    /// One entry, or one directory further down or up; true at the end.
    fn step(&mut self) -> Result<bool, String> {
        let (Some(place), Some(here)) = (self.places.last_mut(), &mut self.here) else {
            if self.next_top == self.tops.len() {
                return Ok(true);
            }
            self.next_top += 1;
            if let Some(opened) = self.open_top()? {
                self.enter(c".".to_owned(), opened)?;
            }
            return Ok(false);
        };
        if self.unread {
            match here.read() {
                Some(Ok(entry)) => {
                    let name = entry.file_name();
                    if name != c"." && name != c".." {
                        self.count(name.to_owned())?;
                    }
                }
                // Its end, or it is gone.
                Some(Err(_)) | None => self.unread = false,
            }
            return Ok(false);
        }
        if let Some(name) = place.waiting.pop() {
            self.waiting_bytes -= name.as_bytes().len();
            if let Some(opened) = open(descriptor(here)?, &name, self.user)? {
                self.enter(name, opened)?;
            }
        } else {
            self.leave()?;
        }
        Ok(false)
    }

    fn count(&mut self, name: CString) -> Result<(), String> {
        let (Some(here), Some(place)) = (&self.here, self.places.last_mut()) else {
            return Ok(());
        };
        let Some(stat) = passable(rustix::fs::statat(
            descriptor(here)?,
            &name,
            AtFlags::SYMLINK_NOFOLLOW,
        ))?
        else {
            return Ok(());
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            self.bytes += allocated(&stat).max(ENTRY_BYTES);
            self.waiting_bytes += name.as_bytes().len();
            place.waiting.push(name);
            if self.waiting_bytes > WAITING_BYTES_MAX {
                return Err("it holds too many directories".into());
            }
        } else if stat.st_nlink < 2 || self.linked.len() >= LINKED_MAX || self.linked.insert(id(&stat)) {
            self.bytes += allocated(&stat).max(ENTRY_BYTES);
        } else {
            // One more name of a file that has been counted.
            self.bytes += ENTRY_BYTES;
        }
        Ok(())
    }

    /// The top that the walk is in.
    fn open_top(&self) -> Result<Option<Opened>, String> {
        let top = self.next_top.checked_sub(1).and_then(|top| self.tops.get(top));
        top.map_or(Ok(None), |top| open_place(top, self.user))
    }

    fn enter(&mut self, name: CString, opened: Opened) -> Result<(), String> {
        if self.places.len() >= DEPTH_MAX {
            return Err(format!(
                "more than {DEPTH_MAX} directories are within one another"
            ));
        }
        self.here = Some(Dir::new(opened.directory).map_err(|error| error.to_string())?);
        self.unread = true;
        self.places.push(Place {
            name,
            id: opened.id,
            waiting: Vec::new(),
            closed: opened.closed,
        });
        Ok(())
    }

    /// Goes up to the directory above, wherever the run has moved this one in the meantime.
    fn leave(&mut self) -> Result<(), String> {
        let (Some(left), Some(here)) = (self.places.pop(), self.here.take()) else {
            return Ok(());
        };
        let Some(above) = self.places.last() else {
            return close_again(descriptor(&here)?, left.closed);
        };
        self.unread = false;
        let up = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let up = passable(rustix::fs::openat(descriptor(&here)?, c"..", up, Mode::empty()))?;
        close_again(descriptor(&here)?, left.closed)?;
        if let Some(up) = up
            && rustix::fs::fstat(&up).is_ok_and(|stat| id(&stat) == above.id)
        {
            self.here = Some(Dir::new(up).map_err(|error| error.to_string())?);
            return Ok(());
        }
        self.find_again()
    }

    /// Goes down again from the top, as far as the way is still the same. What is not on it any more has been moved, and
    /// is met, or was, where it is now.
    fn find_again(&mut self) -> Result<(), String> {
        let mut found: Option<OwnedFd> = None;
        let mut known = 0;
        for place in &self.places {
            let opened = match &found {
                None => self.open_top()?,
                Some(here) => open(here, &place.name, self.user)?,
            };
            match opened {
                Some(opened) if opened.id == place.id => found = Some(opened.directory),
                _ => break,
            }
            known += 1;
        }
        for lost in self.places.drain(known..) {
            let lost: usize = lost.waiting.iter().map(|name| name.as_bytes().len()).sum();
            self.waiting_bytes -= lost;
        }
        self.here = found
            .map(Dir::new)
            .transpose()
            .map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// A directory that can be read and searched.
struct Opened {
    directory: OwnedFd,
    id: (u64, u64),
    /// The mode it had, if that closed it to its owner, who we are.
    closed: Option<u32>,
}

/// Opens a directory, also one of our own user's that is closed. `None` where it is gone, or another user's and closed.
fn open(at: impl AsFd, name: &CStr, user: Uid) -> Result<Option<Opened>, String> {
    let opened = match rustix::fs::openat(&at, name, FLAGS, Mode::empty()) {
        Err(Errno::ACCESS) => None,
        opened => match passable(opened)? {
            Some(opened) => Some(opened),
            None => return Ok(None),
        },
    };
    if let Some(directory) = opened {
        let stat = rustix::fs::fstat(&directory).map_err(|error| error.to_string())?;
        if !is_closed(&stat, user) {
            return Ok(Some(Opened {
                directory,
                id: id(&stat),
                closed: None,
            }));
        }
    }
    let place = rustix::fs::openat(at, name, FLAGS | OFlags::PATH, Mode::empty());
    passable(place)?.map_or(Ok(None), |place| open_place(&place, user))
}

/// Opens a directory that is known, whatever its path.
fn open_place(place: &OwnedFd, user: Uid) -> Result<Option<Opened>, String> {
    let stat = rustix::fs::fstat(place).map_err(|error| error.to_string())?;
    let closed = is_closed(&stat, user).then_some(stat.st_mode & 0o7777);
    if let Some(mode) = closed {
        // By its number: fchmod refuses mere places.
        let path = format!("/proc/self/fd/{}", place.as_raw_fd());
        passable(rustix::fs::chmod(path, Mode::from_raw_mode(mode | OPEN_MODE)))?;
    }
    let directory = passable(rustix::fs::openat(place, c".", FLAGS, Mode::empty()))?;
    Ok(directory.map(|directory| Opened {
        directory,
        id: id(&stat),
        closed,
    }))
}

/// Whether a directory is ours and closed to us. To root none is.
fn is_closed(stat: &Stat, user: Uid) -> bool {
    !user.is_root() && stat.st_uid == user.as_raw() && stat.st_mode & OPEN_MODE != OPEN_MODE
}

fn descriptor(directory: &Dir) -> Result<BorrowedFd<'_>, String> {
    directory.fd().map_err(|error| error.to_string())
}

/// Gives a directory the mode again that it had, unless somebody has changed it since.
fn close_again(directory: BorrowedFd<'_>, closed: Option<u32>) -> Result<(), String> {
    let Some(mode) = closed else { return Ok(()) };
    let stat = rustix::fs::fstat(directory).map_err(|error| error.to_string())?;
    if stat.st_mode & 0o7777 == mode | OPEN_MODE {
        passable(rustix::fs::fchmod(directory, Mode::from_raw_mode(mode)))?;
    }
    Ok(())
}

/// What the run may do to a directory at any time is passed over; that the machine has no more to give is not.
fn passable<T>(result: Result<T, Errno>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM | Errno::STALE) => {
            Ok(None)
        }
        Err(error) => Err(error.to_string()),
    }
}

fn id(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use rustix::process::geteuid;

    use super::*;

    fn tops(directory: &tempfile::TempDir) -> Rc<[OwnedFd]> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        Rc::new([rustix::fs::open(directory.path(), flags, Mode::empty()).unwrap()])
    }

    fn file(path: &Path) {
        fs::write(path, vec![7; 100_000]).unwrap();
        fs::File::open(path).unwrap().sync_all().unwrap();
    }

    #[test]
    fn it_goes_as_deep_as_there_are_directories() {
        let directory = tempfile::tempdir().unwrap();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut here = rustix::fs::open(directory.path(), flags, Mode::empty()).unwrap();
        for _ in 0..3_000 {
            rustix::fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
            here = rustix::fs::openat(&here, "d", flags, Mode::empty()).unwrap();
        }
        let empty = Walk::of(&tops(&directory), geteuid()).finish().unwrap();
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let end = rustix::fs::openat(&here, "end", flags, Mode::RUSR).unwrap();
        rustix::io::write(&end, &vec![7; 100_000]).unwrap();
        rustix::fs::fsync(&end).unwrap();
        let full = Walk::of(&tops(&directory), geteuid()).finish().unwrap();
        assert!(full >= empty + 100_000, "{empty} {full}");
        crate::remove(directory.path()).unwrap();
    }

    #[test]
    fn closed_directories_are_counted_and_closed_again() {
        let directory = tempfile::tempdir().unwrap();
        let before = Walk::of(&tops(&directory), geteuid()).finish().unwrap();
        let closed = directory.path().join("closed/inner");
        fs::create_dir_all(&closed).unwrap();
        file(&closed.join("file"));
        let mode =
            |mode| fs::set_permissions(closed.parent().unwrap(), Permissions::from_mode(mode)).unwrap();
        for bits in [0o300, 0o000, 0o600] {
            mode(bits);
            assert!(
                Walk::of(&tops(&directory), geteuid()).finish().unwrap() >= before + 100_000,
                "{bits:o}"
            );
            let stat = fs::metadata(closed.parent().unwrap()).unwrap();
            assert_eq!(stat.permissions().mode() & 0o777, bits);
        }
        mode(0o700);
    }

    #[test]
    fn a_top_that_is_closed_is_walked_through_and_closed_again() {
        let directory = tempfile::tempdir().unwrap();
        file(&directory.path().join("file"));
        let mode = |mode| fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
        let tops = tops(&directory);
        mode(0o000);
        assert!(Walk::of(&tops, geteuid()).finish().unwrap() >= 100_000);
        assert_eq!(
            fs::metadata(directory.path()).unwrap().permissions().mode() & 0o777,
            0
        );
        mode(0o700);
    }

    #[test]
    fn a_directory_that_is_moved_away_under_it_does_not_end_it() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a/b/c", "z"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        for name in ["a/b/c/file", "z/file", "file"] {
            file(&directory.path().join(name));
        }
        let mut walk = Walk::of(&tops(&directory), geteuid());
        while walk
            .places
            .last()
            .is_none_or(|place| place.name.as_c_str() != c"c")
        {
            assert!(!walk.step().unwrap(), "it comes by there");
        }
        fs::rename(directory.path().join("a/b/c"), directory.path().join("moved")).unwrap();
        while !walk.step().unwrap() {}
        assert!(walk.bytes() >= 300_000, "{}", walk.bytes());
    }
}
