//! The first process inside a cell: starts the program, reaps, and is the second killer should the warden die.

use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, Signal, WaitStatus};
use rustix::time::Timespec;

use super::kill::{Reach, kill_all};
use super::root::Luggage;
use super::{domain, identity, launch, namespaces, process, rlimits, step};
use crate::cell::How;
use crate::cell::wire::{self, Failure, Launch, Notice, Order, Plan, Ready};
use crate::level::Level;

/// How often orphans that ended are reaped; until then they count as processes of the run.
const REAP_EVERY: Duration = Duration::from_millis(50);

/// Everything from the fork on, until the warden kills this process or is dead itself. `reach` is how this process kills
/// the rest; none in a process namespace, where the rest dies with it.
pub(super) fn run(warden: OwnedFd, plan: &Plan, reach: Option<&Reach>) -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    match build(plan) {
        Ok((ready, listener)) => {
            let listener: Vec<_> = listener.iter().map(AsFd::as_fd).collect();
            wire::send(&warden, &Notice::Ready(ready), &listener)?;
        }
        Err(failure) => {
            wire::send(&warden, &Notice::Failed(failure), &[])?;
            wire::receive::<Order>(&warden)?;
            return Ok(());
        }
    }
    let Some((Order::Start(order), descriptors)) = wire::receive(&warden)? else {
        return Ok(());
    };
    match start(plan, &order, descriptors) {
        Ok(program) => {
            wire::send(&warden, &Notice::Started, &[])?;
            follow(&warden, program)?;
        }
        Err(failure) => {
            wire::send(&warden, &Notice::Failed(failure), &[])?;
            // The warden kills this process, or is dead.
            wire::receive::<Order>(&warden)?;
        }
    }
    // Here only when the warden is dead.
    reach.map_or(Ok(()), |reach| kill_all(reach).map_err(io::Error::other))
}

/// Builds what is to be built from inside.
fn build(plan: &Plan) -> Result<(Ready, Option<TcpListener>), Failure> {
    rlimits::yield_memory()?;
    if plan.level != Level::Two {
        let ready = Ready {
            landlock: plan.level == Level::One,
            own_proc: false,
        };
        return Ok((ready, None));
    }
    // The warden has one thread, so its death is what this signal says.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(step("parent-death signal"))?;
    let luggage = Luggage::pack(plan)?;
    namespaces::take_identity()?;
    namespaces::loopback_up()?;
    let listener = plan.bind_listener.then(namespaces::listener).transpose()?;
    let own_proc = luggage.unpack(plan)?;
    identity::shrink_bounding_set()?;
    identity::drop_capabilities()?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(step("not dumpable"))?;
    let landlock = domain::is_there();
    Ok((Ready { landlock, own_proc }, listener))
}

/// Starts the program. It is executed, or it failed to be: nothing in between.
fn start(plan: &Plan, order: &Launch, descriptors: Vec<OwnedFd>) -> Result<Pid, Failure> {
    let (mut failed, mut fails) = io::pipe().map_err(step("pipe"))?;
    let Some(program) = process::fork(0).map_err(step("fork"))? else {
        drop(failed);
        let failure = launch::execute(plan, order, descriptors);
        // Nobody is left to tell when this fails too.
        let told = serde_json::to_vec(&failure).map(|json| fails.write_all(&json));
        std::process::exit(i32::from(told.is_ok()));
    };
    drop((fails, descriptors));
    // Closed without a word when the program is executed.
    let mut failure = Vec::new();
    failed.read_to_end(&mut failure).map_err(step("starting"))?;
    if failure.is_empty() {
        return Ok(program);
    }
    Err(serde_json::from_slice(&failure).unwrap_or_else(step("a failure that could not be read")))
}

/// Reaps, tells of the program's end, and returns when the warden is dead.
fn follow(warden: &OwnedFd, program: Pid) -> io::Result<()> {
    let ended = rustix::process::pidfd_open(program, PidfdFlags::empty())?;
    let mut running = true;
    loop {
        let mut polled = vec![PollFd::new(warden, PollFlags::IN)];
        if running {
            polled.push(PollFd::new(&ended, PollFlags::IN));
        }
        let timeout = Timespec::try_from(REAP_EVERY).map_err(io::Error::other)?;
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Nothing more is ordered; readable means closed.
        if !polled[0].revents().is_empty() {
            return Ok(());
        }
        while let Ok(Some((pid, status))) = process::reap() {
            if pid == program {
                running = false;
                wire::send(warden, &Notice::Exited(how(status)), &[])?;
            }
        }
    }
}

fn how(status: WaitStatus) -> How {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => How::Exited(code),
        (None, Some(signal)) => How::Signalled(signal),
        // A reaped process has one or the other; this is the shells' number for "could not be told".
        (None, None) => How::Exited(255),
    }
}
