//! The root of a cell at level 2: an own one, in which nothing is that was not put there (`sandbox.md Same-uid worker`).
//!
//! Everything that is to be seen inside is first cloned into detached mounts, then attached to a new file system in
//! memory; then that becomes the root, and the old one is detached.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

use super::{namespaces, paths, step};
use crate::cell::wire::{Failure, Plan};

/// The root file system holds directories, links and some lines of `/etc`.
const ROOT_OPTIONS: &std::ffi::CStr = c"mode=755,size=4m";
/// Shared memory counts as memory of the run only where it is mapped; this bounds the rest.
const SHARED_MEMORY_OPTIONS: &std::ffi::CStr = c"mode=1777,size=256m";
/// Nobody outside has a terminal in it, and it has none of outside.
const TERMINALS_OPTIONS: &std::ffi::CStr = c"newinstance,ptmxmode=0666,mode=620";

/// For what is read.
const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
/// For what is written.
const READ_WRITE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
/// For devices.
const DEVICE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;

/// A detached copy of something outside, and where it goes.
struct Tree {
    target: PathBuf,
    mount: OwnedFd,
    is_directory: bool,
}

/// Everything that is taken along, before anything is covered. Needs the rights of whoever started this.
pub(super) struct Luggage {
    trees: Vec<Tree>,
    /// Symbolic links among the system's own paths, with what they say.
    links: Vec<(PathBuf, PathBuf)>,
    /// The machine's `/proc`, should the cell not get one of its own.
    proc: Option<OwnedFd>,
}

impl Luggage {
    /// Takes what the plan names and what every program needs of the system.
    pub(super) fn pack(plan: &Plan) -> Result<Self, Failure> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).map_err(step("making mounts private"))?;
        let mut packed = Self {
            trees: Vec::new(),
            links: Vec::new(),
            proc: clone(Path::new("/proc"), READ_ONLY).ok(),
        };
        let system = paths::SYSTEM.iter().map(PathBuf::from).chain(paths::etc());
        for path in system {
            match fs::read_link(&path) {
                Ok(target) => packed.links.push((path, target)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => packed.take(&path, READ_ONLY)?,
            }
        }
        for path in paths::DEVICES {
            packed.take(Path::new(path), DEVICE)?;
        }
        // One that is named through /proc has no place of its own: it may have been replaced on disk since it was started.
        let executable = Some(&plan.executable).filter(|path| !path.starts_with("/proc"));
        for path in plan.read_paths.iter().chain(executable) {
            packed.take_given(path, READ_ONLY)?;
        }
        for path in [&plan.work_tree, &plan.home, &plan.tmp] {
            packed.take_given(path, READ_WRITE)?;
        }
        packed.take_as(&plan.tmp, Path::new("/tmp"), READ_WRITE)?;
        // What is inside something else is attached after it.
        packed.trees.sort_by_key(|tree| tree.target.components().count());
        Ok(packed)
    }

    fn take(&mut self, path: &Path, attributes: u64) -> Result<(), Failure> {
        self.take_as(path, path, attributes)
    }

    /// Takes a path that somebody chose: it is found under its real name and, where a link leads there, under its own.
    fn take_given(&mut self, path: &Path, attributes: u64) -> Result<(), Failure> {
        let real = fs::canonicalize(path)
            .map_err(|error| Failure::Cell(format!("taking {} along: {error}", path.display())))?;
        let linked = self.links.iter().any(|(link, _)| path.starts_with(link));
        if real != path && !linked {
            self.take_as(path, path, attributes)?;
        }
        self.take(&real, attributes)
    }

    fn take_as(&mut self, path: &Path, target: &Path, attributes: u64) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::Cell(format!("taking {} along: {error}", path.display()));
        let mount = clone(path, attributes).map_err(failed)?;
        let is_directory = fs::File::from(mount.try_clone().map_err(failed)?)
            .metadata()
            .map_err(failed)?
            .is_dir();
        self.trees.push(Tree {
            target: target.to_owned(),
            mount,
            is_directory,
        });
        Ok(())
    }

    /// Makes the new root and moves into it. Returns whether it has a `/proc` of its own.
    pub(super) fn unpack(self, plan: &Plan) -> Result<bool, Failure> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        let somewhere = ["/tmp", "/usr", "/etc"]
            .into_iter()
            .find(|path| Path::new(path).is_dir());
        let somewhere =
            somewhere.ok_or_else(|| Failure::Cell("no directory to mount the new root on".into()))?;
        rustix::mount::mount("root", somewhere, "tmpfs", flags, ROOT_OPTIONS)
            .map_err(step("the new root"))?;
        let directory = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let root = rustix::fs::open(somewhere, directory, Mode::empty()).map_err(step("the new root"))?;
        rustix::process::fchdir(&root).map_err(step("the new root"))?;

        for name in ["proc", "dev", "dev/shm", "dev/pts", "etc", "run", "tmp", "var"] {
            rustix::fs::mkdir(name, Mode::from_raw_mode(0o755))
                .map_err(step("directories of the new root"))?;
        }
        rustix::mount::mount(
            "shm",
            "dev/shm",
            "tmpfs",
            flags | MountFlags::NOEXEC,
            SHARED_MEMORY_OPTIONS,
        )
        .map_err(step("shared memory"))?;
        if plan.needs.pty {
            let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
            rustix::mount::mount("devpts", "dev/pts", "devpts", flags, TERMINALS_OPTIONS)
                .map_err(step("pseudo terminals"))?;
            rustix::fs::symlink("pts/ptmx", "dev/ptmx").map_err(step("pseudo terminals"))?;
        }
        let own_proc = self.proc()?;
        for tree in &self.trees {
            attach(&root, tree).map_err(|error| {
                Failure::Cell(format!("putting {} in place: {error}", tree.target.display()))
            })?;
        }
        self.link()?;
        accounts(plan).map_err(step("the accounts of the new root"))?;
        enter()?;
        Ok(own_proc)
    }

    fn link(&self) -> Result<(), Failure> {
        let ours = [
            ("/var/tmp", "/tmp"),
            ("/dev/fd", "/proc/self/fd"),
            ("/dev/stdin", "/proc/self/fd/0"),
            ("/dev/stdout", "/proc/self/fd/1"),
            ("/dev/stderr", "/proc/self/fd/2"),
            ("/etc/mtab", "/proc/self/mounts"),
        ];
        let ours = ours
            .iter()
            .map(|(link, target)| (Path::new(link), Path::new(target)));
        let theirs = self
            .links
            .iter()
            .map(|(link, target)| (link.as_path(), target.as_path()));
        for (link, target) in ours.chain(theirs) {
            let relative = link.strip_prefix("/").unwrap_or(link);
            match rustix::fs::symlink(target, relative) {
                // The run's own directories are somewhere below it, and go first.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(Failure::Cell(format!("the link {}: {error}", link.display()))),
            }
        }
        Ok(())
    }

    /// A fresh `/proc` cannot be mounted where parts of the machine's are masked, as they are in containers; then it is
    /// that one, read-only. Landlock and the user namespace keep its processes' insides closed.
    fn proc(&self) -> Result<bool, Failure> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        if rustix::mount::mount("proc", "proc", "proc", flags, None).is_ok() {
            return Ok(true);
        }
        let proc = self
            .proc
            .as_ref()
            .ok_or_else(|| Failure::Cell("there is no /proc".into()))?;
        let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(proc, "", CWD, "proc", empty).map_err(step("/proc"))?;
        Ok(false)
    }
}

