//! Who a run is: the user it becomes, what that user is handed, and the capabilities it loses.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::step;
use crate::cell::wire::{Failure, Plan};

/// How deep a run's directories may be when they are handed over. They are ours: a checkout has no deeper path than
/// the kernel's 4096 bytes allow, which is 2048 directories; each level holds a descriptor open.
const DEPTH_MAX: usize = 2100;

/// The highest capability that a kernel may know; those it does not know end the loop earlier.
const CAPABILITIES_MAX: u32 = 63;

/// The user and group of a run, outside.
pub(super) fn outside(plan: &Plan) -> (u32, u32) {
    plan.user
        .map_or((geteuid().as_raw(), getegid().as_raw()), |user| (user, user))
}

/// Before a run of another user: gives up this process's further groups, which its children would keep, and gives the
/// run's three directories away, in which places are made for what is mounted below them.
pub(super) fn prepare(plan: &Plan) -> Result<(), Failure> {
    let Some(user) = plan.user else { return Ok(()) };
    rustix::thread::set_thread_groups(&[]).map_err(step(
        "giving up groups (root needs CAP_SETUID, CAP_SETGID and CAP_CHOWN; an ordinary user none)",
    ))?;
    for path in [&plan.work_tree, &plan.home, &plan.tmp] {
        give_top(path, user).map_err(not_handed(path, user))?;
    }
    Ok(())
}

/// Gives the run's directories to its user, with what the worker has put there. Just before the program starts: the
/// worker writes into an open cell's HOME, and its own user is another one.
pub(super) fn hand_over(plan: &Plan) -> Result<(), Failure> {
    let Some(user) = plan.user else { return Ok(()) };
    let to = (Uid::from_raw(user), Gid::from_raw(user));
    for path in [&plan.work_tree, &plan.home, &plan.tmp] {
        give_top(path, user)
            .and_then(|top| give(top, to))
            .map_err(not_handed(path, user))?;
    }
    Ok(())
}

fn not_handed(path: &Path, user: u32) -> impl FnOnce(Errno) -> Failure {
    move |error| Failure::Cell(format!("handing {} to user {user}: {error}", path.display()))
}

fn give_top(path: &Path, user: u32) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::fs::fchown(&top, Some(Uid::from_raw(user)), Some(Gid::from_raw(user)))?;
    Ok(top)
}

/// Gives everything below `top` away, by descriptors and without following a symbolic link.
fn give(top: OwnedFd, (user, group): (Uid, Gid)) -> Result<(), Errno> {
    let mut open = vec![Dir::new(top)?];
    while let Some(directory) = open.last_mut() {
        let Some(entry) = directory.read().transpose()? else {
            open.pop();
            continue;
        };
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = rustix::fs::statat(directory.fd()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        // A second name may be anywhere, and the file with it somebody else's. A checkout has none.
        if stat.st_nlink > 1 && kind != FileType::Directory && stat.st_uid != user.as_raw() {
            return Err(Errno::MLINK);
        }
        rustix::fs::chownat(
            directory.fd()?,
            name,
            Some(user),
            Some(group),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        if kind == FileType::Directory {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let below = rustix::fs::openat(directory.fd()?, name, flags, Mode::empty())?;
            if open.len() >= DEPTH_MAX {
                return Err(Errno::NAMETOOLONG);
            }
            open.push(Dir::new(below)?);
        }
    }
    Ok(())
}

/// Becomes the run's user where it is another one. There is no way back.
pub(super) fn switch(plan: &Plan) -> Result<(), Failure> {
    let Some(user) = plan.user else {
        return if geteuid().is_root() {
            Err(Failure::Cell(
                "root is not confined by landlock and seccomp alone".into(),
            ))
        } else {
            Ok(())
        };
    };
    become_user(user, user).map_err(|error| Failure::Cell(format!("becoming user {user}: {error}")))?;
    if rustix::thread::set_thread_uid(Uid::ROOT).is_ok() {
        return Err(Failure::Cell(format!("user {user} can become root again")));
    }
    [&plan.work_tree, &plan.home, &plan.tmp]
        .into_iter()
        .try_for_each(|path| reach(user, path))
}

/// Sets all of this process's user and group ids.
pub(super) fn become_user(user: u32, group: u32) -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)
}

/// Sees that this process can get to a directory by its path.
fn reach(user: u32, path: &Path) -> Result<(), Failure> {
    match rustix::process::chdir(path) {
        Ok(()) => Ok(()),
        Err(Errno::ACCESS) => Err(Failure::Unreachable {
            user,
            path: path.to_owned(),
            closed: closed_above(path),
        }),
        Err(error) => Err(Failure::Cell(format!("entering {}: {error}", path.display()))),
    }
}

/// The topmost directory on the way to `path` that this process cannot pass through.
fn closed_above(path: &Path) -> PathBuf {
    let mut ancestors: Vec<&Path> = path.ancestors().collect();
    ancestors.reverse();
    let closed = |path: &&&Path| rustix::process::chdir(**path) == Err(Errno::ACCESS);
    ancestors
        .iter()
        .find(closed)
        .map_or(path, |closed| *closed)
        .to_owned()
}

/// Keeps whatever this process executes from ever gaining a capability.
pub(super) fn shrink_bounding_set() -> Result<(), Failure> {
    for capability in 0..=CAPABILITIES_MAX {
        // SAFETY: PR_CAPBSET_DROP takes a number and no pointers.
        #[expect(unsafe_code, reason = "rustix cannot name capabilities it does not know")]
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        if result < 0 {
            match Errno::from_io_error(&io::Error::last_os_error()) {
                // INVAL: the first one that this kernel does not know. PERM: without the right to shrink it, the set
                // grants nothing either, as nothing that is executed from here gains privileges.
                Some(Errno::INVAL | Errno::PERM) => break,
                error => return Err(Failure::Cell(format!("the capability bounding set: {error:?}"))),
            }
        }
    }
    Ok(())
}

/// Gives up every capability and the way to new ones, and sees that they are gone.
pub(super) fn drop_capabilities() -> Result<(), Failure> {
    rustix::thread::set_no_new_privs(true).map_err(step("no new privileges"))?;
    rustix::thread::clear_ambient_capability_set().map_err(step("ambient capabilities"))?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(step("capabilities"))?;
    match rustix::thread::capabilities(None) {
        Ok(left) if left == none => Ok(()),
        left => Err(Failure::Cell(format!("capabilities are left: {left:?}"))),
    }
}
