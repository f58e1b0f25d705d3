//! Looking at what a run uses, from outside of it (`sandbox.md Limits`).
//!
//! Nothing here relies on what the run says: processes and memory are read from `/proc`, disk use from the directories
//! and from what its processes hold open. What takes long takes breaks: looking costs a tenth of a core at most.

use std::fs;
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::process;
use crate::cell::How;
use crate::cell::wire::Plan;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The first looks come sooner, so that a short run is seen at all.
const FIRST_LOOK: Duration = Duration::from_millis(20);
/// A look is followed by a break this many times as long as it took.
const BREAK_FACTOR: u32 = 9;
/// Under a machine's full load the break is cut here, to stay within the promised two seconds.
const BREAK_MAX: Duration = Duration::from_millis(800);
/// The worker ends a run at its wall clock. The warden is the second line, this much later.
const WALL_GRACE: Duration = Duration::from_secs(1);

/// A run that is looked at.
pub(super) struct Watch {
    plan: Plan,
    init: rustix::process::Pid,
    started: Instant,
    next_look: Instant,
    wait: Duration,
    disk: Disk,
    memory_peak_bytes: u64,
}

impl Watch {
    /// Before the program is started: measures what is there already.
    pub(super) fn new(plan: &Plan, init: rustix::process::Pid) -> Self {
        let now = Instant::now();
        Self {
            plan: plan.clone(),
            init,
            started: now,
            next_look: now,
            wait: FIRST_LOOK,
            disk: Disk::measure([&plan.work_tree, &plan.home, &plan.tmp], plan.limits.disk_bytes),
            memory_peak_bytes: 0,
        }
    }

    /// The program was started now.
    pub(super) fn started(&mut self) {
        self.started = Instant::now();
        self.next_look = self.started + self.wait;
    }

    /// How long nothing has to be looked at.
    pub(super) fn idle(&self) -> Duration {
        self.next_look.saturating_duration_since(Instant::now())
    }

    /// The most memory that was seen in use at one time.
    pub(super) fn memory_peak_bytes(&self) -> u64 {
        self.memory_peak_bytes
    }

    /// Looks, if it is time to. Returns the limit that the run is over.
    pub(super) fn look(&mut self) -> Option<How> {
        let begun = Instant::now();
        if begun < self.next_look {
            return None;
        }
        let over = self.over();
        let took = begun.elapsed();
        self.wait = (self.wait * 2).min(LOOK_EVERY);
        self.next_look = begun + self.wait.max((took * BREAK_FACTOR).min(BREAK_MAX));
        over
    }

    fn over(&mut self) -> Option<How> {
        let limits = self.plan.limits;
        if self.started.elapsed() > limits.wall.saturating_add(WALL_GRACE) {
            return Some(How::TimeLimit);
        }
        // A /proc that cannot be read is no reason to end a run; the kernel's own limits hold on.
        let processes = process::below(self.init).unwrap_or_default();
        if processes.iter().map(|process| process.threads).sum::<u64>() > limits.processes {
            return Some(How::ProcessLimit);
        }
        let memory = processes.iter().map(|process| memory_of(process.pid)).sum();
        self.memory_peak_bytes = self.memory_peak_bytes.max(memory);
        if memory > limits.memory_bytes {
            return Some(How::MemoryLimit);
        }
        self.disk.is_over(&processes).then_some(How::DiskLimit)
    }
}

/// What a process keeps in memory that is not a file: its own pages, and those it shares.
fn memory_of(process: rustix::process::Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    (kib("RssAnon:").unwrap_or(0) + kib("RssShmem:").unwrap_or(0)) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_touched_is_seen() {
        let me = rustix::process::getpid();
        let before = memory_of(me);
        let bytes = vec![1_u8; 64 * 1024 * 1024];
        let after = memory_of(me);
        assert!(
            after >= before + 60 * 1024 * 1024,
            "{before} {after} {}",
            bytes.len()
        );
    }
}
