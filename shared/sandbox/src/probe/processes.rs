//! Other processes: reading them, tampering with them, stopping the killer (`sandbox.md` Killing, Same-uid worker).

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;

use rustix::event::{Timespec, poll};

use super::calls::{Arg, call, descriptor};
use super::files::planted;
use super::network::expect_canary;
use super::plan::Plan;
use super::{Attempt, Failure};

fn of_bystander(plan: &Plan, entry: &str) -> String {
    format!("/proc/{}/{entry}", plan.bystander.pid)
}

pub(super) fn environment(plan: &Plan) -> Attempt {
    expect_canary(plan, &fs::read(of_bystander(plan, "environ"))?)
}

/// The file system as the other process sees it.
pub(super) fn root(plan: &Plan) -> Attempt {
    let secret = plan.outside.join(planted::OTHER_RUN).join(planted::SOURCE);
    let path = format!("{}{}", of_bystander(plan, "root"), secret.display());
    expect_canary(plan, &fs::read(path)?)
}

pub(super) fn working_directory(plan: &Plan) -> Attempt {
    let path = format!("{}/{}", of_bystander(plan, "cwd"), planted::SOURCE);
    expect_canary(plan, &fs::read(path)?)
}

pub(super) fn open_files(plan: &Plan) -> Attempt {
    let path = of_bystander(plan, &format!("fd/{}", plan.bystander.descriptor));
    expect_canary(plan, &fs::read(path)?)
}

pub(super) fn memory_file(plan: &Plan) -> Attempt {
    let mut read = vec![0; plan.canary.len()];
    File::open(of_bystander(plan, "mem"))?.read_exact_at(&mut read, plan.bystander.address)?;
    expect_canary(plan, &read)
}

/// Where its libraries are: what an exploit wants to know.
pub(super) fn memory_map(plan: &Plan) -> Attempt {
    let map = fs::read_to_string(of_bystander(plan, "maps"))?;
    let mut ranges = map.lines().filter_map(|line| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let range = u64::from_str_radix(from, 16).ok()?..u64::from_str_radix(to, 16).ok()?;
        range.contains(&plan.bystander.address).then(|| line.to_owned())
    });
    // The number may be somebody else's in here; only the bystander has something at this address.
    ranges
        .next()
        .ok_or_else(|| Failure::Refused("it is not the bystander's".to_owned()))
}

/// Who started the run: the worker outside; inside, whoever the sandbox left in between.
pub(super) fn launcher_environment(_: &Plan) -> Attempt {
    let parent = rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
    let mut refused = String::new();
    for pid in [parent, 1] {
        let mut text = Vec::new();
        match File::open(format!("/proc/{pid}/environ")).and_then(|mut file| file.read_to_end(&mut text)) {
            Ok(0) => "it is empty".clone_into(&mut refused),
            Ok(count) => return Ok(format!("read {count} bytes of process {pid}")),
            Err(error) => refused = error.to_string(),
        }
    }
    Err(Failure::Refused(refused))
}

/// The number of a process outside. Inside an own namespace of numbers it means nobody, or somebody else: an attack on it
/// would hit the run itself.
pub(super) fn outsider(plan: &Plan, pid: i32) -> Result<i64, Failure> {
    match fs::read_link("/proc/self/ns/pid") {
        Ok(own) if own.as_os_str() != plan.namespaces.pid.as_str() => Err(Failure::Refused(
            "numbers of processes outside mean nothing here".to_owned(),
        )),
        Ok(_) | Err(_) => Ok(pid.into()),
    }
}

/// For calls that are filtered whomever they mean: the bystander, or this process itself where there is no bystander.
pub(super) fn bystander_or_self(plan: &Plan) -> i64 {
    let own = i64::from(rustix::process::getpid().as_raw_nonzero().get());
    outsider(plan, plan.bystander.pid).unwrap_or(own)
}

pub(super) fn signal_another_run(plan: &Plan) -> Attempt {
    let pid = outsider(plan, plan.bystander.pid)?;
    call(libc::SYS_kill, &mut [Arg::Int(pid), Arg::Int(0)])?;
    Ok("it could be killed".to_owned())
}

pub(super) fn signal_the_worker(plan: &Plan) -> Attempt {
    let pid = outsider(plan, plan.worker)?;
    call(libc::SYS_kill, &mut [Arg::Int(pid), Arg::Int(0)])?;
    Ok("it could be killed".to_owned())
}

