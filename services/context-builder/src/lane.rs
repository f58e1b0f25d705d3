//! Lane: what waits and what runs on one pull request, and what is remembered of its comments.
//!
//! Pure state. This role alone writes it, by compare-and-swap; a function may therefore run more than once for one
//! change and must only look at its arguments. Nothing leaves the queue but by [`Lane::finished`]: a request that
//! is withdrawn is first ended in its run record, so that a crash between the two is made good by a redelivery.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pipeline::ids::{CommentId, RunId};
use pipeline::mention::{Command, CommandDigest, Mention};
use pipeline::message::{Message, VERSION};
use pipeline::subject::lane_key;
use serde::{Deserialize, Serialize};

use crate::limits::{CLAIM_LEASE, COMMENTS_MAX, REFUSAL_SILENCE};

/// The record of one lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

/// A run that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The run.
    pub(crate) run: RunId,
    /// The comment that asked.
    pub(crate) comment: CommentId,
    /// The place in `EVENTS` of the delivery that asked.
    pub(crate) sequence: u64,
    /// When it entered the queue.
    pub(crate) at: Timestamp,
}

/// The run that has its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// What it was in the queue.
    pub(crate) entry: Entry,
    /// The process that prepares or prepared its job.
    pub(crate) by: String,
    /// When that process began; without a job its claim runs out.
    pub(crate) claimed_at: Timestamp,
    /// When its turn came.
    pub(crate) since: Timestamp,
    /// How often its job could not be prepared.
    pub(crate) tries: u32,
    /// Whether its job is in `JOBS`, or was.
    pub(crate) dispatched: bool,
}

/// What is known of a comment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The comment is gone, and whatever arrives late from before is void.
    pub(crate) deleted: bool,
}

/// A refusal a person has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// Who was refused.
    pub(crate) person: String,
    /// When.
    pub(crate) at: Timestamp,
    /// The run that says it.
    pub(crate) run: RunId,
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
    /// The run has begun: the edit changes nothing and the person is told.
    TooLate(RunId),
    /// The waiting run is ended.
    Withdraw(RunId),
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
        }
    }
}

impl Lane {
    /// Takes note of a mention and says what follows. [`Course::Start`] changes nothing yet: see [`Lane::enter`]
    /// and [`Lane::refuse`].
    pub(crate) fn hear(&mut self, mention: &Mention) -> Course {
        let digest = mention.command.as_ref().map(Command::digest);
        let begun = self.running.as_ref().map(|running| running.entry.run.clone());
        let waiting = |run: &RunId| self.queue.iter().any(|entry| entry.run == *run);
        let Some(memory) = self.comments.get(&mention.comment) else {
            if digest.is_none() {
                self.remember(mention, None, None);
                return Course::Nothing("the comment never asked for anything here");
            }
            return Course::Start(run_of(mention));
        };
        if memory.deleted {
            return Course::Nothing("the comment was deleted");
        }
        if mention.comment_version < memory.version {
            return Course::Nothing("a newer version of the comment is known");
        }
        let run = memory.run.clone();
        let known = memory.digest.clone();
        if mention.comment_version == memory.version {
            return match (run, digest) {
                (Some(run), Some(digest)) if known.as_ref() == Some(&digest) => Course::Resume(run),
                (Some(run), None) if known.is_none() => Course::Withdraw(run),
                (Some(run), _) if begun.as_ref() == Some(&run) => Course::TooLate(run),
                _ => Course::Nothing("this version of the comment is known"),
            };
        }
        match (run, digest) {
            (run, digest) if known == digest => {
                self.remember(mention, digest, run);
                Course::Nothing("the edit did not change what is asked for")
            }
            (Some(run), _) if begun.as_ref() == Some(&run) => {
                self.remember(mention, known, Some(run.clone()));
                Course::TooLate(run)
            }
            (Some(run), Some(digest)) if waiting(&run) => {
                self.remember(mention, Some(digest), Some(run.clone()));
                Course::Amend(run)
            }
            (Some(run), None) if waiting(&run) => {
                self.remember(mention, None, Some(run.clone()));
                Course::Withdraw(run)
            }
            (_, Some(_)) => Course::Start(run_of(mention)),
            (run, None) => {
                self.remember(mention, None, run);
                Course::Nothing("what the comment asked for has already ended")
            }
        }
    }

