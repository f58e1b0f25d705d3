//! The limits that the kernel itself keeps of each process (`sandbox.md Limits`).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::{Resource, Rlimit};

use super::{identity, process, step};
use crate::cell::wire::{Failure, Plan};
use crate::level::Level;

/// Above the run's limit of processes, so that going over it can be seen from outside and ends the run, instead of
/// leaving it with failing forks.
const PROCESSES_HEADROOM: u64 = 64;
/// The same where others of the same user count too, and not all of them can be seen.
const SHARED_HEADROOM: u64 = 512;
/// Private memory of one process. Runtimes reserve much more than they use; below 2 GiB some do not start. What is
/// really used by all processes together is watched from outside.
const DATA_BYTES_MIN: u64 = 4 * 1024 * 1024 * 1024;
/// Open files of one process; language servers and bundlers watch thousands. As many may be on their way from one process
/// to another, of a user who has no further rights.
const FILES: u64 = 16_384;
/// Being the one the kernel ends first when the machine is short of memory; the worker and the warden stay.
const OUT_OF_MEMORY_SCORE: &str = "700";

/// Sets all of them on this process and what it will start.
pub(super) fn set(plan: &Plan) -> Result<(), Failure> {
    let limits = plan.limits;
    // Counted per user: in a user namespace these are the run's own, elsewhere everybody's.
    let above = if plan.level == Level::Two {
        PROCESSES_HEADROOM
    } else {
        SHARED_HEADROOM + tasks_of(identity::outside(plan).0)
    };
    for (resource, value) in [
        (Resource::Nproc, limits.processes.saturating_add(above)),
        (Resource::Data, limits.memory_bytes.max(DATA_BYTES_MIN)),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Core, 0),
        (Resource::Nofile, FILES),
        (Resource::Msgqueue, 0),
    ] {
        // Whoever may not raise a limit may not set a higher one either.
        let maximum = rustix::process::getrlimit(resource).maximum;
        let value = maximum.map_or(value, |maximum| maximum.min(value));
        let limit = Rlimit {
            current: Some(value),
            maximum: Some(value),
        };
        rustix::process::setrlimit(resource, limit)
            .map_err(|error| Failure::Cell(format!("the limit of {resource:?}: {error}")))?;
    }
    Ok(())
}

/// Makes this process and all it starts the ones to go when the machine is short of memory.
pub(super) fn yield_memory() -> Result<(), Failure> {
    fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY_SCORE).map_err(step("the out-of-memory score"))
}

/// How many processes and threads a user has, those not counted that are closed to it (the worker, which holds
/// credentials, is one).
fn tasks_of(user: u32) -> u64 {
    let count = |entry: io::Result<fs::DirEntry>| -> Option<u64> {
        let entry = entry.ok()?;
        if entry.metadata().ok()?.uid() != user {
            return None;
        }
        let status = process::text_of(entry.path().join("status"))?;
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"))?;
        threads.trim().parse().ok()
    };
    fs::read_dir("/proc").map_or(0, |entries| entries.filter_map(count).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_user_has_at_least_this_thread() {
        let me = rustix::process::getuid().as_raw();
        assert!(tasks_of(me) >= 1);
        assert_eq!(tasks_of(4_000_000_000), 0, "nobody has this number");
    }
}
