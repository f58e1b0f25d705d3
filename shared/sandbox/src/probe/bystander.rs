//! A process to attack: it stands for another run and for the worker itself.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;

use super::calls::{Arg, address, call};
use super::files::planted;
use super::plan::Bystander;
use super::processes::BLOCKED_SIGNAL;

/// Says where it can be attacked, then waits for its standard input to be closed. The canary is in its environment, its
/// memory, its working directory and an open file.
///
/// `user` is whom to become: the agents' user, where the worker is root.
pub(super) fn stand_by(user: Option<u32>) -> io::Result<()> {
    let mut secret = File::open(planted::SOURCE)?;
    let mut canary = Vec::new();
    secret.read_to_end(&mut canary)?;
    if let Some(user) = user {
        become_user(user)?;
    }
    block(BLOCKED_SIGNAL)?;
    let bystander = Bystander {
        pid: i32::try_from(std::process::id()).map_err(io::Error::other)?,
        address: address(black_box(&canary)),
        descriptor: secret.as_raw_fd(),
    };
    let mut line = serde_json::to_vec(&bystander)?;
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    io::stdin().read_to_end(&mut Vec::new())?;
    black_box(&canary);
    Ok(())
}

fn block(signal: i32) -> io::Result<()> {
    let mask = 1u64 << (signal - 1);
    call(
        libc::SYS_rt_sigprocmask,
        &mut [
            Arg::Int(libc::SIG_BLOCK.into()),
            Arg::In(&mask.to_ne_bytes()),
            Arg::Int(0),
            Arg::Length(size_of_val(&mask)),
        ],
    )?;
    Ok(())
}

fn become_user(user: u32) -> io::Result<()> {
    let id = || Arg::Int(user.into());
    call(libc::SYS_setgroups, &mut [Arg::Int(0), Arg::Int(0)])?;
    call(libc::SYS_setresgid, &mut [id(), id(), id()])?;
    call(libc::SYS_setresuid, &mut [id(), id(), id()])?;
    // A change of user makes a process unreadable for its own user, who could attack any ordinary process of its own.
    call(
        libc::SYS_prctl,
        &mut [Arg::Int(libc::PR_SET_DUMPABLE.into()), Arg::Int(1)],
    )?;
    Ok(())
}
