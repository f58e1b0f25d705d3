//! `stop`: it ends what was written before it and nothing that was written after it, in whatever order they arrive.

use jiff::Timestamp;
use pipeline::ids::{CommentId, RunId};
use pipeline::mention::Mention;
use pipeline::run::Run;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Lane};
use crate::limits::STOPPED_PEOPLE_MAX;

/// When something was asked, to be compared with when something else was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Asked {
    /// When it was written, by Bitbucket's clock. An edit keeps its comment's id, which therefore does not tell.
    #[schemars(with = "Option<String>")]
    written_at: Option<Timestamp>,
    /// The comment: of two that were written in the same millisecond, the later one has the higher id.
    comment: CommentId,
    /// The place in `EVENTS` of the delivery that told us; decides where a delivery did not say when.
    sequence: u64,
}

/// A `stop` of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Stop {
    /// When it was asked for.
    asked: Asked,
    /// The name of whoever did.
    by: String,
}

impl Asked {
    /// When a mention asked for what it asks for.
    pub(crate) fn of(mention: &Mention) -> Self {
        Self {
            written_at: mention.written_at,
            comment: mention.comment,
            sequence: mention.origin.event_sequence,
        }
    }

    /// Whether this was written before `other`.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        match (self.written_at, other.written_at) {
            (Some(this), Some(that)) => (this, self.comment) < (that, other.comment),
            _ => self.sequence < other.sequence,
        }
    }
}

impl Entry {
    pub(super) fn asked(&self) -> Asked {
        Asked {
            written_at: self.written_at,
            comment: self.comment,
            sequence: self.sequence,
        }
    }
}

impl Lane {
    /// Takes note that everything that was written before is stopped, by the person of this name. Returns the runs that
    /// wait or have their turn and are meant.
    pub(crate) fn stop_all(&mut self, asked: Asked, by: &str) -> Vec<RunId> {
        let is_later = |stop: &Stop| asked.is_before(&stop.asked);
        if !self.stop_of_all.as_ref().is_some_and(is_later) {
            self.stop_of_all = Some(Stop {
                asked,
                by: by.to_owned(),
            });
        }
        self.asked_before(&asked, |_| true)
    }

    /// The same for what `person` asked, as [`crate::permission::key_of`] says it.
    pub(crate) fn stop_own(&mut self, asked: Asked, person: &str) -> Vec<RunId> {
        let last = self.stops_of_own.entry(person.to_owned()).or_insert(asked);
        if last.is_before(&asked) {
            *last = asked;
        }
        while self.stops_of_own.len() > STOPPED_PEOPLE_MAX {
            let oldest = self.stops_of_own.iter().min_by_key(|(_, asked)| asked.sequence);
            let Some(oldest) = oldest.map(|(person, _)| person.clone()) else {
                break;
            };
            self.stops_of_own.remove(&oldest);
        }
        self.asked_before(&asked, |entry| entry.person == person)
    }

    fn asked_before(&self, asked: &Asked, is_meant: impl Fn(&Entry) -> bool) -> Vec<RunId> {
        self.entries()
            .filter(|entry| entry.asked().is_before(asked) && is_meant(entry))
            .map(|entry| entry.run.clone())
            .collect()
    }

    /// Who asked for a run that waits or has its turn, as [`crate::permission::key_of`] says it.
    pub(crate) fn asker_of(&self, run: &RunId) -> Option<&str> {
        let mut entries = self.entries();
        let entry = entries.find(|entry| entry.run == *run)?;
        Some(&entry.person)
    }

    /// Whether others than `person` have asked, before this, for something that waits or has its turn.
    pub(crate) fn has_others(&self, asked: &Asked, person: &str) -> bool {
        self.entries()
            .any(|entry| entry.asked().is_before(asked) && entry.person != person)
    }

    /// Whether what `person` asked was stopped.
    pub(super) fn was_stopped(&self, person: &str, asked: &Asked) -> bool {
        let with_all = self.stop_of_all.as_ref().map(|stop| &stop.asked);
        let own = self.stops_of_own.get(person);
        with_all.into_iter().chain(own).any(|stop| asked.is_before(stop))
    }

    /// The name of whoever stopped a run that waits: of everything, or else of their own.
    pub(crate) fn stopper_of<'a>(&'a self, entry: &Entry, record: Option<&'a Run>) -> Option<&'a str> {
        let with_all = self.stop_of_all.as_ref();
        if let Some(stop) = with_all.filter(|stop| entry.asked().is_before(&stop.asked)) {
            return Some(&stop.by);
        }
        let asker = record?.requester.as_ref()?;
        Some(&asker.name)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use pipeline::failure_code::FailureCode;

    use super::*;
    use crate::lane::tests::{mention, person, run};
    use crate::lane::{Course, Rules, Standing};

    const RULES: Rules = Rules {
        runs_per_hour: 9,
        merge_within: SignedDuration::ZERO,
        only_reads: false,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_750_000_000 + seconds).unwrap()
    }

    /// A mention of `who`'s, written at this second and told by this event.
    fn request(who: &str, comment: u64, written: i64, sequence: u64) -> Mention {
        let mut mention = mention(comment, 0, sequence, Some("x"));
        mention.author = Some(person(who));
        mention.written_at = Some(at(written));
        mention
    }

