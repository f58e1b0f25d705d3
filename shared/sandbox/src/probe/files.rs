//! Reading, writing and linking outside the places of a run.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::calls::{Arg, call, descriptor};
use super::network::expect_canary;
use super::plan::Plan;
use super::terminal::c_path;
use super::{Attempt, Failure};

/// What the self-test plants in the folder outside.
pub(crate) mod planted {
    /// The worker's own secret, readable for nobody else.
    pub(crate) const SECRET: &str = "secret";
    /// The tree of another run: writable for the agents' user.
    pub(crate) const OTHER_RUN: &str = "other-run";
    /// In [`OTHER_RUN`], a file that the agents' user may read and write.
    pub(crate) const SOURCE: &str = "source";
    /// In [`OTHER_RUN`], one file per attack that changes its target.
    pub(crate) const EXPENDABLE: [&str; 9] = [
        "append",
        "truncate",
        "unlink",
        "move-in",
        "link-in",
        "mode",
        "owner",
        "times",
        "attribute",
    ];
}

fn other_run(plan: &Plan, file: &str) -> PathBuf {
    plan.outside.join(planted::OTHER_RUN).join(file)
}

fn read(plan: &Plan, path: &Path) -> Attempt {
    expect_canary(plan, &fs::read(path)?)
}

pub(super) fn read_a_secret(plan: &Plan) -> Attempt {
    read(plan, &plan.outside.join(planted::SECRET))
}

pub(super) fn read_another_run(plan: &Plan) -> Attempt {
    read(plan, &other_run(plan, planted::SOURCE))
}

pub(super) fn list_outside(plan: &Plan) -> Attempt {
    let found = fs::read_dir(&plan.outside)?.filter_map(Result::ok).count();
    if found == 0 {
        return Err(Failure::Refused("it is empty here".to_owned()));
    }
    Ok(format!("found {found} entries"))
}

/// A landlock rule holds for the file, whatever path leads to it.
pub(super) fn read_by_proc_self_root(plan: &Plan) -> Attempt {
    let secret = other_run(plan, planted::SOURCE);
    let relative = secret.strip_prefix("/").unwrap_or(&secret);
    read(plan, &Path::new("/proc/self/root").join(relative))
}

pub(super) fn read_by_symlink(plan: &Plan) -> Attempt {
    let link = plan.cell.work_tree.join("probe-link");
    let made = symlink(other_run(plan, planted::SOURCE), &link);
    made.map_err(|error| Failure::NotTried(format!("no symlink: {error}")))?;
    let attempt = read(plan, &link);
    removed(&link, attempt)
}

pub(super) fn write_by_symlink(plan: &Plan) -> Attempt {
    let link = plan.cell.work_tree.join("probe-written-link");
    let made = symlink(other_run(plan, planted::SOURCE), &link);
    made.map_err(|error| Failure::NotTried(format!("no symlink: {error}")))?;
    let attempt = append(&link);
    removed(&link, attempt)
}

fn removed(path: &Path, attempt: Attempt) -> Attempt {
    fs::remove_file(path).map_err(|error| Failure::NotTried(format!("{} stays: {error}", path.display())))?;
    attempt
}

fn append(path: &Path) -> Attempt {
    OpenOptions::new().append(true).open(path)?.write_all(b"+")?;
    Ok("appended a byte".to_owned())
}

pub(super) fn append_outside(plan: &Plan) -> Attempt {
    append(&other_run(plan, "append"))
}

pub(super) fn truncate_outside(plan: &Plan) -> Attempt {
    let path = c_path(&other_run(plan, "truncate"))?;
    call(libc::SYS_truncate, &mut [Arg::Text(&path), Arg::Int(0)])?;
    Ok("truncated".to_owned())
}

pub(super) fn create_outside(plan: &Plan) -> Attempt {
    File::create_new(other_run(plan, "created"))?;
    Ok("created a file".to_owned())
}

pub(super) fn make_a_folder_outside(plan: &Plan) -> Attempt {
    fs::create_dir(other_run(plan, "created-folder"))?;
    Ok("created a folder".to_owned())
}

pub(super) fn symlink_outside(plan: &Plan) -> Attempt {
    symlink("/", other_run(plan, "created-link"))?;
    Ok("created a symlink".to_owned())
}

pub(super) fn unlink_outside(plan: &Plan) -> Attempt {
    fs::remove_file(other_run(plan, "unlink"))?;
    Ok("removed a file".to_owned())
}

pub(super) fn link_in(plan: &Plan) -> Attempt {
    let link = plan.cell.work_tree.join("probe-hard-link");
    fs::hard_link(other_run(plan, "link-in"), &link)?;
    removed(&link, Ok("a file outside has a name in the work tree".to_owned()))
}

