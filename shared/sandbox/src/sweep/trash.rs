//! Removing whole directories, however deep: each is moved into one flat directory first, so that neither the stack
//! nor the number of open files nor the length of a path grows with the depth.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::beneath::{self, Opened};
use super::{Clock, SweepError};

/// Names read at a time from a directory that is being emptied, so that memory does not grow with it.
const NAMES_AT_ONCE: usize = 4_096;
/// Names tried for the directory; an agent can have taken some.
const NAMES_TRIED_MAX: u32 = 1_000;

/// A directory of our own in the tree.
pub(super) struct Trash {
    name: CString,
    directory: OwnedFd,
    taken: u64,
    waiting: Vec<CString>,
}

impl Trash {
    /// Makes it at the top of the tree, the one place that is sure to be on the same file system.
    pub(super) fn inside(root: &OwnedFd) -> Result<Self, SweepError> {
        let what = "making a directory for what is removed";
        for number in 0..NAMES_TRIED_MAX {
            let name = c_string(format!(".removed-{}-{number}", std::process::id()));
            match rustix::fs::mkdirat(root, &name, Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(SweepError::io(what)(error)),
            }
            return match beneath::open_directory(root, name.to_bytes())? {
                Opened::Yes { directory, .. } => Ok(Self {
                    name,
                    directory,
                    taken: 0,
                    waiting: Vec::new(),
                }),
                Opened::NotOurs | Opened::Changed => Err(SweepError::io(what)(Errno::ACCESS)),
            };
        }
        Err(SweepError::io(what)(Errno::EXIST))
    }

    /// Its own name.
    pub(super) fn name(&self) -> &CStr {
        &self.name
    }

    /// Moves the directory `name` of `from` here.
    pub(super) fn take(&mut self, from: BorrowedFd<'_>, name: &CStr) -> Result<(), SweepError> {
        // A directory can be moved elsewhere only by someone who may write into it.
        match beneath::open_directory(from, name.to_bytes())? {
            Opened::Yes { .. } => {}
            Opened::NotOurs => return Err(SweepError::io("removing a directory")(Errno::ACCESS)),
            Opened::Changed => return Ok(()),
        }
        let here = c_string(self.taken.to_string());
        self.taken += 1;
        rustix::fs::renameat(from, name, &self.directory, &here)
            .map_err(SweepError::io("removing a directory"))?;
        self.waiting.push(here);
        Ok(())
    }

    /// Removes everything that is here.
    pub(super) fn empty(&mut self, clock: &mut Clock) -> Result<(), SweepError> {
        while let Some(name) = self.waiting.pop() {
            let Opened::Yes { directory, .. } =
                beneath::open_directory(self.directory.as_fd(), name.to_bytes())?
            else {
                return Err(SweepError::io("removing a directory")(Errno::ACCESS));
            };
            loop {
                let names = some_names(&directory)?;
                if names.is_empty() {
                    break;
                }
                for (inner, kind) in names {
                    clock.tick()?;
                    if kind == FileType::Directory {
                        self.take(directory.as_fd(), &inner)?;
                    } else {
                        beneath::unlink(&directory, &inner)?;
                    }
                }
            }
            rustix::fs::unlinkat(&self.directory, &name, AtFlags::REMOVEDIR)
                .map_err(SweepError::io("removing a directory"))?;
        }
        Ok(())
    }

    /// Removes the directory itself, which has to be empty.
    pub(super) fn remove(self, root: &OwnedFd) -> Result<(), SweepError> {
        rustix::fs::unlinkat(root, &self.name, AtFlags::REMOVEDIR)
            .map_err(SweepError::io("removing what was removed"))
    }
}

/// Some of the names in a directory, with what they are; none when it is empty.
pub(super) fn some_names(directory: &OwnedFd) -> Result<Vec<(CString, FileType)>, SweepError> {
    let what = "reading a directory that is removed";
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory).map_err(SweepError::io(what))? {
        let entry = entry.map_err(SweepError::io(what))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .map(|stat| FileType::from_raw_mode(stat.st_mode))
                .map_err(SweepError::io(what))?,
            kind => kind,
        };
        names.push((name.to_owned(), kind));
        if names.len() >= NAMES_AT_ONCE {
            break;
        }
    }
    Ok(names)
}

fn c_string(text: String) -> CString {
    CString::new(text).expect("digits and dashes have no NUL")
}