    /// Puts the run of an allowed mention into the queue, at the place its event has. Returns what follows now:
    /// another delivery may have come first.
    pub(crate) fn enter(&mut self, mention: &Mention, now: Timestamp) -> Course {
        let course = self.hear(mention);
        match &course {
            Course::Start(run) => {
                let digest = mention.command.as_ref().map(Command::digest);
                self.remember(mention, digest, Some(run.clone()));
                self.enqueue(run.clone(), mention, now);
            }
            Course::Resume(run)
                if self
                    .comments
                    .get(&mention.comment)
                    .is_some_and(|memory| memory.refused) =>
            {
                self.remember(
                    mention,
                    mention.command.as_ref().map(Command::digest),
                    Some(run.clone()),
                );
                self.enqueue(run.clone(), mention, now);
            }
            _ => {}
        }
        course
    }

    fn enqueue(&mut self, run: RunId, mention: &Mention, now: Timestamp) {
        let origin = &mention.origin;
        self.key = lane_key(&origin.instance, origin.repository.id, &origin.lane());
        let sequence = origin.event_sequence;
        let place = self.queue.partition_point(|entry| entry.sequence <= sequence);
        self.queue.insert(
            place,
            Entry {
                run,
                comment: mention.comment,
                sequence,
                at: now,
            },
        );
    }

    /// Takes note of a refusal. Returns whether to say it: once for a person within the time of silence, and for
    /// the same run always, since saying it may have been interrupted.
    pub(crate) fn refuse(&mut self, mention: &Mention, run: &RunId, person: &str, now: Timestamp) -> bool {
        if !self
            .comments
            .get(&mention.comment)
            .is_some_and(|memory| memory.deleted)
        {
            let digest = mention.command.as_ref().map(Command::digest);
            self.remember(mention, digest, Some(run.clone()));
            self.comments
                .entry(mention.comment)
                .and_modify(|memory| memory.refused = true);
        }
        self.queue.retain(|entry| entry.run != *run);
        self.refusals
            .retain(|refusal| now.duration_since(refusal.at) < REFUSAL_SILENCE);
        if let Some(spoken) = self.refusals.iter().find(|refusal| refusal.person == person) {
            return spoken.run == *run;
        }
        self.refusals.push(Refusal {
            person: person.to_owned(),
            at: now,
            run: run.clone(),
        });
        true
    }

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
            .filter(|entry| entry.sequence <= sequence)
            .map(|entry| entry.run.clone())
            .collect()
    }

    /// Whether an entry is still wanted.
    pub(crate) fn standing(&self, entry: &Entry) -> Standing {
        match self.comments.get(&entry.comment) {
            Some(memory) if memory.deleted => Standing::Deleted,
            Some(memory) if memory.digest.is_none() => Standing::Withdrawn,
            _ if entry.sequence <= self.stopped_through => Standing::Closed,
            _ => Standing::Wanted,
        }
    }

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

    /// The run has ended, or never came to be: it gives up its place.
    pub(crate) fn finished(&mut self, run: &RunId) {
        self.queue.retain(|entry| entry.run != *run);
        self.running.take_if(|running| running.entry.run == *run);
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

    fn remember(&mut self, mention: &Mention, digest: Option<CommandDigest>, run: Option<RunId>) {
        let memory = Memory {
            version: mention.comment_version,
            digest,
            run,
            refused: false,
            deleted: false,
        };
        self.comments.insert(mention.comment, memory);
        self.forget_surplus();
    }

    /// Forgets the oldest comments beyond the limit, never one with a run that has not ended.
    fn forget_surplus(&mut self) {
        while self.comments.len() > COMMENTS_MAX {
            let held: Vec<CommentId> = self
                .queue
                .iter()
                .chain(self.running.as_ref().map(|running| &running.entry))
                .map(|entry| entry.comment)
                .collect();
            let Some(oldest) = self
                .comments
                .keys()
                .copied()
                .find(|comment| !held.contains(comment))
            else {
                return;
            };
            self.comments.remove(&oldest);
        }
    }
}

/// The run that a mention starts.
fn run_of(mention: &Mention) -> RunId {
    RunId::derive(&mention.origin.instance, mention.comment, mention.comment_version)
}

#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod tests;
