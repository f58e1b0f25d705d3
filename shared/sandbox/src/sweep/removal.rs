//! Removing a whole directory that an agent could write to, however deep it is and whatever its modes are.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{self, Opened};
use super::trash::{Trash, some_names};
use super::{Clock, SweepError};

/// How long it may take: ten million files, more than most disks can hold, take some minutes.
const TIME_LIMIT: Duration = Duration::from_mins(10);
/// The deepest place that is looked at to make room; a descriptor by its path reaches no deeper anyway.
const ROOM_PATH_BYTES_MAX: usize = 3_000;

/// Removes the directory `path` with everything in it. Nothing is done where nothing is. Blocks, for ten minutes at most.
///
/// Only when nobody who could change it is alive any more. All the same no link is followed, no other file system is
/// entered, and neither the stack nor the number of open files grows with the depth.
pub fn remove(path: &Path) -> Result<(), SweepError> {
    let what = "opening a directory that is removed";
    let root = match rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(SweepError::io(what)(error)),
    };
    let Opened::Yes { directory, .. } = beneath::open_directory(&root, b"")? else {
        return Err(SweepError::io(what)(Errno::ACCESS));
    };
    let mut clock = Clock::for_at_most(TIME_LIMIT);
    let mut trash = match Trash::inside(&root) {
        // Not even room for a directory: whoever filled the disk may have filled it with this.
        Err(error) if error.is_no_room() => {
            make_room(&root, &mut clock)?;
            Trash::inside(&root)?
        }
        made => made?,
    };
    loop {
        let mut names = some_names(&directory)?;
        names.retain(|(name, _)| name.as_c_str() != trash.name());
        if names.is_empty() {
            break;
        }
        for (name, kind) in names {
            clock.tick()?;
            discard(&directory, &name, kind, &mut trash)?;
        }
        trash.empty(&mut clock)?;
    }
    trash.remove(&root)?;
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(SweepError::io("removing an empty directory")(error)),
    }
}

fn discard(directory: &OwnedFd, name: &CStr, kind: FileType, trash: &mut Trash) -> Result<(), SweepError> {
    if kind == FileType::Directory {
        trash.take(directory.as_fd(), name)
    } else {
        beneath::unlink(directory, name)
    }
}

/// Removes the files, not the directories, that have paths of an ordinary length.
fn make_room(root: &OwnedFd, clock: &mut Clock) -> Result<(), SweepError> {
    let mut waiting: Vec<Vec<u8>> = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let Opened::Yes { directory, .. } = beneath::open_directory(root, &path)? else {
            continue;
        };
        for entry in rustix::fs::Dir::read_from(&directory).map_err(SweepError::io("making room"))? {
            clock.tick()?;
            let entry = entry.map_err(SweepError::io("making room"))?;
            let name: CString = entry.file_name().to_owned();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match rustix::fs::unlinkat(&directory, &name, rustix::fs::AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) => {
                    let inner = [path.as_slice(), name.to_bytes()].join(&b'/');
                    // Below the top there is nothing before the first slash.
                    let inner = inner.strip_prefix(b"/").map(<[u8]>::to_vec).unwrap_or(inner);
                    if inner.len() <= ROOM_PATH_BYTES_MAX {
                        waiting.push(inner);
                    }
                }
                Err(error) => return Err(SweepError::io("making room")(error)),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_of_files_wherever_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("home/cache");
        std::fs::create_dir_all(&inner).unwrap();
        for path in [directory.path(), &inner] {
            std::fs::write(path.join("file"), "x").unwrap();
            std::os::unix::fs::symlink("/", path.join("link")).unwrap();
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let root = rustix::fs::open(directory.path(), flags, Mode::empty()).unwrap();
        make_room(&root, &mut Clock::for_at_most(TIME_LIMIT)).unwrap();
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
