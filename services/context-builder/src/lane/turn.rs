//! Whose turn it is, and who prepares its job.

use jiff::Timestamp;
use pipeline::ids::RunId;

use super::{Lane, Running, Turn};
use crate::limits::CLAIM_LEASE;

impl Lane {
    /// Who is next, as the process `by` sees it.
    pub(crate) fn turn(&self, by: &str, now: Timestamp) -> Turn {
        let Some(running) = &self.running else {
            return self
                .queue
                .first()
                .map_or(Turn::Idle, |entry| Turn::Next(entry.clone()));
        };
        if running.dispatched {
            return Turn::Busy;
        }
        let until = running.claimed_at + CLAIM_LEASE;
        if running.by == by || now >= until {
            Turn::Next(running.entry.clone())
        } else {
            Turn::Claimed { until }
        }
    }

    /// Gives `run` its turn, for `by` to prepare its job. Returns the turn as it then stands, or nothing where
    /// another run or process was faster.
    pub(crate) fn claim(&mut self, run: &RunId, by: &str, now: Timestamp) -> Option<Running> {
        match self.turn(by, now) {
            Turn::Next(entry) if entry.run == *run => {
                self.queue.retain(|waiting| waiting.run != *run);
                let before = self.running.take();
                let running = Running {
                    since: before.as_ref().map_or(now, |running| running.since),
                    tries: before.as_ref().map_or(0, |running| running.tries),
                    entry,
                    by: by.to_owned(),
                    claimed_at: now,
                    dispatched: false,
                };
                self.running = Some(running.clone());
                Some(running)
            }
            _ => None,
        }
    }

    /// The job of `run` is in `JOBS`.
    pub(crate) fn dispatched(&mut self, run: &RunId) {
        if let Some(running) = self.running.as_mut().filter(|running| running.entry.run == *run) {
            running.dispatched = true;
        }
    }

    /// The job of `run` could not be prepared; returns how often that has happened.
    pub(crate) fn missed(&mut self, run: &RunId) -> u32 {
        match self.running.as_mut().filter(|running| running.entry.run == *run) {
            Some(running) => {
                running.tries += 1;
                running.tries
            }
            None => 0,
        }
    }
}
