//! Tampering with other processes: their limits, their place in the schedule, their memory and descriptors (`sandbox.md`
//! Same-uid worker).

use std::os::fd::AsRawFd as _;

use super::Attempt;
use super::calls::{Arg, address, call, descriptor, in_child, words};
use super::network::expect_canary;
use super::plan::Plan;
use super::processes::{bystander_or_self, outsider};

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

/// To the class that it has.
fn set_disk_priority(pid: i64) -> Attempt {
    /// `IOPRIO_WHO_PROCESS` of `linux/ioprio.h`.
    const PROCESS: i64 = 1;
    let known = call(libc::SYS_ioprio_get, &mut [Arg::Int(PROCESS), Arg::Int(pid)])?;
    call(
        libc::SYS_ioprio_set,
        &mut [Arg::Int(PROCESS), Arg::Int(pid), Arg::Int(known)],
    )?;
    Ok("set its priority at the disk".to_owned())
}

pub(super) fn delay_the_worker(plan: &Plan) -> Attempt {
    set_disk_priority(outsider(plan, plan.worker)?)
}

pub(super) fn delay_another_run(plan: &Plan) -> Attempt {
    set_disk_priority(outsider(plan, plan.bystander.pid)?)
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
    in_child(|| {
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
