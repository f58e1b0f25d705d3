//! What keeps a new request from its place in the queue: a `stop` that was written later and heard earlier, too many
//! runs within the hour, and a request that waits and that it only adds to.

use jiff::{SignedDuration, Timestamp};
use pipeline::countdown;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, RunId};
use pipeline::mention::{Command, Mention, Verb};

use super::hear::run_of;
use super::{Asked, Course, Entry, Lane, Spoken};
use crate::limits::{ANSWERS_KEPT_MAX, ANSWERS_PER_HOUR_MAX, HOUR, MERGED_MAX};
use crate::permission::key_of;

/// What an operator sets, and what is known of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Runs that may be asked for within an hour.
    pub(crate) runs_per_hour: usize,
    /// How long a request that waits may be added to; zero is never.
    pub(crate) merge_within: SignedDuration,
    /// Whether the run can only read: such runs are counted apart.
    pub(crate) only_reads: bool,
}

impl Lane {
    /// Gives an allowed mention its place, unless something keeps it from one. The same for a redelivery.
    pub(crate) fn admit(&mut self, mention: &Mention, rules: Rules, now: Timestamp) -> Course {
        // To hear of a mention that starts something changes nothing, so that this may be asked first.
        let heard = self.clone().hear(mention);
        let memory = self.comments.get(&mention.comment);
        match (&heard, memory.and_then(|memory| memory.merged_into.clone())) {
            (Course::Resume(run), Some(into)) => {
                return Course::Merge {
                    run: run.clone(),
                    into,
                };
            }
            (Course::Resume(run), None) if memory.is_some_and(|memory| memory.refused) => {
                // A later version that asks for the same as the refused one begins nothing, however often it comes.
                if *run != run_of(mention) {
                    return Course::Nothing("what the comment asks for was refused");
                }
            }
            (Course::Start(_), _) => {}
            _ => return self.enter(mention, now),
        }
        let (Course::Start(run) | Course::Resume(run)) = heard else {
            return heard;
        };
        let person = key_of(mention.author.as_ref());
        if self.was_stopped(&person, &Asked::of(mention)) {
            return Course::Barred(run, FailureCode::Stopped);
        }
        if let Some(into) = self.merge(mention, &person, rules, now) {
            self.remember(
                mention,
                mention.command.as_ref().map(Command::digest),
                Some(run.clone()),
            );
            if let Some(memory) = self.comments.get_mut(&mention.comment) {
                memory.merged_into = Some(into.clone());
            }
            return Course::Merge { run, into };
        }
        let started = if rules.only_reads {
            &mut self.started_to_read
        } else {
            &mut self.started
        };
        started.retain(|at| now.duration_since(*at) < HOUR);
        if started.len() >= rules.runs_per_hour {
            return Course::Barred(run, FailureCode::TooManyRuns);
        }
        started.push(now);
        self.enter(mention, now)
    }

    /// How many runs there may be within the hour, and when the next one may be asked for.
    pub(crate) fn fuse(&self, rules: Rules, now: Timestamp) -> String {
        let first = self.started(rules.only_reads).first();
        let again = first.map_or(now + HOUR, |first| *first + HOUR);
        format!(
            "{} within the hour; again {}",
            rules.runs_per_hour,
            countdown::until(again, now)
        )
    }

    fn started(&self, only_reads: bool) -> &[Timestamp] {
        if only_reads {
            &self.started_to_read
        } else {
            &self.started
        }
    }

    /// The run that waits and that a mention only adds to: the last one in the queue, by the same person, asked for a
    /// moment ago.
    fn merge(&mut self, mention: &Mention, person: &str, rules: Rules, now: Timestamp) -> Option<RunId> {
        let command = mention.command.as_ref()?;
        let only_adds = command.verb == Verb::Request
            && command.options.is_empty()
            && !command.text.is_empty()
            && mention.parent.is_none();
        if !only_adds || person.is_empty() || rules.merge_within.is_zero() {
            return None;
        }
        let entry = self.queue.last_mut().filter(|entry| {
            entry.person == person
                && entry.takes_text
                && entry.sequence < mention.origin.event_sequence
                && entry.merged.len() < MERGED_MAX
                && now.duration_since(entry.at) <= rules.merge_within
        })?;
        if !entry.merged.contains(&mention.comment) {
            entry.merged.push(mention.comment);
        }
        Some(entry.run.clone())
    }

