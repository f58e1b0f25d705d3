//! Other processes: reading them, tampering with them, stopping the killer (`sandbox.md` Killing, Same-uid worker).

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;

use rustix::event::{Timespec, poll};

use super::calls::{Arg, address, call, descriptor, words};
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
fn outsider(plan: &Plan, pid: i32) -> Result<i64, Failure> {
    match fs::read_link("/proc/self/ns/pid") {
        Ok(own) if own.as_os_str() != plan.namespaces.pid.as_str() => Err(Failure::Refused(
            "numbers of processes outside mean nothing here".to_owned(),
        )),
        Ok(_) | Err(_) => Ok(pid.into()),
    }
}

/// For calls that are filtered whomever they mean: the bystander, or this process itself where there is no bystander.
fn bystander_or_self(plan: &Plan) -> i64 {
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

/// A file may signal its owner when it can be read, and anybody can be made the owner.
pub(super) fn stop_by_an_owned_file(plan: &Plan) -> Attempt {
    /// Which signal is sent, from `asm-generic/fcntl.h`.
    const F_SETSIG: i64 = 10;
    let pid = outsider(plan, plan.bystander.pid)?;
    let looks = if plan.is_control() {
        LOOKS_OUTSIDE
    } else {
        LOOKS_INSIDE
    };
    let (signalling, mut other_end) = UnixStream::pair()?;
    let set = |what: i64, value: i64| {
        let file = Arg::Int(signalling.as_raw_fd().into());
        call(libc::SYS_fcntl, &mut [file, Arg::Int(what), Arg::Int(value)])
    };
    set(F_SETSIG, libc::SIGSTOP.into())?;
    set(libc::F_SETOWN.into(), pid)?;
    set(libc::F_SETFL.into(), libc::O_ASYNC.into())?;
    other_end.write_all(b"x")?;
    let stopped = wait_until_stopped(plan.bystander.pid, looks)?;
    // The other end still has a signal to give: the one that undoes it.
    set(F_SETSIG, libc::SIGCONT.into())?;
    other_end.write_all(b"x")?;
    if stopped {
        Ok("stopped another process".to_owned())
    } else {
        Err(Failure::Refused("it went on".to_owned()))
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

/// Who may set the limits of another process may end it: a limit of one second of computing killed the worker.
fn set_a_limit(pid: i64) -> Attempt {
    let resource = || Arg::Int(libc::RLIMIT_CORE.into());
    let mut limit = [0; 16];
    call(
        libc::SYS_prlimit64,
        &mut [Arg::Int(pid), resource(), Arg::Int(0), Arg::Out(&mut limit)],
    )?;
    // To what it is already: the right to do it is what counts.
    call(
        libc::SYS_prlimit64,
        &mut [Arg::Int(pid), resource(), Arg::In(&limit), Arg::Int(0)],
    )?;
    Ok("set a limit".to_owned())
}

pub(super) fn limit_the_worker(plan: &Plan) -> Attempt {
    set_a_limit(outsider(plan, plan.worker)?)
}

pub(super) fn limit_another_run(plan: &Plan) -> Attempt {
    set_a_limit(outsider(plan, plan.bystander.pid)?)
}

fn set_priority(pid: i64) -> Attempt {
    let which = || Arg::Int(libc::PRIO_PROCESS.into());
    // The raw call answers 20 minus the nice value, so that no answer is an error.
    let known = call(libc::SYS_getpriority, &mut [which(), Arg::Int(pid)])?;
    call(
        libc::SYS_setpriority,
        &mut [which(), Arg::Int(pid), Arg::Int(20 - known)],
    )?;
    Ok("set its priority".to_owned())
}

pub(super) fn slow_the_worker(plan: &Plan) -> Attempt {
    set_priority(outsider(plan, plan.worker)?)
}

pub(super) fn slow_another_run(plan: &Plan) -> Attempt {
    set_priority(outsider(plan, plan.bystander.pid)?)
}

/// To the processors it may use already.
fn set_processors(pid: i64) -> Attempt {
    let mut mask = [0; 128];
    let size = Arg::Length(mask.len());
    let used = call(
        libc::SYS_sched_getaffinity,
        &mut [Arg::Int(pid), size, Arg::Out(&mut mask)],
    )?;
    call(
        libc::SYS_sched_setaffinity,
        &mut [Arg::Int(pid), Arg::Int(used), Arg::In(&mask)],
    )?;
    Ok("set its processors".to_owned())
}

pub(super) fn pin_the_worker(plan: &Plan) -> Attempt {
    set_processors(outsider(plan, plan.worker)?)
}

pub(super) fn pin_another_run(plan: &Plan) -> Attempt {
    set_processors(outsider(plan, plan.bystander.pid)?)
}

/// To the policy it has.
fn set_policy(pid: i64) -> Attempt {
    let policy = call(libc::SYS_sched_getscheduler, &mut [Arg::Int(pid)])?;
    let mut parameters = [0; 4];
    call(
        libc::SYS_sched_getparam,
        &mut [Arg::Int(pid), Arg::Out(&mut parameters)],
    )?;
    call(
        libc::SYS_sched_setscheduler,
        &mut [Arg::Int(pid), Arg::Int(policy), Arg::In(&parameters)],
    )?;
    Ok("set its scheduling policy".to_owned())
}

pub(super) fn reschedule_the_worker(plan: &Plan) -> Attempt {
    set_policy(outsider(plan, plan.worker)?)
}

pub(super) fn reschedule_another_run(plan: &Plan) -> Attempt {
    set_policy(outsider(plan, plan.bystander.pid)?)
}

pub(super) fn trace(plan: &Plan) -> Attempt {
    /// The request number of `PTRACE_SEIZE`: attaches without stopping the other.
    const SEIZE: i64 = 0x4206;
    /// The request number of `PTRACE_TRACEME`.
    const TRACEME: i64 = 0;
    let request = match outsider(plan, plan.bystander.pid) {
        Ok(pid) => [SEIZE, pid],
        Err(_) => [TRACEME, 0],
    };
    // The attachment ends with the child that made it.
    super::calls::in_child(|| {
        let [request, pid] = request.map(Arg::Int);
        call(libc::SYS_ptrace, &mut [request, pid, Arg::Int(0), Arg::Int(0)])?;
        Ok("attached".to_owned())
    })
}

pub(super) fn read_memory(plan: &Plan) -> Attempt {
    let own = plan.canary.clone().into_bytes();
    let (pid, from) = match outsider(plan, plan.bystander.pid) {
        Ok(pid) => (pid, plan.bystander.address),
        Err(_) => (bystander_or_self(plan), address(&own)),
    };
    let mut read = vec![0; own.len()];
    let length = own.len() as u64;
    // Exposed as writable: the kernel writes there, by an address that is inside a structure.
    let into = words(&[read.as_mut_ptr().expose_provenance() as u64, length]);
    let from = words(&[from, length]);
    call(
        libc::SYS_process_vm_readv,
        &mut [
            Arg::Int(pid),
            Arg::In(&into),
            Arg::Int(1),
            Arg::In(&from),
            Arg::Int(1),
            Arg::Int(0),
        ],
    )?;
    expect_canary(plan, &read)
}

/// Writes the canary over itself.
pub(super) fn write_memory(plan: &Plan) -> Attempt {
    let own = plan.canary.clone().into_bytes();
    let (pid, to) = match outsider(plan, plan.bystander.pid) {
        Ok(pid) => (pid, plan.bystander.address),
        Err(_) => (bystander_or_self(plan), address(&own)),
    };
    let length = own.len() as u64;
    let from = words(&[address(&own), length]);
    let to = words(&[to, length]);
    call(
        libc::SYS_process_vm_writev,
        &mut [
            Arg::Int(pid),
            Arg::In(&from),
            Arg::Int(1),
            Arg::In(&to),
            Arg::Int(1),
            Arg::Int(0),
        ],
    )?;
    Ok("wrote into its memory".to_owned())
}

pub(super) fn take_a_descriptor(plan: &Plan) -> Attempt {
    let pid = bystander_or_self(plan);
    let process = descriptor(libc::SYS_pidfd_open, &mut [Arg::Int(pid), Arg::Int(0)])?;
    // Standard input, which everybody has.
    descriptor(
        libc::SYS_pidfd_getfd,
        &mut [Arg::Int(process.as_raw_fd().into()), Arg::Int(0), Arg::Int(0)],
    )?;
    Ok("took a descriptor of another process".to_owned())
}

pub(super) fn compare(plan: &Plan) -> Attempt {
    /// Compares the address spaces, from `linux/kcmp.h`.
    const KCMP_VM: i64 = 1;
    let own = i64::from(rustix::process::getpid().as_raw_nonzero().get());
    let other = bystander_or_self(plan);
    let order = call(
        libc::SYS_kcmp,
        &mut [
            Arg::Int(own),
            Arg::Int(other),
            Arg::Int(KCMP_VM),
            Arg::Int(0),
            Arg::Int(0),
        ],
    )?;
    Ok(format!("compared, {order}"))
}
