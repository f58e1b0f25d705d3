//! What the worker, the warden outside the cell and the first process inside it say to each other.
//!
//! One message is one packet on a SEQPACKET socket pair: a byte that says where the JSON is (behind it, or in a memory
//! file that comes along), then the JSON. Descriptors travel with it (`SCM_RIGHTS`).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{How, Needs};
use crate::level::Level;
use crate::limits::CellLimits;

/// JSON up to this size travels in the packet itself; a socket's buffer holds several of them.
const INLINE_BYTES_MAX: usize = 16 * 1024;
/// The kernel takes 2 MiB of arguments and environment; as JSON arrays of bytes that is at most four times as much.
const MESSAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A memory file and the program's three streams.
const DESCRIPTORS_MAX: usize = 4;

/// Where the JSON of a packet is.
const INLINE: u8 = 0;
const IN_MEMORY_FILE: u8 = 1;

/// From the worker inwards.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Build this cell.
    Open(Box<Plan>),
    /// Start this program in it. Its standard output and error come along, before them its standard input if `stdin`.
    Start(Launch),
    /// Kill everything, for this reason.
    Kill(How),
}

/// Towards the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Notice {
    /// The cell stands. The listener comes along, where one was bound inside.
    Ready(Ready),
    /// The program runs.
    Started,
    /// The cell could not be built, or the program not be started. Everything of it is gone.
    Failed(Failure),
    /// The program has ended; what it left behind may still run. From the first process inside to the warden.
    Exited(How),
    /// The run is over and everything of it is dead.
    Ended(Ended),
    /// Everything was killed, and something is still there.
    NotKilled(String),
}

/// The cell to build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) level: Level,
    pub(crate) work_tree: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) tmp: PathBuf,
    pub(crate) executable: PathBuf,
    pub(crate) read_paths: Vec<PathBuf>,
    pub(crate) needs: Needs,
    /// Whether to bind a listener inside; only where there is a network of the run's own.
    pub(crate) bind_listener: bool,
    /// The worker's listener for this run, where it is outside.
    pub(crate) model_port: Option<u16>,
    pub(crate) limits: CellLimits,
    /// The user to become, when started as root.
    pub(crate) user: Option<u32>,
}

/// The program to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Launch {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Whether a descriptor for its standard input comes along.
    pub(crate) stdin: bool,
}

/// What the built cell is like.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Whether landlock holds. Level 2 stands without it.
    pub(crate) landlock: bool,
    /// Whether the cell has a `/proc` of its own.
    pub(crate) own_proc: bool,
}

/// What went wrong, told without types that cannot travel.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// A step of building the cell.
    Cell(String),
    /// The program could not be executed: this errno.
    Program(i32),
    /// The run's user cannot get to a directory.
    Unreachable {
        user: u32,
        path: PathBuf,
        closed: PathBuf,
    },
}

/// The end of a run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) how: How,
    pub(crate) memory_peak_bytes: u64,
    pub(crate) left_behind: u32,
    /// Since when a limit that the warden looks at may have been passed, until the kill was confirmed.
    pub(crate) over_for: Option<Duration>,
}

/// Two connected ends. Both are closed when a program is executed.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message with descriptors. Blocks only if the other side has left many messages unread.
pub(crate) fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let file = if json.len() > INLINE_BYTES_MAX {
        let file = rustix::fs::memfd_create("message", MemfdFlags::CLOEXEC)?;
        File::from(file.try_clone()?).write_all(&json)?;
        Some(file)
    } else {
        None
    };
    let mut all: Vec<BorrowedFd<'_>> = file.iter().map(AsFd::as_fd).collect();
    all.extend_from_slice(descriptors);
    let packet = match file {
        Some(_) => vec![IN_MEMORY_FILE],
        None => [&[INLINE], json.as_slice()].concat(),
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !all.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&all)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    rustix::net::sendmsg(
        socket,
        &[IoSlice::new(&packet)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives one message and its descriptors; `None` when the other side is gone.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut packet = vec![0; 1 + INLINE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut take = |ancillary: &mut RecvAncillaryBuffer<'_>| {
        rustix::net::recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut packet)],
            ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
    };
    let received = match take(&mut ancillary) {
        // Said once when the other side was closed with messages unread; what it sent before comes after.
        Err(Errno::CONNRESET) => take(&mut ancillary),
        received => received,
    }?;
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(io::Error::other("a message was cut off"));
    }
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let message = match packet[..received.bytes].split_first() {
        None => return Ok(None),
        Some((&INLINE, json)) => serde_json::from_slice(json)?,
        Some((&IN_MEMORY_FILE, _)) if !descriptors.is_empty() => {
            serde_json::from_slice(&read_whole(descriptors.remove(0))?)?
        }
        Some(_) => return Err(io::Error::other("a message of an unknown form")),
    };
    Ok(Some((message, descriptors)))
}

fn read_whole(file: OwnedFd) -> io::Result<Vec<u8>> {
    let file = File::from(file);
    let length = file.metadata()?.len();
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    let mut json = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut json, 0)?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_every_size_arrive_with_their_descriptors() {
        for length in [0, 10, INLINE_BYTES_MAX - 2, INLINE_BYTES_MAX, 3_000_000] {
            let (here, there) = pair().unwrap();
            let sent = "x".repeat(length);
            let (reader, writer) = io::pipe().unwrap();
            send(&here, &sent, &[writer.as_fd()]).unwrap();
            drop(writer);
            let (received, descriptors) = receive::<String>(&there).unwrap().unwrap();
            assert_eq!(received, sent);
            let [writer] = <[OwnedFd; 1]>::try_from(descriptors).unwrap();
            File::from(writer).write_all(b"through").unwrap();
            assert_eq!(io::read_to_string(reader).unwrap(), "through");
        }
    }

    #[test]
    fn a_closed_end_is_an_end_and_not_an_error_and_what_it_said_before_arrives() {
        let (here, there) = pair().unwrap();
        send(&here, &"unread", &[]).unwrap();
        send(&there, &"last words", &[]).unwrap();
        drop(there);
        assert_eq!(receive::<String>(&here).unwrap().unwrap().0, "last words");
        assert!(receive::<String>(&here).unwrap().is_none());
        let (here, there) = pair().unwrap();
        drop(there);
        assert!(receive::<String>(&here).unwrap().is_none());
    }
}
