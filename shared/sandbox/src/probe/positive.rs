//! What has to work: a cell in which nothing works would pass every attack.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::calls::{Arg, call, in_child};
use super::network::what_is_said;
use super::plan::Plan;
use super::{Attempt, Failure};

/// How long the model proxy's stand-in may take to accept.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

pub(super) fn model_port(plan: &Plan) -> Attempt {
    let Some(port) = plan.model_port else {
        return Err(Failure::NotTried("there is none".to_owned()));
    };
    let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let said = what_is_said(
        TcpStream::connect_timeout(&proxy, CONNECT_WAIT)?,
        plan.model_greeting.len(),
    )?;
    if said == plan.model_greeting.as_bytes() {
        Ok("it answers".to_owned())
    } else {
        Err(Failure::Refused("somebody else answers".to_owned()))
    }
}

pub(super) fn work_tree(plan: &Plan) -> Attempt {
    can_be_used(&plan.cell.work_tree)
}

pub(super) fn home(plan: &Plan) -> Attempt {
    can_be_used(&plan.cell.home)
}

pub(super) fn temporary_folder(_: &Plan) -> Attempt {
    can_be_used(&std::env::temp_dir())
}

/// A folder and a file in it are made, read, renamed, linked and removed.
fn can_be_used(place: &Path) -> Attempt {
    let folder = place.join("probe-folder");
    let (file, moved, linked) = (folder.join("file"), folder.join("moved"), folder.join("linked"));
    fs::create_dir(&folder)?;
    fs::write(&file, b"probe")?;
    fs::rename(&file, &moved)?;
    fs::hard_link(&moved, &linked)?;
    std::os::unix::fs::symlink("moved", &file)?;
    let read = fs::read(&file)?;
    fs::remove_dir_all(&folder)?;
    if read == b"probe" {
        Ok(format!("{} can be used", place.display()))
    } else {
        Err(Failure::Refused(
            "read something else than was written".to_owned(),
        ))
    }
}

/// Without it, `opencode` and `claude` abort (`sandbox.md` Agents inside).
pub(super) fn own_memory_map(_: &Plan) -> Attempt {
    let map = fs::read_to_string("/proc/self/maps")?;
    Ok(format!("{} mappings", map.lines().count()))
}

pub(super) fn child_reads_proc_self(_: &Plan) -> Attempt {
    in_child(|| {
        let status = fs::read_to_string("/proc/self/status")?;
        Ok(status.lines().next().unwrap_or_default().to_owned())
    })
}

pub(super) fn null_device(_: &Plan) -> Attempt {
    OpenOptions::new()
        .write(true)
        .open("/dev/null")?
        .write_all(b"x")?;
    let mut random = [0; 8];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok("null and urandom work".to_owned())
}

pub(super) fn threads(_: &Plan) -> Attempt {
    let thread = std::thread::Builder::new().spawn(|| 1)?;
    thread
        .join()
        .map_err(|_| Failure::Refused("the thread ended badly".to_owned()))?;
    Ok("a thread ran".to_owned())
}

/// What node and python use between processes of their own.
pub(super) fn socket_pair(_: &Plan) -> Attempt {
    let (mut one, mut other) = UnixStream::pair()?;
    one.write_all(b"x")?;
    other.read_exact(&mut [0])?;
    Ok("a byte went through".to_owned())
}

pub(super) fn signals_among_its_own(_: &Plan) -> Attempt {
    let own = i64::from(rustix::process::getpid().as_raw_nonzero().get());
    in_child(|| {
        call(libc::SYS_kill, &mut [Arg::Int(own), Arg::Int(0)])?;
        Ok("a child may signal its parent".to_owned())
    })
}

/// Programs know by this answer that they have to use `clone`; EPERM broke four agents (`sandbox.md` How denials fail).
pub(super) fn clone3_is_unknown(_: &Plan) -> Attempt {
    match call(libc::SYS_clone3, &mut [Arg::Int(0), Arg::Int(0)]) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok("ENOSYS".to_owned()),
        other => Err(Failure::Refused(format!("it answered {other:?}"))),
    }
}

pub(super) fn shell(plan: &Plan) -> Attempt {
    runs(
        plan,
        "sh",
        &["-c", "cd . && test -r /proc/self/status && echo ran | cat"],
    )
}

/// A commit is made: files are locked, renamed and linked, and git asks who the user is.
pub(super) fn git(plan: &Plan) -> Attempt {
    const SCRIPT: &str = "git init -q probe-git && cd probe-git && echo probe > file && git add file && \
        git -c user.name=probe -c user.email=probe@localhost commit -q -m probe && \
        git log --oneline --format=%s && cd .. && rm -rf probe-git";
    if_installed(plan, "git", SCRIPT)
}

/// A program is compiled, linked and run: passes start one another and hand on temporary files.
pub(super) fn compiler(plan: &Plan) -> Attempt {
    const SCRIPT: &str = "mkdir probe-cc && cd probe-cc && \
        printf '#include <stdio.h>\nint main(void) { puts(\"compiled\"); return 0; }\n' > probe.c && \
        cc -o probe probe.c && ./probe && cd .. && rm -rf probe-cc";
    if_installed(plan, "cc", SCRIPT)
}

/// Not every machine has it; where it is, the script has to succeed.
fn if_installed(plan: &Plan, program: &str, script: &str) -> Attempt {
    let script = format!(
        "command -v {program} >/dev/null || {{ echo {program} is not installed; exit 0; }}; {script}"
    );
    runs(plan, "sh", &["-c", &script])
}

#[expect(
    clippy::disallowed_methods,
    reason = "what starts here is a child of the battery, inside the cell"
)]
fn runs(plan: &Plan, program: &str, args: &[&str]) -> Attempt {
    let mut command = std::process::Command::new(program);
    command
        .args(args)
        .current_dir(&plan.cell.work_tree)
        .stdin(Stdio::null());
    let output = command.output().map_err(|error: io::Error| {
        Failure::Refused(format!("cannot start {}: {error}", OsStr::new(program).display()))
    })?;
    let said = String::from_utf8_lossy(if output.status.success() {
        &output.stdout
    } else {
        &output.stderr
    });
    let said = said.lines().next().unwrap_or_default().to_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(Failure::Refused(format!("{}: {said}", output.status)))
    }
}