    fn admit(lane: &mut Lane, mention: &Mention) -> Course {
        lane.admit(mention, RULES, at(100))
    }

    /// A stop written at this second, told by this event.
    fn stop(written: i64, sequence: u64) -> Asked {
        Asked::of(&request("anybody", 50, written, sequence))
    }

    #[test]
    fn what_was_written_before_a_stop_and_arrives_after_it_does_not_begin() {
        let mut lane = Lane::default();
        assert_eq!(lane.stop_own(stop(20, 1), "alice"), []);
        let late = admit(&mut lane, &request("alice", 10, 10, 2));
        assert_eq!(late, Course::Barred(run(10, 0), FailureCode::Stopped));
        assert_eq!(
            admit(&mut lane, &request("bob", 11, 11, 3)),
            Course::Start(run(11, 0)),
            "who may stop only their own stops nobody else's"
        );
        let later = request("alice", 21, 21, 4);
        assert_eq!(admit(&mut lane, &later), Course::Start(run(21, 0)));
        assert_eq!(lane.stop_all(stop(30, 5), "carol"), [run(11, 0), run(21, 0)]);
        let entry = lane.queue.first().unwrap();
        assert_eq!(lane.stopper_of(entry, None), Some("carol"));
        let late = admit(&mut lane, &request("bob", 12, 12, 6));
        assert_eq!(late, Course::Barred(run(12, 0), FailureCode::Stopped));
    }

    #[test]
    fn what_was_written_after_a_stop_and_arrives_before_it_goes_on() {
        let mut lane = Lane::default();
        admit(&mut lane, &request("alice", 21, 21, 1));
        admit(&mut lane, &request("alice", 10, 10, 2));
        assert_eq!(lane.stop_all(stop(20, 3), "alice"), [run(10, 0)]);
        let standing: Vec<_> = lane.queue.iter().map(|entry| lane.standing(entry)).collect();
        assert_eq!(standing, [Standing::Wanted, Standing::Stopped]);
        assert!(!lane.has_others(&stop(20, 3), "alice"));
    }

    #[test]
    fn an_older_stop_that_arrives_later_takes_nothing_back() {
        let mut lane = Lane::default();
        lane.stop_all(stop(30, 1), "alice");
        lane.stop_all(stop(20, 2), "bob");
        lane.stop_own(stop(30, 1), "alice");
        lane.stop_own(stop(20, 2), "alice");
        assert!(lane.was_stopped("dave", &stop(29, 3)));
        assert!(!lane.was_stopped("dave", &stop(31, 3)));
        assert!(!lane.was_stopped("alice", &stop(31, 3)));
        assert_eq!(lane.stop_of_all.as_ref().unwrap().by, "alice");
        assert_eq!(lane.stops_of_own["alice"], stop(30, 1));
    }

    #[test]
    fn an_edit_that_asks_for_something_else_counts_from_when_it_was_made() {
        let mut lane = Lane::default();
        admit(&mut lane, &request("alice", 10, 10, 1));
        let mut edit = request("alice", 10, 25, 2);
        edit.comment_version = 1;
        edit.command = mention(10, 1, 2, Some("y")).command;
        assert_eq!(lane.hear(&edit), Course::Amend(run(10, 0)));
        assert_eq!(lane.stop_all(stop(20, 3), "alice"), []);
        assert_eq!(lane.stop_all(stop(30, 4), "alice"), [run(10, 0)]);
    }

    #[test]
    fn in_the_same_millisecond_the_comments_id_decides_and_without_a_time_the_order_of_arrival() {
        let at_once = |comment| Asked::of(&request("alice", comment, 10, 9 - comment));
        assert!(at_once(1).is_before(&at_once(2)) && !at_once(2).is_before(&at_once(1)));
        assert!(!at_once(1).is_before(&at_once(1)));
        let untold = |comment, sequence| Asked::of(&mention(comment, 0, sequence, Some("x")));
        assert!(untold(2, 1).is_before(&untold(1, 2)));
        assert!(untold(2, 1).is_before(&at_once(1)), "8 events came before it");
    }

    #[test]
    fn one_who_may_stop_only_their_own_is_told_of_others() {
        let mut lane = Lane::default();
        admit(&mut lane, &request("alice", 10, 10, 10));
        admit(&mut lane, &request("bob", 11, 11, 11));
        assert_eq!(lane.stop_own(stop(20, 20), "bob"), [run(11, 0)]);
        assert!(lane.has_others(&stop(20, 20), "bob") && !lane.has_others(&stop(9, 9), "bob"));
        assert_eq!(lane.asker_of(&run(10, 0)), Some("alice"));
    }

    #[test]
    fn a_lane_remembers_only_so_many_people() {
        let mut lane = Lane::default();
        for person in 0..=STOPPED_PEOPLE_MAX as u64 {
            lane.stop_own(stop(20, person), &person.to_string());
        }
        assert_eq!(lane.stops_of_own.len(), STOPPED_PEOPLE_MAX);
        assert!(!lane.stops_of_own.contains_key("0"), "the oldest is forgotten");
    }
}