pub(super) fn signal_by_descriptor(plan: &Plan) -> Attempt {
    let pid = outsider(plan, plan.bystander.pid)?;
    let process = descriptor(libc::SYS_pidfd_open, &mut [Arg::Int(pid), Arg::Int(0)])?;
    call(
        libc::SYS_pidfd_send_signal,
        &mut [
            Arg::Int(process.as_raw_fd().into()),
            Arg::Int(0),
            Arg::Int(0),
            Arg::Int(0),
        ],
    )?;
    Ok("it could be killed".to_owned())
}

/// Stops whoever would end the run. Nobody may: a stopped killer lets the run live on.
pub(super) fn stop_the_killer(plan: &Plan) -> Attempt {
    if let Some(killer) = plan.killer {
        return stop(killer, LOOKS_OUTSIDE);
    }
    // Inside: the parent, and the parent's parent where it can be seen; the worker has a probe of its own.
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let grandparent = parent_of(parent).filter(|pid| *pid > 0 && *pid != plan.worker);
    if let Some(Ok(gained)) = grandparent.map(|pid| stop(pid, LOOKS_INSIDE)) {
        return Ok(gained);
    }
    stop(parent, LOOKS_INSIDE)
}

/// A file may signal its owner when it can be read, and anybody can be made the owner. The signal is one that the
/// bystander blocks: whether it came is to be seen at once, with nothing to wait for.
pub(super) fn signal_by_an_owned_file(plan: &Plan) -> Attempt {
    /// Which signal is sent, from `asm-generic/fcntl.h`.
    const F_SETSIG: i64 = 10;
    let pid = outsider(plan, plan.bystander.pid)?;
    let (signalling, mut other_end) = UnixStream::pair()?;
    let set = |what: i64, value: i64| {
        let file = Arg::Int(signalling.as_raw_fd().into());
        call(libc::SYS_fcntl, &mut [file, Arg::Int(what), Arg::Int(value)])
    };
    set(F_SETSIG, BLOCKED_SIGNAL.into())?;
    set(libc::F_SETOWN.into(), pid)?;
    set(libc::F_SETFL.into(), libc::O_ASYNC.into())?;
    // Sends the signal before it returns.
    other_end.write_all(b"x")?;
    if has_pending(plan.bystander.pid, BLOCKED_SIGNAL)? {
        Ok("signalled another process".to_owned())
    } else {
        Err(Failure::Refused("no signal came".to_owned()))
    }
}

/// Whether a signal waits for the process to stop blocking it.
fn has_pending(pid: i32, signal: i32) -> Result<bool, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mask = |name: &str| {
        let text = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(text.trim(), 16).ok()
    };
    // Sent to the one thread, or to the process.
    match (mask("SigPnd:"), mask("ShdPnd:")) {
        (Some(own), Some(shared)) => Ok((own | shared) & (1 << (signal - 1)) != 0),
        _ => Err(Failure::NotTried(
            "its status does not tell its signals".to_owned(),
        )),
    }
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn stop(killer: i32, looks: u32) -> Attempt {
    let signal = |signal: i32| {
        call(
            libc::SYS_kill,
            &mut [Arg::Int(killer.into()), Arg::Int(signal.into())],
        )
    };
    signal(libc::SIGSTOP)?;
    let stopped = wait_until_stopped(killer, looks);
    signal(libc::SIGCONT)?;
    if stopped? {
        Ok(format!("stopped process {killer}"))
    } else {
        // The first process of a namespace takes no signal from within that it has no handler for.
        Err(Failure::Refused(format!(
            "process {killer} went on after the signal"
        )))
    }
}

/// What the bystander blocks, so that it stays to be seen.
pub(super) const BLOCKED_SIGNAL: i32 = libc::SIGUSR1;

/// How often, a millisecond apart, to look for a stop that is expected: the control, on a busy machine.
const LOOKS_OUTSIDE: u32 = 10_000;
/// The same where it is not: an idle process stops at once, and a run waits for this.
const LOOKS_INSIDE: u32 = 20;

/// Whether the process was seen stopped. There is no event to wait for: only a parent is told.
fn wait_until_stopped(pid: i32, looks: u32) -> io::Result<bool> {
    let millisecond = Timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    for _ in 0..looks {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold anything; the state follows it.
        if stat
            .rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
        {
            return Ok(true);
        }
        poll(&mut [], Some(&millisecond))?;
    }
    Ok(false)
}
