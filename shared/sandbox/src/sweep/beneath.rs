//! Opening and changing what is beneath a descriptor, and nothing else.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::SweepError;

/// What came of opening a directory.
pub(super) enum Opened {
    /// It can be read and changed now.
    Yes { directory: OwnedFd, repaired: bool },
    /// It is another user's and closed to us.
    NotOurs,
    /// It is not there any more, or not a directory.
    Changed,
}

/// Opens `path` beneath `root`: no component of it may be a link or lie on another mount.
pub(super) fn open(root: impl AsFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    rustix::fs::openat2(
        root,
        path,
        flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV,
    )
}

/// Opens a directory for reading, and gives its owner, which may be us, every right to it first. No path: `root`.
pub(super) fn open_directory(root: impl AsFd, path: &[u8]) -> Result<Opened, SweepError> {
    let what = "opening a directory of the work tree";
    let place = if path.is_empty() {
        // Not as ".", which a directory that is closed does not have for us.
        rustix::io::fcntl_dupfd_cloexec(root, 0)
    } else {
        open(root, path, OFlags::PATH | OFlags::DIRECTORY)
    };
    let place = match place {
        Ok(place) => place,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(Opened::Changed),
        Err(error) => return Err(SweepError::io(what)(error)),
    };
    let stat = rustix::fs::fstat(&place).map_err(SweepError::io(what))?;
    let wanted = (stat.st_mode & 0o777) | 0o700;
    let repaired = stat.st_mode & 0o7777 != wanted;
    if repaired {
        match repair(&place, wanted) {
            Ok(()) => {}
            Err(Errno::PERM) => return Ok(Opened::NotOurs),
            Err(error) => return Err(SweepError::io(what)(error)),
        }
    }
    match open(&place, b"", OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(directory) => Ok(Opened::Yes { directory, repaired }),
        Err(Errno::ACCESS | Errno::PERM) => Ok(Opened::NotOurs),
        Err(error) => Err(SweepError::io(what)(error)),
    }
}

/// Changes the mode of what `opened` is, which may be a mere place (`O_PATH`): by its number, as `fchmod` refuses
/// places and a name could be something else by now.
pub(super) fn repair(opened: &OwnedFd, mode: u32) -> rustix::io::Result<()> {
    rustix::fs::chmod(
        format!("/proc/self/fd/{}", opened.as_raw_fd()),
        Mode::from_raw_mode(mode),
    )
}

/// Removes a name that is no directory's. That it is gone already is as good.
pub(super) fn unlink(directory: &OwnedFd, name: &CStr) -> Result<(), SweepError> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(SweepError::io("removing a file of the work tree")(error)),
    }
}
