//! Hogs that have the kernel keep what they take: none of it is a page that they look at, or a file that somebody could open.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::{PAGE_BYTES, PIECE_BYTES, deleted_file, fork, hold_for_ever, over};

/// Touches twice the limit, and looks away: the pages stay, and are nobody's.
pub(crate) fn unseen_shared_memory(limit: u64) -> io::Result<()> {
    for _ in 0..limit * 2 / PIECE_BYTES as u64 {
        #[expect(unsafe_code, reason = "shared anonymous memory has no safe wrapper")]
        // SAFETY: new memory at an address of the kernel's choice, never unmapped; it is as long as the slice made of it,
        // and looking away from shared memory leaves it as it is.
        unsafe {
            let (access, kind) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            );
            let start = libc::mmap(std::ptr::null_mut(), PIECE_BYTES, access, kind, -1, 0);
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let piece = std::slice::from_raw_parts_mut(start.cast::<u8>(), PIECE_BYTES);
            for byte in piece.iter_mut().step_by(PAGE_BYTES) {
                *byte = 1;
            }
            if libc::madvise(start, PIECE_BYTES, libc::MADV_DONTNEED) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    over();
    hold_for_ever()
}

/// So many sockets that their buffers hold twice the limit, all of them full.
pub(crate) fn sockets(limit: u64) -> io::Result<()> {
    /// `net.core.wmem_default` where nobody has changed it.
    const BUFFER_BYTES: u64 = 208 * 1024;
    let mut held = Vec::new();
    for _ in 0..limit * 2 / (2 * BUFFER_BYTES) {
        let (one, other) = UnixStream::pair()?;
        for mut end in [one, other] {
            // The larger buffer that it asks for it does not get.
            rustix::net::sockopt::set_socket_send_buffer_size(&end, 8 * PIECE_BYTES)?;
            end.set_nonblocking(true)?;
            fill_up(&mut end);
            held.push(OwnedFd::from(end));
        }
    }
    over();
    hold_for_ever()
}

/// So many pipes that they hold twice the limit. Beyond a number of them the kernel gives a user smaller ones.
pub(crate) fn pipes(limit: u64) -> io::Result<()> {
    const BUFFER_BYTES: u64 = 64 * 1024;
    let mut held = Vec::new();
    for _ in 0..limit * 2 / BUFFER_BYTES {
        let (reader, mut writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        fill_up(&mut writer);
        held.push((reader, writer));
    }
    over();
    hold_for_ever()
}

/// Until no more goes in.
fn fill_up(into: &mut impl io::Write) {
    let piece = [b'x'; 16 * 1024];
    while into.write(&piece).is_ok() {}
}

/// So many descriptors that what the kernel keeps for each is twice the limit, in several processes.
pub(crate) fn descriptors(limit: u64) -> io::Result<()> {
    const DESCRIPTOR_BYTES: u64 = 4096;
    const PROCESSES: usize = 8;
    let (mut reader, mut writer) = io::pipe()?;
    for _ in 0..PROCESSES {
        if fork() == 0 {
            let open = |_| File::open("/dev/null");
            let each = limit * 2 / DESCRIPTOR_BYTES / PROCESSES as u64;
            let _held = (0..each).map(open).collect::<io::Result<Vec<_>>>()?;
            writer.write_all(b"x")?;
            hold_for_ever();
        }
    }
    io::Read::read_exact(&mut reader, &mut [0; PROCESSES])?;
    over();
    hold_for_ever()
}

/// Writes into a file that has no name and is open only while it is written to: the rest of the time its one descriptor
/// waits in a socket.
pub(crate) fn file_in_flight(limit: u64) -> io::Result<()> {
    /// Others empty the same disk at the same time.
    const TIMES: u64 = 20;
    let (sender, receiver) = UnixStream::pair()?;
    let (mut file, piece) = (deleted_file()?, vec![b'x'; PIECE_BYTES]);
    let mut written = 0;
    while written < limit * TIMES {
        file.write_all(&piece)?;
        send(&sender, &file)?;
        drop(file);
        let millisecond = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000,
        };
        rustix::event::poll(&mut [], Some(&millisecond))?;
        file = receive(&receiver)?;
        if written <= limit && written + piece.len() as u64 > limit {
            over();
        }
        written += piece.len() as u64;
    }
    send(&sender, &file)?;
    drop(file);
    hold_for_ever()
}

fn send(sender: &UnixStream, file: &File) -> io::Result<()> {
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    rights.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(sender, &[IoSlice::new(b"x")], &mut rights, SendFlags::empty())?;
    Ok(())
}

fn receive(receiver: &UnixStream) -> io::Result<File> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut into = [IoSliceMut::new(&mut byte)];
    recvmsg(receiver, &mut into, &mut rights, RecvFlags::empty())?;
    let file = rights.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    file.map(File::from)
        .ok_or_else(|| io::Error::other("no file was received"))
}

/// Goes on as a program that its own user may execute and not read: to that user its process is closed.
pub(crate) fn closed_process(limit: u64) -> io::Result<()> {
    let name = "closed-program";
    if !fs::exists(name)? {
        let mut copy = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o700)
            .open(name)?;
        io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
        drop(copy);
        fs::set_permissions(name, fs::Permissions::from_mode(0o111))?;
        #[expect(clippy::disallowed_methods, reason = "it becomes that program")]
        return Err(std::process::Command::new(format!("./{name}"))
            .args(std::env::args_os().skip(1))
            .exec());
    }
    super::fill(deleted_file(), limit)
}