    /// Whether a mention is a newer version of a comment that was added to a run, and asks for something else.
    pub(crate) fn adds_no_more(&self, mention: &Mention) -> bool {
        let digest = mention.command.as_ref().map(Command::digest);
        self.comments.get(&mention.comment).is_some_and(|memory| {
            memory.merged_into.is_some()
                && mention.comment_version > memory.version
                && memory.digest != digest
        })
    }

    /// The text of a comment will not be added after all.
    pub(crate) fn unmerge(&mut self, run: &RunId, comment: CommentId) {
        let running = self.running.as_mut().map(|running| &mut running.entry);
        let entries = self.queue.iter_mut().chain(running);
        for entry in entries.filter(|entry| entry.run == *run) {
            entry.merged.retain(|merged| *merged != comment);
        }
    }

    /// Whether something more may be answered at once to `person` within the hour; takes note of it. One person's
    /// questions keep nobody else from theirs.
    pub(crate) fn may_answer(&mut self, person: &str, now: Timestamp) -> bool {
        self.answers.retain(|spoken| now.duration_since(spoken.at) < HOUR);
        let theirs = self.answers.iter().filter(|spoken| spoken.person == person);
        let may = theirs.count() < ANSWERS_PER_HOUR_MAX && self.answers.len() < ANSWERS_KEPT_MAX;
        if may {
            self.answers.push(Spoken {
                person: person.to_owned(),
                at: now,
            });
        }
        may
    }

