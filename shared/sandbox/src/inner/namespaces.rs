//! The namespaces of a cell at level 2, as far as they are not about files.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::Pid;

use super::{identity, process, step};
use crate::cell::wire::{Failure, Plan};

/// Every run's user and group inside its own user namespace.
pub(super) const USER: u32 = 1000;

const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// Forks the first process of new namespaces. `None` is that process; it has to wait until it is somebody.
pub(super) fn fork() -> Result<Option<Pid>, Failure> {
    // A cgroup namespace only hides where in the tree of control groups the run is.
    match process::fork(NAMESPACES | libc::CLONE_NEWCGROUP) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => process::fork(NAMESPACES),
        forked => forked,
    }
    .map_err(|error| match Errno::from_io_error(&error) {
        // What the kernel calls "no space left on device" here.
        Some(Errno::NOSPC) => {
            Failure::Cell("namespaces: user.max_user_namespaces is 0 or used up".to_owned())
        }
        _ => step("namespaces (not allowed here)")(error),
    })
}

/// From outside: says who the one user and the one group inside are.
pub(super) fn map_identity(first: Pid, plan: &Plan) -> Result<(), Failure> {
    let (user, group) = identity::outside(plan);
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("gid_map", format!("{USER} {group} 1")),
        ("uid_map", format!("{USER} {user} 1")),
    ] {
        fs::write(format!("/proc/{first}/{file}"), text)
            .map_err(|error| Failure::Cell(format!("the user namespace's {file}: {error}")))?;
    }
    Ok(())
}

/// From inside: becomes that user, with all capabilities inside.
pub(super) fn take_identity() -> Result<(), Failure> {
    identity::become_user(USER, USER).map_err(step("becoming the namespace's user"))?;
    rustix::system::sethostname(b"sandbox").map_err(step("host name"))
}

/// Brings up the run's own loopback interface, which a new network namespace has down.
pub(super) fn loopback_up() -> Result<(), Failure> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(step("a socket for the loopback interface"))?;
    set_up(&socket).map_err(step("the loopback interface"))
}

#[expect(unsafe_code, reason = "no crate in use wraps SIOCSIFFLAGS")]
fn set_up(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: an all-zero ifreq is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
    // SAFETY: the request is a valid ifreq that lives until the call returns; the kernel only reads it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The model proxy's listener, bound inside: no other run has a way to it.
pub(super) fn listener() -> Result<TcpListener, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(step("the listener inside"))
}
