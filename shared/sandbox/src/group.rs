//! A child's process group: knows when its leader has ended, and kills all of it.

use std::io;

use rustix::process::{Pid, Signal as Kill, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A running process group. Dropping it kills the group.
///
/// The leader must not be reaped before: only until then is its number sure to mean this group and no other.
pub(crate) struct Group {
    leader: Pid,
    child_ended: Signal,
    killed: bool,
}

impl Group {
    /// Takes over the group of the child `leader`, which was started as a group leader and is not reaped.
    pub(crate) fn of(leader: u32) -> io::Result<Self> {
        let leader = i32::try_from(leader)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other(format!("{leader} is not a process id")))?;
        // On failure there is no Group yet that would end it.
        let child_ended = signal(SignalKind::child()).inspect_err(|_| kill(leader))?;
        Ok(Self {
            leader,
            child_ended,
            killed: false,
        })
    }

    /// Returns when the leader has ended, and leaves it to be reaped.
    pub(crate) async fn leader_ended(&mut self) -> io::Result<()> {
        // The signal says only that some child ended, so each asks for its own. It was subscribed to before the first
        // question: an end in between is not missed.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(self.leader), options)?.is_none() {
            self.child_ended.recv().await;
        }
        Ok(())
    }

    /// Kills every process of the group. The leader may have ended, but must not be reaped yet.
    pub(crate) fn kill(&mut self) {
        if !std::mem::replace(&mut self.killed, true) {
            kill(self.leader);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn kill(leader: Pid) {
    // ESRCH cannot happen: an unreaped leader is a member of its group. Anything else means that processes go on
    // running, which an operator has to know.
    if let Err(error) = kill_process_group(leader, Kill::KILL) {
        tracing::error!(group = leader.as_raw_nonzero().get(), %error, "cannot kill a process group");
    }
}
