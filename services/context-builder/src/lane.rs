//! Lane: what waits and what runs on one pull request, and what is remembered of its comments.
//!
//! Pure state. This role alone writes it, by compare-and-swap; a function may therefore run more than once for one
//! change and must only look at its arguments. Nothing leaves the queue but by [`Lane::finished`]: a request that
//! is withdrawn is first ended in its run record, so that a crash between the two is made good by a redelivery.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, RunId};
use pipeline::mention::CommandDigest;
use pipeline::message::{Message, VERSION};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod bars;
mod hear;
mod late;
mod stops;
mod turn;

pub(crate) use bars::Rules;
pub(crate) use stops::{Asked, Stop};

/// The record of one lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Lane {
    /// Message version.
    pub(crate) v: u32,
    /// Its key in the bucket; empty before anything was asked.
    #[serde(default)]
    pub(crate) key: String,
    /// What waits, in the order of the events that asked.
    pub(crate) queue: Vec<Entry>,
    /// What has its turn. At most one.
    pub(crate) running: Option<Running>,
    /// What is known of each comment that asked or was deleted.
    pub(crate) comments: BTreeMap<CommentId, Memory>,
    /// Refusals spoken within the last hour.
    pub(crate) refusals: Vec<Refusal>,
    /// Whatever was asked up to this place in `EVENTS` is not begun any more: the pull request was closed then.
    pub(crate) stopped_through: u64,
    /// The last `stop` of somebody who may stop everything: it also ends what was written before it and arrives later.
    #[serde(default)]
    pub(crate) stop_of_all: Option<Stop>,
    /// The last `stop` of each person of their own.
    #[serde(default)]
    pub(crate) stops_of_own: BTreeMap<String, Asked>,
    /// When the runs of the last hour that may change something were asked for.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) started: Vec<Timestamp>,
    /// When those were asked for that only read. They are counted apart: whoever may only ask keeps nobody from working.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) started_to_read: Vec<Timestamp>,
    /// What was answered at once within the last hour.
    #[serde(default)]
    pub(crate) answers: Vec<Spoken>,
}

/// A run that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Entry {
    /// The run.
    pub(crate) run: RunId,
    /// The comment that asked.
    pub(crate) comment: CommentId,
    /// The place in `EVENTS` of the delivery that asked.
    pub(crate) sequence: u64,
    /// When what it asks for now was written.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) written_at: Option<Timestamp>,
    /// When it entered the queue.
    #[schemars(with = "String")]
    pub(crate) at: Timestamp,
    /// Who asked, as [`crate::permission::key_of`] says it.
    #[serde(default)]
    pub(crate) person: String,
    /// Whether it goes before what else waits.
    #[serde(default)]
    pub(crate) front: bool,
    /// Whether its text is what is done, so that a comment in free text may add to it.
    #[serde(default)]
    pub(crate) takes_text: bool,
    /// Comments whose text was added to the request.
    #[serde(default)]
    pub(crate) merged: Vec<CommentId>,
    /// Whether it was let in although the pull request was closed: an event that tells of that is no news to it.
    #[serde(default)]
    pub(crate) after_end: bool,
}

/// The run that has its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Running {
    /// What it was in the queue.
    pub(crate) entry: Entry,
    /// The process that prepares or prepared its job.
    pub(crate) by: String,
    /// When that process began; without a job its claim runs out.
    #[schemars(with = "String")]
    pub(crate) claimed_at: Timestamp,
    /// When its turn came.
    #[schemars(with = "String")]
    pub(crate) since: Timestamp,
    /// How often its job could not be prepared.
    pub(crate) tries: u32,
    /// Whether its job is in `JOBS`, or was.
    pub(crate) dispatched: bool,
}

/// What is known of a comment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Memory {
    /// The highest version seen.
    pub(crate) version: u32,
    /// What it asks for; nothing after the mention was taken away.
    pub(crate) digest: Option<CommandDigest>,
    /// The last run it started.
    pub(crate) run: Option<RunId>,
    /// Its last run was refused, so that it has no place in the queue.
    #[serde(default)]
    pub(crate) refused: bool,
    /// Its last run was an answer given at once, which nobody goes back to.
    #[serde(default)]
    pub(crate) answered: bool,
    /// The run its last request was added to.
    #[serde(default)]
    pub(crate) merged_into: Option<RunId>,
    /// The comment is gone, and whatever arrives late from before is void.
    pub(crate) deleted: bool,
}

/// A refusal that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Refusal {
    /// Who was refused; empty where it is the same for everyone.
    pub(crate) person: String,
    /// Why; absent in what older builds wrote.
    #[serde(default)]
    pub(crate) code: Option<FailureCode>,
    /// When.
    #[schemars(with = "String")]
    pub(crate) at: Timestamp,
    /// The run that says it.
    pub(crate) run: RunId,
}

/// Something that was answered at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Spoken {
    /// To whom, as [`crate::permission::key_of`] says it.
    pub(crate) person: String,
    /// When.
    #[schemars(with = "String")]
    pub(crate) at: Timestamp,
}

