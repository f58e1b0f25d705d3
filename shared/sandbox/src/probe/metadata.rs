//! What landlock does not see on an object outside: its mode, owner, times, attributes, and that it is there
//! (`sandbox.md` Same-uid worker).

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::SystemTime;

use super::Attempt;
use super::calls::{Arg, call, descriptor};
use super::files::planted;
use super::plan::Plan;
use super::terminal::c_path;

fn target(plan: &Plan, file: &str) -> PathBuf {
    plan.outside.join(planted::OTHER_RUN).join(file)
}

pub(super) fn mode(plan: &Plan) -> Attempt {
    fs::set_permissions(target(plan, "mode"), Permissions::from_mode(0o600))?;
    Ok("changed the mode".to_owned())
}

/// To whom it belongs already: that needs no right but being the owner.
pub(super) fn owner(plan: &Plan) -> Attempt {
    let path = target(plan, "owner");
    let known = fs::metadata(&path)?;
    std::os::unix::fs::chown(&path, Some(known.uid()), Some(known.gid()))?;
    Ok("changed the owner".to_owned())
}

pub(super) fn times(plan: &Plan) -> Attempt {
    let path = c_path(&target(plan, "times"))?;
    let here = Arg::Int(libc::AT_FDCWD.into());
    // Without times: now.
    call(
        libc::SYS_utimensat,
        &mut [here, Arg::Text(&path), Arg::Int(0), Arg::Int(0)],
    )?;
    Ok("changed the times".to_owned())
}

/// The same on a descriptor that is open for reading, which the owner may.
pub(super) fn times_by_descriptor(plan: &Plan) -> Attempt {
    let file = File::open(target(plan, "times"))?;
    file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH))?;
    Ok("changed the times".to_owned())
}

pub(super) fn attribute(plan: &Plan) -> Attempt {
    let path = c_path(&target(plan, "attribute"))?;
    call(
        libc::SYS_setxattr,
        &mut [
            Arg::Text(&path),
            Arg::Text(c"user.probe"),
            Arg::In(b"x"),
            Arg::Int(1),
            Arg::Int(0),
        ],
    )?;
    Ok("set an attribute".to_owned())
}

pub(super) fn existence(plan: &Plan) -> Attempt {
    let known = fs::metadata(target(plan, planted::SOURCE))?;
    Ok(format!("{} bytes, of user {}", known.len(), known.uid()))
}

pub(super) fn watch(plan: &Plan) -> Attempt {
    let path = c_path(&target(plan, planted::SOURCE))?;
    let watcher = descriptor(libc::SYS_inotify_init1, &mut [Arg::Int(libc::IN_CLOEXEC.into())])?;
    call(
        libc::SYS_inotify_add_watch,
        &mut [
            Arg::Int(watcher.as_raw_fd().into()),
            Arg::Text(&path),
            Arg::Int(libc::IN_OPEN.into()),
        ],
    )?;
    Ok("learns when it is opened".to_owned())
}

/// A lock that the worker would wait for.
pub(super) fn lock(plan: &Plan) -> Attempt {
    let file = OpenOptions::new()
        .write(true)
        .open(target(plan, planted::SOURCE))?;
    file.try_lock().map_err(std::io::Error::from)?;
    Ok("locked".to_owned())
}
