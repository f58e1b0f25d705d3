//! What processes have open.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::seen;
use crate::inner::disk::allocated;
use crate::inner::process::{self, Process};

/// What the kernel may keep for a socket: the usual size of its buffer (`net.core.wmem_default` of 208 KiB) and what
/// administers it. A run cannot make it larger (`calls.rs`).
const SOCKET_BYTES: u64 = 256 * 1024;
/// For a pipe: the usual size, likewise.
const PIPE_BYTES: u64 = 64 * 1024;
/// For any descriptor: an open file, its name and its inode.
const DESCRIPTOR_BYTES: u64 = 4 * 1024;

/// Bytes of each file, by its inode number. One number on two file systems is taken for one file.
pub(super) type Files = HashMap<u64, u64>;

/// Everything open of one run.
#[derive(Default)]
pub(super) struct Open {
    /// Files that no directory names.
    pub(super) files: Files,
    sockets: HashSet<u64>,
    pipes: HashSet<u64>,
    descriptors: u64,
    /// Descriptors that were sent through a socket and not yet received.
    pub(super) in_flight: u64,
}

impl Open {
    /// Adds what a process has open; fails where it is closed to us. Goes no further than until the kernel keeps more than
    /// `enough` bytes for all of it: then it does not matter any more.
    pub(super) fn read(&mut self, process: &Process, enough: u64) -> Result<(), String> {
        let place = process.shown_in();
        let Some(mut descriptors) = seen(process, open(&place.join("fd")))? else {
            return Ok(());
        };
        while let Some(Ok(descriptor)) = descriptors.read() {
            let name = descriptor.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.descriptors += 1;
            // Through the link in /proc: this asks about the open file, whatever its name is now.
            let at = descriptors.fd().map_err(|error| error.to_string())?;
            let stat = rustix::fs::statat(at, name, AtFlags::empty()).map_err(io::Error::from);
            let Some(stat) = seen(process, stat)? else {
                continue;
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile if is_nameless(&stat) => {
                    self.files.insert(stat.st_ino, allocated(&stat));
                }
                FileType::Socket if self.sockets.insert(stat.st_ino) => {
                    let name = OsStr::from_bytes(name.to_bytes());
                    self.in_flight += waiting_in(&place.join("fdinfo").join(name));
                }
                FileType::Fifo => {
                    self.pipes.insert(stat.st_ino);
                }
                _ => {}
            }
            if self.kernel_bytes(0) > enough {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.values().sum()
    }

    /// What the kernel may keep for all of it; of `descriptors`, where there are more than were read.
    pub(super) fn kernel_bytes(&self, descriptors: u64) -> u64 {
        let of = |kind: &HashSet<u64>, bytes| kind.len() as u64 * bytes;
        // What is on its way may be a socket.
        of(&self.sockets, SOCKET_BYTES)
            + of(&self.pipes, PIPE_BYTES)
            + self.in_flight * SOCKET_BYTES
            + self.descriptors.max(descriptors) * DESCRIPTOR_BYTES
    }
}

/// How many descriptors a process has; 0 where this kernel (before 6.2) does not tell without reading them.
pub(super) fn count(process: &Process) -> u64 {
    rustix::fs::stat(process.shown_in().join("fd")).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
}

fn open(directory: &Path) -> io::Result<Dir> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(Dir::new(rustix::fs::open(directory, flags, Mode::empty())?)?)
}

pub(super) fn is_nameless(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 0
}

/// How many descriptors wait in a unix socket to be received.
fn waiting_in(descriptor: &Path) -> u64 {
    let told = process::text_of(descriptor).unwrap_or_default();
    let waiting = told.lines().find_map(|line| line.strip_prefix("scm_fds:"));
    waiting.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{IoSlice, Write as _};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn here() -> Process {
        Process {
            pid: rustix::process::getpid(),
            threads: 1,
            headless: false,
        }
    }

    fn everything() -> Open {
        let mut open = Open::default();
        open.read(&here(), u64::MAX).unwrap();
        open
    }

    #[test]
    fn deleted_files_count_while_they_are_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deleted");
        let mut file = File::create(&path).unwrap();
        file.write_all(&vec![7; usize::try_from(3 * MIB).unwrap()])
            .unwrap();
        file.sync_all().unwrap();
        let inode = rustix::fs::fstat(&file).unwrap().st_ino;
        assert_eq!(everything().files.get(&inode), None, "it has a name");
        fs::remove_file(&path).unwrap();
        assert!(everything().files[&inode] >= 3 * MIB);
        drop(file);
        assert_eq!(everything().files.get(&inode), None, "it is gone");
    }

    #[test]
    fn sockets_and_pipes_are_charged_for_once_each() {
        let sockets = UnixStream::pair().unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        let again = sockets.0.try_clone().unwrap();
        let open = everything();
        let number = |file: std::os::fd::BorrowedFd<'_>| rustix::fs::fstat(file).unwrap().st_ino;
        for socket in [sockets.0.as_fd(), sockets.1.as_fd(), again.as_fd()] {
            assert!(open.sockets.contains(&number(socket)));
        }
        assert!(open.pipes.contains(&number(reader.as_fd())));
        let (sockets, pipes) = (open.sockets.len() as u64, open.pipes.len() as u64);
        assert_eq!(
            open.kernel_bytes(0),
            sockets * SOCKET_BYTES
                + pipes * PIPE_BYTES
                + open.in_flight * SOCKET_BYTES
                + open.descriptors * DESCRIPTOR_BYTES
        );
        assert!(open.kernel_bytes(1_000_000) >= 1_000_000 * DESCRIPTOR_BYTES);
        assert!(count(&here()) >= 5, "{}", count(&here()));
        // Enough is enough.
        let mut some = Open::default();
        some.read(&here(), DESCRIPTOR_BYTES).unwrap();
        assert!(some.descriptors < open.descriptors && some.kernel_bytes(0) > DESCRIPTOR_BYTES);
    }

    #[test]
    fn what_is_sent_and_not_received_is_seen_to_be_on_its_way() {
        let (sender, receiver) = UnixStream::pair().unwrap();
        let number = rustix::fs::fstat(&receiver).unwrap().st_ino;
        let waiting = || {
            let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
            let own = descriptors
                .filter(|descriptor| {
                    rustix::fs::stat(descriptor.path()).is_ok_and(|stat| stat.st_ino == number)
                })
                .map(|descriptor| Path::new("/proc/self/fdinfo").join(descriptor.file_name()));
            own.map(|path| waiting_in(&path)).max().unwrap()
        };
        assert_eq!(waiting(), 0);
        let file = tempfile::tempfile().unwrap();
        let files = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        assert!(rights.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(&sender, &[IoSlice::new(b"x")], &mut rights, SendFlags::empty()).unwrap();
        assert_eq!(waiting(), 1);
    }
}
