//! Typing into somebody's terminal, who then runs what was typed.

use std::ffi::CString;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::calls::{Arg, call, descriptor, in_child, reached_the_kernel};
use super::plan::Plan;
use super::{Attempt, Failure};

const TIOCSTI: i64 = 0x5412;
const TIOCLINUX: i64 = 0x541c;

pub(super) fn typing(plan: &Plan) -> Attempt {
    let Some(terminal) = plan.terminal.as_deref() else {
        return Err(Failure::NotTried("no terminal could be planted".to_owned()));
    };
    in_child(|| type_into(terminal))
}

fn type_into(terminal: &Path) -> Attempt {
    // To the leader of a session without a terminal, the first one it opens becomes its own; TIOCSTI asks for that.
    call(libc::SYS_setsid, &mut [])?;
    let path = c_path(terminal)?;
    let flags = Arg::Int(libc::O_RDWR.into());
    let open = descriptor(
        libc::SYS_openat,
        &mut [Arg::Int(libc::AT_FDCWD.into()), Arg::Text(&path), flags],
    )?;
    let terminal = Arg::Int(open.as_raw_fd().into());
    call(libc::SYS_ioctl, &mut [terminal, Arg::Int(TIOCSTI), Arg::In(b"x")])?;
    Ok("typed a character".to_owned())
}

pub(super) fn c_path(path: &Path) -> Result<CString, Failure> {
    CString::new(path.as_os_str().as_bytes()).map_err(|error| Failure::NotTried(error.to_string()))
}

/// A program may be given a terminal by its preset. The call is filtered by its number, so it does not get to see that
/// standard input is no terminal.
pub(super) fn typing_call(_: &Plan) -> Attempt {
    ioctl_on_stdin(TIOCSTI)
}

/// The same by the console's selection.
pub(super) fn pasting_call(_: &Plan) -> Attempt {
    ioctl_on_stdin(TIOCLINUX)
}

fn ioctl_on_stdin(request: i64) -> Attempt {
    let nothing = [0; 16];
    reached_the_kernel(call(
        libc::SYS_ioctl,
        &mut [Arg::Int(0), Arg::Int(request), Arg::In(&nothing)],
    ))
}