/// What follows from a mention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Course {
    /// Nothing, and why.
    Nothing(&'static str),
    /// A new run, once it is known that the requester may.
    Start(RunId),
    /// The same mention again: finish what its first delivery began.
    Resume(RunId),
    /// The waiting run gets the new command.
    Amend(RunId),
    /// The run has begun: the edit changes nothing and the person is told. Not noted yet: see [`Lane::came_too_late`].
    TooLate(RunId),
    /// The waiting run is ended.
    Withdraw(RunId),
    /// The new run does not begin, and why.
    Barred(RunId, FailureCode),
    /// The request adds to a run that waits.
    Merge {
        /// The request's own run, which says so.
        run: RunId,
        /// The run it adds to.
        into: RunId,
    },
}

/// Who is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing waits.
    Idle,
    /// A run has its turn.
    Busy,
    /// Another process is preparing the job, until its claim runs out.
    Claimed {
        /// When that is.
        until: Timestamp,
    },
    /// This one is next.
    Next(Entry),
}

/// Whether an entry is still wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is.
    Wanted,
    /// Its comment was deleted.
    Deleted,
    /// Its comment no longer mentions us.
    Withdrawn,
    /// The pull request was closed after it was asked.
    Closed,
    /// Somebody who may has stopped it.
    Stopped,
}

impl Message for Lane {
    const NAME: &'static str = "lane";
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            v: VERSION,
            key: String::new(),
            queue: Vec::new(),
            running: None,
            comments: BTreeMap::new(),
            refusals: Vec::new(),
            stopped_through: 0,
            stop_of_all: None,
            stops_of_own: BTreeMap::new(),
            started: Vec::new(),
            started_to_read: Vec::new(),
            answers: Vec::new(),
        }
    }
}

impl Lane {
    /// Takes note that a comment is gone; returns the run to end.
    pub(crate) fn deleted(&mut self, comment: CommentId) -> Option<RunId> {
        let memory = self.comments.entry(comment).or_default();
        memory.deleted = true;
        let run = memory.run.clone();
        self.forget_surplus();
        run
    }

    /// Takes note that the pull request was closed at this place in `EVENTS`; returns the runs to end.
    pub(crate) fn closed(&mut self, sequence: u64) -> Vec<RunId> {
        self.stopped_through = self.stopped_through.max(sequence);
        let running = self.running.iter().map(|running| &running.entry);
        running
            .chain(&self.queue)
            .filter(|entry| entry.sequence <= sequence && !entry.after_end)
            .map(|entry| entry.run.clone())
            .collect()
    }

    /// The same where the pull request was deleted, which nothing outlives.
    pub(crate) fn gone(&mut self, sequence: u64) -> Vec<RunId> {
        let running = self.running.as_mut().map(|running| &mut running.entry);
        for entry in self.queue.iter_mut().chain(running) {
            entry.after_end = false;
        }
        self.closed(sequence)
    }

    /// The run was let in when it was known that the pull request is closed: what tells of that end, however late, does
    /// not stop it.
    pub(crate) fn outlives_the_end(&mut self, run: &RunId) {
        let waiting = self.queue.iter_mut().find(|entry| entry.run == *run);
        if let Some(entry) = waiting {
            entry.after_end = true;
        }
    }

    /// Whether an entry is still wanted.
    pub(crate) fn standing(&self, entry: &Entry) -> Standing {
        match self.comments.get(&entry.comment) {
            Some(memory) if memory.deleted => Standing::Deleted,
            Some(memory) if memory.digest.is_none() => Standing::Withdrawn,
            _ if entry.sequence <= self.stopped_through && !entry.after_end => Standing::Closed,
            _ if self.was_stopped(&entry.person, &entry.asked()) => Standing::Stopped,
            _ => Standing::Wanted,
        }
    }

    /// The run has ended, or never came to be: it gives up its place.
    pub(crate) fn finished(&mut self, run: &RunId) {
        self.queue.retain(|entry| entry.run != *run);
        self.running.take_if(|running| running.entry.run == *run);
    }

    /// Whether nothing runs and nothing waits.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.running.is_none() && self.queue.is_empty()
    }

    /// Whether `run` waits or has its turn.
    pub(crate) fn holds(&self, run: &RunId) -> bool {
        self.queue
            .iter()
            .chain(self.running.as_ref().map(|running| &running.entry))
            .any(|entry| entry.run == *run)
    }

    /// Every waiting run with the number of runs before it.
    pub(crate) fn ahead(&self) -> Vec<(RunId, u32)> {
        let before = u32::from(self.running.is_some());
        let wanted = self
            .queue
            .iter()
            .filter(|entry| self.standing(entry) == Standing::Wanted);
        wanted.map(|entry| entry.run.clone()).zip(before..).collect()
    }

    /// What the comment asks for, as last heard.
    pub(crate) fn digest_of(&self, comment: CommentId) -> Option<&CommandDigest> {
        self.comments.get(&comment)?.digest.as_ref()
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod tests;