/// A detached copy of the mounts at `path`, all of them with `attributes`.
fn clone(path: &Path, attributes: u64) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let mount = rustix::mount::open_tree(CWD, path, flags)?;
    restrict(&mount, attributes, libc::AT_RECURSIVE)?;
    Ok(mount)
}

/// Adds attributes to a mount; `AT_RECURSIVE` includes what is mounted below.
fn restrict(mount: impl AsFd, attributes: u64, flags: libc::c_int) -> io::Result<()> {
    let wanted = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a C string, and the attributes a mount_attr of the given size; both outlive the call, and the
    // kernel only reads them.
    #[expect(
        unsafe_code,
        reason = "no crate in use wraps mount_setattr, and remounting is not recursive"
    )]
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn attach(root: &OwnedFd, tree: &Tree) -> Result<(), Errno> {
    let target = mount_point(root, &tree.target, tree.is_directory)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&tree.mount, "", &target, "", flags)
}

/// The place `path` below `root`, made where it is missing.
fn mount_point(root: &OwnedFd, path: &Path, is_directory: bool) -> Result<OwnedFd, Errno> {
    let mut here = rustix::io::fcntl_dupfd_cloexec(root, 3)?;
    let mut names: Vec<&OsStr> = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir => {}
            Component::Normal(name) => names.push(name),
            // Not absolute, or not what it seems.
            _ => return Err(Errno::INVAL),
        }
    }
    for (index, name) in names.iter().enumerate() {
        let last = index + 1 == names.len();
        let made = if last && !is_directory {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&here, *name, flags, Mode::from_raw_mode(0o444)).map(drop)
        } else {
            rustix::fs::mkdirat(&here, *name, Mode::from_raw_mode(0o755))
        };
        match made {
            // On a read-only mount it is there, or the next step says that it is not.
            Ok(()) | Err(Errno::EXIST | Errno::ROFS) => {}
            Err(error) => return Err(error),
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        here = rustix::fs::openat2(
            &here,
            *name,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )?;
    }
    Ok(here)
}

/// The files that say who is who. Names of the machine's users and hosts stay outside.
fn accounts(plan: &Plan) -> io::Result<()> {
    let (user, home) = (namespaces::USER, plan.home.as_os_str().as_bytes());
    let passwd = [
        format!("root:x:0:0::/:/bin/false\nagent:x:{user}:{user}::").as_bytes(),
        home,
        b":/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    ]
    .concat();
    fs::write("etc/passwd", passwd)?;
    fs::write(
        "etc/group",
        format!("root:x:0:\nagent:x:{user}:\nnogroup:x:65534:\n"),
    )?;
    fs::write("etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n")?;
    fs::write("etc/hostname", "sandbox\n")?;
    // There is nobody to ask.
    fs::write("etc/resolv.conf", "")
}

/// Makes the working directory the root and lets go of everything else.
fn enter() -> Result<(), Failure> {
    rustix::process::pivot_root(".", ".").map_err(step("entering the new root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(step("leaving the old root"))?;
    rustix::process::chdir("/").map_err(step("entering the new root"))?;
    let root = rustix::fs::open(
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(step("the new root"))?;
    restrict(&root, libc::MOUNT_ATTR_RDONLY, 0).map_err(step("making the new root read-only"))
}
