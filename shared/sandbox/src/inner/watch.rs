//! Looking at what a run uses, from outside of it (`sandbox.md Limits`).
//!
//! Nothing here relies on what the run says: processes and memory are read from `/proc`, disk use from the directories
//! and from what its processes hold open. What takes long takes breaks: looking costs a tenth of a core at most.

use std::time::{Duration, Instant};

use super::disk::Disk;
use super::eyes::Eyes;
use super::held::Held;
use super::memory::{self, Machine};
use super::process;
use super::slice::processor_time_used;
use crate::cell::How;
use crate::cell::wire::Plan;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The first looks come sooner, so that a short run is seen at all.
const FIRST_LOOK: Duration = Duration::from_millis(20);
/// A look is followed by a break this many times as long as it worked.
const BREAK_FACTOR: u32 = 9;
/// With very many processes or descriptors the break is cut here, to stay within the promised two seconds.
const BREAK_MAX: Duration = Duration::from_millis(500);
/// While looking is urgent the break is this part of the work, and not shorter than that.
const PRESSED_BREAK_PART: u32 = 2;
const PRESSED_BREAK_MIN: Duration = Duration::from_millis(10);
/// So many looks in a row may fail before the run is ended: two seconds in which nobody has seen what it does.
const FAILED_LOOKS_MAX: u32 = 8;
/// The worker ends a run at its wall clock. The warden is the second line, this much later.
const WALL_GRACE: Duration = Duration::from_secs(1);

/// A run that is looked at.
pub(super) struct Watch {
    plan: Plan,
    init: rustix::process::Pid,
    started: Instant,
    next_look: Instant,
    wait: Duration,
    held: Held,
    disk: Disk,
    machine: Machine,
    memory_peak_bytes: u64,
    failed_looks: u32,
    /// The last time its processes and what they look at in memory were within their limits; and all its memory.
    within: Instant,
    memory_within: Instant,
}

impl Watch {
    /// Before the program is started: measures what is there already.
    pub(super) fn new(plan: &Plan, init: rustix::process::Pid) -> Result<Self, String> {
        let now = Instant::now();
        let tops = Disk::open([&plan.work_tree, &plan.home, &plan.tmp])?;
        let eyes = Eyes::of(plan.user)?;
        let disk = Disk::measure(tops, eyes.user(), plan.limits.disk_bytes)?;
        Ok(Self {
            plan: plan.clone(),
            init,
            started: now,
            next_look: now,
            wait: FIRST_LOOK,
            held: Held::default(),
            disk,
            machine: Machine::now(),
            memory_peak_bytes: 0,
            failed_looks: 0,
            within: now,
            memory_within: now,
        })
    }

