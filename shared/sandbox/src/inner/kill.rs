//! Killing everything of a run, and knowing that it is dead (`sandbox.md Killing`).

use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use rustix::time::Timespec;

use super::domain::KillerDomain;
use super::process;

/// How long killed processes may take to go. Only one stuck in the kernel, on a dead network file system for instance,
/// takes longer.
const DEAD_WAIT: Duration = Duration::from_secs(15);
/// Between two looks at processes that are about to die.
const LOOK_AGAIN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 2_000_000,
};

/// How the killer reaches every process of its run.
#[derive(Debug)]
pub(super) enum Reach {
    /// All are in the process namespace of this first process; the kernel kills them with it.
    Namespace(Pid),
    /// All descend from this process, which adopts orphans, and are in its landlock domain: `kill(-1)` reaches them
    /// and nobody else.
    Domain(KillerDomain),
    /// All descend from this process, which adopts orphans. A fork bomb can outrun this; only without a sandbox.
    Descendants,
}

/// Kills everything of the run. On `Ok` nothing of it is left, not even a zombie.
pub(super) fn kill_all(reach: &Reach) -> Result<(), String> {
    let deadline = Instant::now() + DEAD_WAIT;
    loop {
        strike(reach)?;
        match reap_all() {
            // No children at all: whatever descends from here is adopted by here when its parent ends.
            Err(Errno::CHILD) => return Ok(()),
            Err(error) => return Err(format!("cannot wait for the dead: {error}")),
            Ok(()) if Instant::now() > deadline => {
                return Err(format!("something did not die within {} s", DEAD_WAIT.as_secs()));
            }
            Ok(()) => pause()?,
        }
    }
}

fn strike(reach: &Reach) -> Result<(), String> {
    match reach {
        Reach::Namespace(init) => match rustix::process::kill_process(*init, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(format!("cannot kill the first process of the namespace: {error}")),
        },
        Reach::Domain(domain) => domain.kill_everything(),
        Reach::Descendants => {
            let processes = process::below(rustix::process::getpid()).map_err(|error| error.to_string())?;
            for process in processes {
                match rustix::process::kill_process(process.pid, Signal::KILL) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(error) => return Err(format!("cannot kill process {}: {error}", process.pid)),
                }
            }
            Ok(())
        }
    }
}

/// Reaps every child that has ended.
fn reap_all() -> Result<(), Errno> {
    while process::reap()?.is_some() {}
    Ok(())
}

fn pause() -> Result<(), String> {
    match rustix::event::poll(&mut [], Some(&LOOK_AGAIN)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
