//! What a lane makes of mentions: versions, edits, redeliveries and refusals.

use jiff::Timestamp;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, RunId};
use pipeline::mention::{Command, CommandDigest, Mention, Verb};
use pipeline::subject::lane_key;

use super::{Course, Entry, Lane, Memory, Refusal};
use crate::limits::{COMMENTS_MAX, REFUSAL_SILENCE, REFUSALS_MAX};
use crate::permission::key_of;

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
        if let Some(run) = self.given_up(mention, run.as_ref()) {
            self.remember(mention, digest, Some(run.clone()));
            return Course::Withdraw(run);
        }
        if mention.comment_version == memory.version {
            return match (run, digest) {
                // It waited when this version gave it up, and may have begun since.
                (Some(run), Some(digest))
                    if known.as_ref() == Some(&digest) && self.is_given_up(mention, &run) =>
                {
                    Course::Withdraw(run)
                }
                (Some(run), Some(digest)) if known.as_ref() == Some(&digest) => Course::Resume(run),
                (Some(run), None) if known.is_none() => Course::Withdraw(run),
                (Some(run), _) if begun.as_ref() == Some(&run) => Course::TooLate(run),
                _ => Course::Nothing("this version of the comment is known"),
            };
        }
        match (run, digest) {
            (run, digest) if known == digest => self.hear_again(mention, run),
            (Some(run), None) if begun.as_ref() == Some(&run) => {
                self.remember(mention, None, Some(run.clone()));
                Course::Withdraw(run)
            }
            // Noted when the run's record says it: see [`Lane::came_too_late`].
            (Some(run), Some(_)) if begun.as_ref() == Some(&run) => Course::TooLate(run),
            (Some(run), Some(digest)) if waiting(&run) => {
                self.remember(mention, Some(digest), Some(run.clone()));
                self.amend(mention, &run);
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

    /// The comment's run that an edit gives up by asking for something that starts none: one that waits in any case, one
    /// that has begun by `stop` alone.
    fn given_up(&self, mention: &Mention, run: Option<&RunId>) -> Option<RunId> {
        let command = mention
            .command
            .as_ref()
            .filter(|command| !command.starts_a_run())?;
        let run = run.filter(|run| self.holds(run))?;
        let has_begun = self
            .running
            .as_ref()
            .is_some_and(|running| running.entry.run == *run);
        (!has_begun || command.stops()).then(|| run.clone())
    }

    /// Whether `run` has a place and was asked for by an older version of a comment that asks for no run any more.
    fn is_given_up(&self, mention: &Mention, run: &RunId) -> bool {
        let asks_for_a_run = mention.command.as_ref().is_none_or(Command::starts_a_run);
        !asks_for_a_run && *run != run_of(mention) && self.holds(run)
    }

    /// Takes note that a mention is answered at once. Whether it is: another delivery may have come first.
    pub(crate) fn answered(&mut self, mention: &Mention, run: &RunId) -> bool {
        let course = self.hear(mention);
        match course {
            Course::Start(_) => {
                self.remember_answer(mention, run);
                true
            }
            // The edit that gave up the comment's run, which has ended, is answered beside that.
            Course::Resume(given_up) if given_up != *run && *run == run_of(mention) => {
                self.remember_answer(mention, run);
                true
            }
            // An answer that was interrupted.
            Course::Resume(known) => known == *run,
            _ => false,
        }
    }

    fn remember_answer(&mut self, mention: &Mention, run: &RunId) {
        let digest = mention.command.as_ref().map(Command::digest);
        self.remember(mention, digest, Some(run.clone()));
        if let Some(memory) = self.comments.get_mut(&mention.comment) {
            memory.answered = true;
        }
    }

    /// A newer version that asks for the same. The delivery of the older one counts no more, so that this one finishes
    /// what that one may have left undone.
    fn hear_again(&mut self, mention: &Mention, run: Option<RunId>) -> Course {
        if let Some(memory) = self.comments.get_mut(&mention.comment) {
            memory.version = mention.comment_version;
        }
        match run.filter(|run| self.holds(run)) {
            Some(run) if mention.command.is_some() => Course::Resume(run),
            Some(run) => Course::Withdraw(run),
            None => Course::Nothing("the edit did not change what is asked for"),
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
        self.place(Entry {
            run,
            comment: mention.comment,
            sequence: origin.event_sequence,
            written_at: mention.written_at,
            at: now,
            person: key_of(mention.author.as_ref()),
            front: goes_first(mention),
            takes_text: takes_text(mention),
            merged: Vec::new(),
            after_end: false,
        });
    }

    /// What goes first is in front; within both parts the order is that of the events.
    fn place(&mut self, new: Entry) {
        let place = |entry: &Entry| (!entry.front, entry.sequence);
        let at = self.queue.partition_point(|entry| place(entry) <= place(&new));
        self.queue.insert(at, new);
    }

    /// An edit may make a question of a request, and the other way round. What it asks for was not stopped before.
    fn amend(&mut self, mention: &Mention, run: &RunId) {
        let Some(at) = self.queue.iter().position(|entry| entry.run == *run) else {
            return;
        };
        let mut entry = self.queue.remove(at);
        entry.written_at = mention.written_at;
        entry.front = goes_first(mention);
        entry.takes_text = takes_text(mention);
        self.place(entry);
    }

    /// Whether another delivery about the comment came first, while Bitbucket was asked about this one: what was found
    /// does not count then, and to note it would hide the run that the other one has begun.
    pub(crate) fn is_overtaken(&self, mention: &Mention, run: &RunId) -> bool {
        let memory = self.comments.get(&mention.comment);
        if memory.is_some_and(|memory| memory.deleted) {
            return false;
        }
        match self.clone().hear(mention) {
            Course::Start(_) => false,
            Course::Resume(known) => known != *run && self.holds(&known),
            _ => true,
        }
    }

    /// Takes note of a refusal, to be said to `person` with this code. Returns the run that says it: where the person has
    /// read the same within the time of silence, the one that said it then. `None` is told every time.
    pub(crate) fn refuse(
        &mut self,
        mention: &Mention,
        run: &RunId,
        said: Option<(&str, FailureCode)>,
        now: Timestamp,
    ) -> RunId {
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
        let Some((person, code)) = said else {
            return run.clone();
        };
        let same =
            |refusal: &&Refusal| refusal.person == person && refusal.code.is_none_or(|spoken| spoken == code);
        if let Some(spoken) = self.refusals.iter().find(same) {
            return spoken.run.clone();
        }
        if self.refusals.len() >= REFUSALS_MAX {
            self.refusals.remove(0);
        }
        self.refusals.push(Refusal {
            person: person.to_owned(),
            code: Some(code),
            at: now,
            run: run.clone(),
        });
        run.clone()
    }

    pub(super) fn remember(&mut self, mention: &Mention, digest: Option<CommandDigest>, run: Option<RunId>) {
        let memory = Memory {
            version: mention.comment_version,
            digest,
            run,
            refused: false,
            answered: false,
            merged_into: None,
            deleted: false,
        };
        self.comments.insert(mention.comment, memory);
        self.forget_surplus();
    }

    /// Forgets the oldest comments beyond the limit, never one with a run that has not ended.
    pub(super) fn forget_surplus(&mut self) {
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

fn goes_first(mention: &Mention) -> bool {
    mention
        .command
        .as_ref()
        .is_some_and(|command| command.verb.goes_first())
}

/// Of an undo, a merge, a review or a repetition more text would change nothing, though it were told as added; of a plan
/// it would make something else than work.
fn takes_text(mention: &Mention) -> bool {
    mention.command.as_ref().is_some_and(|command| {
        matches!(
            command.verb,
            Verb::Request | Verb::Fix | Verb::Test | Verb::Continue
        )
    })
}

/// The run that a mention starts.
pub(super) fn run_of(mention: &Mention) -> RunId {
    RunId::derive(&mention.origin.instance, mention.comment, mention.comment_version)
}
