//! The planted System V objects, message queue, shared-memory file and terminal; all removed when dropped.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use super::plant_files::open_to_all;
use crate::probe::calls::{Arg, SMALL_QUEUE, call, descriptor, words};
use crate::probe::plan;

/// What is known by number or name all over the machine. Where a kernel lacks one, that one is not planted.
#[derive(Debug)]
pub(super) struct Ipc {
    pub(super) planted: plan::Ipc,
    terminal: Option<(OwnedFd, PathBuf)>,
}

impl Ipc {
    pub(super) fn plant(canary: &str) -> Self {
        let planted = plan::Ipc {
            shared_memory: identifier(call(
                libc::SYS_shmget,
                &mut [Arg::Int(0), Arg::Int(4096), for_all()],
            )),
            messages: identifier(call(libc::SYS_msgget, &mut [Arg::Int(0), for_all()])),
            semaphores: identifier(call(libc::SYS_semget, &mut [Arg::Int(0), Arg::Int(1), for_all()])),
            queue: make_queue(canary),
            file: make_file(canary),
        };
        let ipc = Self {
            planted,
            terminal: make_terminal(),
        };
        if let Some(id) = ipc.planted.messages {
            send(id, canary);
        }
        ipc
    }

    /// The end of the terminal that a person's shell would have.
    pub(super) fn terminal(&self) -> Option<&Path> {
        self.terminal.as_ref().map(|(_, path)| path.as_path())
    }
}

impl Drop for Ipc {
    fn drop(&mut self) {
        let remove = || Arg::Int(libc::IPC_RMID.into());
        let removed = [
            self.planted
                .shared_memory
                .map(|id| call(libc::SYS_shmctl, &mut [Arg::Int(id.into()), remove()])),
            self.planted
                .messages
                .map(|id| call(libc::SYS_msgctl, &mut [Arg::Int(id.into()), remove()])),
            self.planted.semaphores.map(|id| {
                call(
                    libc::SYS_semctl,
                    &mut [Arg::Int(id.into()), Arg::Int(0), remove()],
                )
            }),
            self.planted.queue.as_deref().map(unlink_queue),
            self.planted
                .file
                .as_ref()
                .map(|file| fs::remove_file(file).map(|()| 0)),
        ];
        for error in removed.into_iter().flatten().filter_map(Result::err) {
            tracing::warn!(%error, "a target of the sandbox's self-test stays behind");
        }
    }
}

fn send(id: i32, canary: &str) {
    // A message is its type, one word that is not 0, and the text.
    let message = [&1u64.to_ne_bytes(), canary.as_bytes()].concat();
    let length = Arg::Length(canary.len());
    let sent = call(
        libc::SYS_msgsnd,
        &mut [Arg::Int(id.into()), Arg::In(&message), length, Arg::Int(0)],
    );
    if let Err(error) = sent {
        tracing::debug!(%error, "no message planted; the probe for it proves nothing");
    }
}

fn for_all() -> Arg<'static> {
    Arg::Int((libc::IPC_CREAT | 0o666).into())
}

fn identifier(made: io::Result<i64>) -> Option<i32> {
    made.ok().and_then(|id| i32::try_from(id).ok())
}

fn make_queue(canary: &str) -> Option<String> {
    let name = format!("{canary}-queue");
    let text = std::ffi::CString::new(name.clone()).ok()?;
    let flags = Arg::Int((libc::O_CREAT | libc::O_EXCL | libc::O_RDWR | libc::O_CLOEXEC).into());
    descriptor(
        libc::SYS_mq_open,
        &mut [
            Arg::Text(&text),
            flags,
            Arg::Int(0o666),
            Arg::In(&words(&SMALL_QUEUE)),
        ],
    )
    .ok()?;
    Some(name)
}

fn unlink_queue(name: &str) -> io::Result<i64> {
    let text = std::ffi::CString::new(name)?;
    call(libc::SYS_mq_unlink, &mut [Arg::Text(&text)])
}

fn make_file(canary: &str) -> Option<PathBuf> {
    let path = Path::new("/dev/shm").join(format!("{canary}-file"));
    fs::write(&path, canary).ok()?;
    open_to_all(&path).ok()?;
    Some(path)
}

/// A real pseudo terminal; its number comes from the end that we keep.
fn make_terminal() -> Option<(OwnedFd, PathBuf)> {
    /// Unlocks the other end, from `asm-generic/ioctls.h`.
    const TIOCSPTLCK: i64 = 0x4004_5431;
    /// Asks for its number.
    const TIOCGPTN: i64 = 0x8004_5430;
    let here = Arg::Int(libc::AT_FDCWD.into());
    let flags = Arg::Int((libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC).into());
    let ours = descriptor(libc::SYS_openat, &mut [here, Arg::Text(c"/dev/ptmx"), flags]).ok()?;
    let mut number = [0; 4];
    let end = || Arg::Int(ours.as_raw_fd().into());
    call(
        libc::SYS_ioctl,
        &mut [end(), Arg::Int(TIOCSPTLCK), Arg::In(&[0; 4])],
    )
    .ok()?;
    call(
        libc::SYS_ioctl,
        &mut [end(), Arg::Int(TIOCGPTN), Arg::Out(&mut number)],
    )
    .ok()?;
    let path = PathBuf::from(format!("/dev/pts/{}", u32::from_ne_bytes(number)));
    open_to_all(&path).ok()?;
    Some((ours, path))
}
