//! Which process a recorded pid was. A pid alone may by now be someone else's.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};

/// How long a process has after SIGTERM before SIGKILL: nats-server ends within a second.
pub(super) const TERM_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a process may take to disappear after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a process that is not our child is looked at while it ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process, by its pid and by when it started, in clock ticks since boot (`/proc/<pid>/stat`, field 22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    started: u64,
}

impl Process {
    /// The process with this pid now. On a system without `/proc` there is none, and nothing is ever ended.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name in parentheses, which may hold anything; what follows it is fixed.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // A zombie has ended; only its parent has not looked yet.
        if fields.first() == Some(&"Z") {
            return None;
        }
        // Field 22 of the line; the first after the name is field 3.
        let started = fields.get(19)?.parse().ok()?;
        Some(Self { pid, started })
    }

    pub(super) fn this() -> Option<Self> {
        Self::of(std::process::id())
    }

    pub(super) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Asks the process to end, makes it after [`TERM_TIMEOUT`], and says whether it is gone.
    pub(super) async fn end(self) -> bool {
        for (signal, timeout) in [(Signal::TERM, TERM_TIMEOUT), (Signal::KILL, KILL_TIMEOUT)] {
            if !self.is_alive() {
                return true;
            }
            self.signal(signal);
            let gone = async {
                while self.is_alive() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            };
            if tokio::time::timeout(timeout, gone).await.is_ok() {
                return true;
            }
        }
        false
    }

    pub(super) fn signal(self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        if let Err(error) = kill_process(pid, signal) {
            // Gone already, which is what was wanted; anything else shows when it does not end.
            tracing::debug!(pid = self.pid, %error, exists = test_kill_process(pid).is_ok(), "signal not delivered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_pid_is_another_process() {
        let this = Process::this().unwrap();
        assert!(this.is_alive());
        assert!(
            !Process {
                started: this.started + 1,
                ..this
            }
            .is_alive()
        );
    }
}