    /// The program was started now.
    pub(super) fn started(&mut self) {
        self.started = Instant::now();
        self.within = self.started;
        self.memory_within = self.started;
        self.disk.started();
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

    /// When the run was last seen to be within the limit that ended it; `None` where nobody looks.
    pub(super) fn within(&self, limit: How) -> Option<Instant> {
        match limit {
            How::ProcessLimit => Some(self.within),
            How::MemoryLimit => Some(self.memory_within),
            // No sooner than what processes hold has been seen.
            How::DiskLimit => Some(
                self.disk
                    .within()
                    .min(self.held.seen_since().unwrap_or(self.started)),
            ),
            _ => None,
        }
    }

    /// Looks, if it is time to. Returns the limit that the run is over; fails when it could not be seen for too long.
    pub(super) fn look(&mut self) -> Result<Option<How>, String> {
        let begun = Instant::now();
        if begun < self.next_look {
            return Ok(None);
        }
        let worked = processor_time_used();
        let over = self.over();
        let worked = processor_time_used().saturating_sub(worked);
        self.wait = (self.wait * 2).min(LOOK_EVERY);
        self.next_look = if self.disk.is_pressed() {
            Instant::now() + (worked / PRESSED_BREAK_PART).max(PRESSED_BREAK_MIN)
        } else {
            begun + self.wait.max((worked * BREAK_FACTOR).min(BREAK_MAX))
        };
        match over {
            Ok(over) => {
                self.failed_looks = 0;
                Ok(over)
            }
            Err(_) if self.failed_looks < FAILED_LOOKS_MAX => {
                self.failed_looks += 1;
                Ok(None)
            }
            Err(reason) => Err(format!("what the run uses cannot be seen: {reason}")),
        }
    }

    fn over(&mut self) -> Result<Option<How>, String> {
        let (limits, now) = (self.plan.limits, Instant::now());
        let _eyes = Eyes::of(self.plan.user)?;
        if self.started.elapsed() > limits.wall.saturating_add(WALL_GRACE) {
            return Ok(Some(How::TimeLimit));
        }
        let processes = process::below(self.init).map_err(|error| format!("its processes: {error}"))?;
        if processes.iter().map(|process| process.threads).sum::<u64>() > limits.processes {
            return Ok(Some(How::ProcessLimit));
        }
        let held = self.held.look(&processes, limits.memory_bytes);
        let (at_once, memory) = memory::of_all(&processes, &held);
        self.memory_peak_bytes = self.memory_peak_bytes.max(memory);
        if at_once > limits.memory_bytes {
            self.memory_within = self.within;
        }
        if memory > limits.memory_bytes || self.machine.is_short(memory, limits.memory_bytes) {
            return Ok(Some(How::MemoryLimit));
        }
        self.within = now;
        // What is shared is known as of the last time that all maps were read.
        self.memory_within = self.held.maps_seen_since().unwrap_or(self.started);
        let over = self.disk.is_over(&held);
        let over = over.map_err(|error| format!("its files: {error}"))?;
        match held.unseen {
            _ if over => Ok(Some(How::DiskLimit)),
            Some(reason) => Err(reason),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(top: &std::path::Path) -> Plan {
        let top = top.to_owned();
        Plan {
            level: crate::level::Level::Off,
            work_tree: top.clone(),
            home: top.clone(),
            tmp: top.clone(),
            executable: top,
            read_paths: Vec::new(),
            needs: crate::cell::Needs::default(),
            bind_listener: false,
            model_port: None,
            limits: crate::limits::CellLimits::default(),
            user: None,
        }
    }

    /// The looks until the first one that says something.
    fn looks(watch: &mut Watch) -> (u32, Result<Option<How>, String>) {
        for number in 1..=FAILED_LOOKS_MAX * 2 {
            watch.next_look = Instant::now();
            match watch.look() {
                Ok(None) => {}
                other => return (number, other),
            }
        }
        (0, Ok(None))
    }

    #[test]
    fn a_run_that_cannot_be_seen_is_ended() {
        let top = tempfile::tempdir().unwrap();
        #[expect(clippy::disallowed_methods, reason = "somebody who is gone")]
        let mut gone = std::process::Command::new("/bin/true").spawn().unwrap();
        gone.wait().unwrap();
        let gone = rustix::process::Pid::from_raw(gone.id().cast_signed()).unwrap();
        let (number, ended) = looks(&mut Watch::new(&plan(top.path()), gone).unwrap());
        assert_eq!(number, FAILED_LOOKS_MAX + 1);
        assert!(ended.unwrap_err().contains("processes"));
        // The control: one that can be seen goes on.
        let me = rustix::process::getpid();
        let mut seen = Watch::new(&plan(top.path()), me).unwrap();
        assert_eq!(looks(&mut seen), (0, Ok(None)));
        // And whose files cannot be seen does not.
        std::fs::remove_dir(top.path()).unwrap();
        let (number, ended) = looks(&mut seen);
        assert_eq!(number, FAILED_LOOKS_MAX + 1);
        assert!(ended.unwrap_err().contains("files"));
    }
}