pub(super) fn link_out(plan: &Plan) -> Attempt {
    let inside = make(plan, "probe-to-link")?;
    let linked = fs::hard_link(&inside, other_run(plan, "linked-out"));
    removed(
        &inside,
        Ok("a file of the work tree has a name outside".to_owned()),
    )
    .and_then(|gained| {
        linked?;
        Ok(gained)
    })
}

pub(super) fn move_in(plan: &Plan) -> Attempt {
    let inside = plan.cell.work_tree.join("probe-moved-in");
    fs::rename(other_run(plan, "move-in"), &inside)?;
    removed(&inside, Ok("moved a file into the work tree".to_owned()))
}

pub(super) fn move_out(plan: &Plan) -> Attempt {
    let inside = make(plan, "probe-to-move")?;
    if let Err(error) = fs::rename(&inside, other_run(plan, "moved-out")) {
        return removed(&inside, Err(error.into()));
    }
    Ok("moved a file of the work tree out".to_owned())
}

fn make(plan: &Plan, name: &str) -> Result<PathBuf, Failure> {
    let path = plan.cell.work_tree.join(name);
    File::create_new(&path)
        .map_err(|error| Failure::NotTried(format!("no file in the work tree: {error}")))?;
    Ok(path)
}

/// A handle names a file without a path, so no rule about paths is asked.
pub(super) fn open_by_handle(plan: &Plan) -> Attempt {
    let path = c_path(&other_run(plan, planted::SOURCE))?;
    let folder = File::open(&plan.cell.work_tree)?;
    // A struct file_handle: room for MAX_HANDLE_SZ bytes, in its first word; the type; the handle.
    let mut handle = [0; 8 + 128];
    handle[..4].copy_from_slice(&128u32.to_ne_bytes());
    let mut mount = [0; 4];
    let here = Arg::Int(libc::AT_FDCWD.into());
    call(
        libc::SYS_name_to_handle_at,
        &mut [
            here,
            Arg::Text(&path),
            Arg::Out(&mut handle),
            Arg::Out(&mut mount),
            Arg::Int(0),
        ],
    )?;
    descriptor(
        libc::SYS_open_by_handle_at,
        &mut [Arg::Int(folder.as_raw_fd().into()), Arg::In(&handle), Arg::Int(0)],
    )?;
    Ok("opened a file outside".to_owned())
}

/// Devices that do something for whoever opens them: virtual machines, network interfaces, file systems, the kernel's log.
/// None of them does anything by being opened alone.
pub(super) fn open_a_device(_: &Plan) -> Attempt {
    const DEVICES: [&str; 7] = [
        "fuse",
        "kmsg",
        "kvm",
        "loop-control",
        "net/tun",
        "userfaultfd",
        "vsock",
    ];
    for device in DEVICES {
        if OpenOptions::new()
            .read(true)
            .write(true)
            .open(Path::new("/dev").join(device))
            .is_ok()
        {
            return Ok(format!("opened {device}"));
        }
    }
    Err(Failure::Refused("none could be opened".to_owned()))
}

/// A device node with the numbers of the memory device.
pub(super) fn make_a_device(plan: &Plan) -> Attempt {
    let device = plan.cell.work_tree.join("probe-device");
    let path = c_path(&device)?;
    let mode = i64::from(libc::S_IFCHR | 0o600);
    let numbers = libc::makedev(1, 1).cast_signed();
    let here = Arg::Int(libc::AT_FDCWD.into());
    call(
        libc::SYS_mknodat,
        &mut [here, Arg::Text(&path), Arg::Int(mode), Arg::Int(numbers)],
    )?;
    removed(&device, Ok("made /dev/mem anew".to_owned()))
}

/// Opens for writing what changes the kernel, and writes nothing.
pub(super) fn kernel_settings(_: &Plan) -> Attempt {
    OpenOptions::new()
        .write(true)
        .open("/proc/sys/kernel/core_pattern")?;
    Ok("could be written".to_owned())
}

pub(super) fn sysrq(_: &Plan) -> Attempt {
    OpenOptions::new().write(true).open("/proc/sysrq-trigger")?;
    Ok("could be written".to_owned())
}

/// Who may write here may move itself out of its limits.
pub(super) fn control_groups(_: &Plan) -> Attempt {
    for list in ["/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/pids/cgroup.procs"] {
        if OpenOptions::new().write(true).open(list).is_ok() {
            return Ok(format!("{list} could be written"));
        }
    }
    Err(Failure::Refused("none could be written".to_owned()))
}