    /// How many answers there may be within the hour, and when `person` gets the next one.
    pub(crate) fn answers_fuse(&self, person: &str, now: Timestamp) -> String {
        let is_theirs = |spoken: &&Spoken| spoken.person == person;
        let theirs = self.answers.iter().filter(is_theirs).count();
        let first = if theirs < ANSWERS_PER_HOUR_MAX {
            self.answers.first()
        } else {
            self.answers.iter().find(is_theirs)
        };
        let again = first.map_or(now, |first| first.at + HOUR);
        format!(
            "{ANSWERS_PER_HOUR_MAX} answers to you within the hour; again {}",
            countdown::until(again, now)
        )
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        let running = self.running.iter().map(|running| &running.entry);
        running.chain(&self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::tests::{mention, person, run};

    const RULES: Rules = Rules {
        runs_per_hour: 2,
        merge_within: SignedDuration::from_secs(10),
        only_reads: false,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_750_000_000 + seconds).unwrap()
    }

    /// A mention of `who`'s, told by the event with the comment's number.
    fn by(who: &str, comment: u64, verb: Verb, text: &str) -> Mention {
        let mut mention = mention(comment, 0, comment, None);
        mention.author = Some(person(who));
        mention.command = Some(Command::of_verb(verb, text));
        mention
    }

    fn request(who: &str, comment: u64) -> Mention {
        by(who, comment, Verb::Request, "x")
    }

    #[test]
    fn there_is_an_end_to_the_runs_of_an_hour() {
        let mut lane = Lane::default();
        for comment in 1..=2 {
            let course = lane.admit(
                &request("alice", comment),
                RULES,
                at(i64::try_from(comment).unwrap() * 60),
            );
            assert_eq!(course, Course::Start(run(comment, 0)));
            lane.finished(&run(comment, 0));
        }
        let again = lane.admit(&request("alice", 2), RULES, at(180));
        assert_eq!(again, Course::Resume(run(2, 0)), "a redelivery is no further run");
        let third = lane.admit(&request("bob", 3), RULES, at(180));
        assert_eq!(third, Course::Barred(run(3, 0), FailureCode::TooManyRuns));
        let later = lane.admit(&request("bob", 3), RULES, at(60 + HOUR.as_secs()));
        assert_eq!(later, Course::Start(run(3, 0)));
    }

    #[test]
    fn a_question_goes_before_what_waits_and_not_before_what_runs() {
        let mut lane = Lane::default();
        let rules = Rules {
            runs_per_hour: 9,
            ..RULES
        };
        lane.admit(&request("alice", 1), rules, at(0));
        assert!(lane.claim(&run(1, 0), "us", at(0)).is_some());
        lane.admit(&request("bob", 2), rules, at(0));
        for comment in [4, 3] {
            lane.admit(&by("bob", comment, Verb::Ask, "why?"), rules, at(0));
        }
        let order: Vec<RunId> = lane.ahead().into_iter().map(|(run, _)| run).collect();
        assert_eq!(order, [run(3, 0), run(4, 0), run(2, 0)]);
        assert_eq!(lane.running.as_ref().unwrap().entry.run, run(1, 0));
        let mut edit = by("bob", 3, Verb::Request, "do it");
        edit.comment_version = 1;
        assert_eq!(lane.hear(&edit), Course::Amend(run(3, 0)));
        let order: Vec<RunId> = lane.ahead().into_iter().map(|(run, _)| run).collect();
        assert_eq!(order, [run(4, 0), run(2, 0), run(3, 0)], "a question no more");
    }

    #[test]
    fn a_second_comment_within_the_time_adds_to_the_first_of_the_same_person() {
        let mut lane = Lane::default();
        lane.admit(&request("alice", 1), RULES, at(0));
        let more = request("alice", 2);
        let merged = Course::Merge {
            run: run(2, 0),
            into: run(1, 0),
        };
        assert_eq!(lane.admit(&more, RULES, at(9)), merged);
        assert_eq!(lane.admit(&more, RULES, at(99)), merged, "a redelivery");
        assert_eq!(lane.queue[0].merged, [CommentId(2)]);
        assert!(!lane.holds(&run(2, 0)));
        let mut edit = by("alice", 2, Verb::Request, "something else");
        assert!(!lane.adds_no_more(&edit), "the same version");
        edit.comment_version = 1;
        assert!(lane.adds_no_more(&edit));
        edit.command.clone_from(&more.command);
        assert!(!lane.adds_no_more(&edit), "the same request");
        lane.unmerge(&run(1, 0), CommentId(2));
        assert_eq!(lane.queue[0].merged, []);
        for (other, seconds) in [
            (request("bob", 3), 9),
            (by("alice", 3, Verb::Fix, "x"), 9),
            (request("alice", 3), 11),
        ] {
            let course = lane.clone().admit(&other, RULES, at(seconds));
            assert_eq!(course, Course::Start(run(3, 0)), "{other:?}");
        }
        let mut reply = request("alice", 3);
        reply.parent = Some(CommentId(1));
        assert_eq!(lane.clone().admit(&reply, RULES, at(9)), Course::Start(run(3, 0)));
        assert!(lane.claim(&run(1, 0), "us", at(9)).is_some());
        assert_eq!(
            lane.admit(&request("alice", 3), RULES, at(9)),
            Course::Start(run(3, 0)),
            "what has begun is not added to"
        );
    }

    #[test]
    fn there_is_an_end_to_what_one_person_is_answered_within_an_hour() {
        let mut lane = Lane::default();
        for _ in 0..ANSWERS_PER_HOUR_MAX {
            assert!(lane.may_answer("bob", at(0)));
        }
        assert!(!lane.may_answer("bob", at(1)));
        assert!(
            lane.may_answer("alice", at(1)),
            "others have an allowance of their own"
        );
        assert!(lane.may_answer("bob", at(HOUR.as_secs())));
        for person in 0..ANSWERS_KEPT_MAX {
            lane.may_answer(&person.to_string(), at(HOUR.as_secs()));
        }
        assert_eq!(lane.answers.len(), ANSWERS_KEPT_MAX, "a lane stays small");
        assert!(!lane.may_answer("carol", at(HOUR.as_secs())));
    }

    #[test]
    fn what_only_reads_keeps_nothing_that_works_from_its_turn() {
        let mut lane = Lane::default();
        let reads = Rules {
            only_reads: true,
            ..RULES
        };
        let mut ask = |comment, expected: fn(RunId) -> Course| {
            let asked = by("bob", comment, Verb::Ask, "why?");
            assert_eq!(lane.admit(&asked, reads, at(0)), expected(run(comment, 0)));
        };
        ask(1, Course::Start);
        ask(2, Course::Start);
        ask(3, |run| Course::Barred(run, FailureCode::TooManyRuns));
        assert_eq!(
            lane.admit(&request("alice", 4), RULES, at(0)),
            Course::Start(run(4, 0))
        );
        assert_eq!(
            lane.fuse(reads, at(60 * 30)),
            "2 within the hour; again in 30 min, at 16:07 UTC"
        );
    }

    #[test]
    fn free_text_joins_only_what_reads_it() {
        for verb in Verb::all().filter(|verb| verb.is_queued()) {
            let mut lane = Lane::default();
            lane.admit(&by("alice", 1, verb, "x"), RULES, at(0));
            let course = lane.admit(&request("alice", 2), RULES, at(5));
            let merges = matches!(course, Course::Merge { .. });
            let reads_it = matches!(verb, Verb::Request | Verb::Fix | Verb::Test | Verb::Continue);
            assert_eq!(merges, reads_it, "{verb:?}");
        }
    }
}
