//! A lane under any sequence of events, delivered in any order and as often as they like.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, RunId};
use pipeline::mention::{Command, Mention, Verb};
use proptest::prelude::*;

use super::tests::{mention, person};
use super::*;
use crate::limits::CLAIM_LEASE;

#[derive(Debug, Clone)]
enum Step {
    Mention { comment: u64, version: u32 },
    Delete { comment: u64 },
    Close { sequence: u64 },
    Stop { written: i64, comment: Option<u64> },
    Claim { by: u8 },
    Dispatched,
    Finish,
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mention = (1..5_u64, 0..4_u32).prop_map(|(comment, version)| Step::Mention { comment, version });
    let step = prop_oneof![
        8 => mention,
        1 => (1..5_u64).prop_map(|comment| Step::Delete { comment }),
        1 => (0..60_u64).prop_map(|sequence| Step::Close { sequence }),
        1 => (0..60_i64, prop::option::of(1..5_u64))
            .prop_map(|(written, comment)| Step::Stop { written, comment }),
        4 => (0..2_u8).prop_map(|by| Step::Claim { by }),
        2 => Just(Step::Dispatched),
        3 => Just(Step::Finish),
        1 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 0..60)
}

/// Nothing is merged, and there is no end to runs.
const RULES: Rules = Rules {
    runs_per_hour: usize::MAX,
    merge_within: SignedDuration::ZERO,
    only_reads: false,
};

/// What a run that was given its turn and has not ended looks like from outside.
#[derive(Default)]
struct World {
    now: i64,
    begun: BTreeSet<RunId>,
    ended: BTreeSet<RunId>,
    deleted: BTreeSet<CommentId>,
    newest: BTreeMap<CommentId, u32>,
    /// Up to when everybody's requests were stopped, and each person's.
    stopped: (i64, BTreeMap<String, i64>),
    /// What each version of each comment asks for.
    texts: Vec<Option<u8>>,
}

/// Some texts stand for verbs that start no run.
fn asking(mut mention: Mention) -> Mention {
    if let Some(command) = &mut mention.command {
        match command.text.as_str() {
            "2" if Verb::Ask.is_built() => *command = Command::of_verb(Verb::Ask, "2"),
            "3" => *command = Command::of_verb(Verb::Stop, ""),
            "4" => *command = Command::of_verb(Verb::Help, ""),
            _ => {}
        }
    }
    mention
}

fn texts() -> impl Strategy<Value = Vec<Option<u8>>> {
    prop::collection::vec(prop::option::weighted(0.7, 0..5_u8), 20)
}

/// Higher than any other: what was written in the same moment was written before it.
const STOPS_COMMENT: u64 = 99;

/// Each comment's author.
fn asker(comment: u64) -> String {
    if comment.is_multiple_of(2) { "alice" } else { "bob" }.to_owned()
}

/// Times run otherwise than places in `EVENTS`: all first versions, then all second ones.
fn written(comment: u64, version: u32) -> i64 {
    i64::from(version) * 15 + i64::try_from(comment).unwrap()
}

fn second(number: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + number).unwrap()
}

impl World {
    fn now(&self) -> Timestamp {
        second(self.now)
    }

    fn apply(&mut self, lane: &mut Lane, step: &Step) {
        match step {
            Step::Mention { comment, version } => self.hear(lane, *comment, *version),
            Step::Delete { comment } => {
                lane.deleted(CommentId(*comment));
                self.deleted.insert(CommentId(*comment));
            }
            Step::Close { sequence } => drop(lane.closed(*sequence)),
            Step::Stop { written, comment } => self.stop(lane, *written, *comment),
            Step::Claim { by } => self.claim(lane, &by.to_string()),
            Step::Dispatched => {
                if let Some(run) = lane.running.as_ref().map(|running| running.entry.run.clone()) {
                    lane.dispatched(&run);
                }
            }
            Step::Finish => {
                if let Some(run) = lane.running.as_ref().map(|running| running.entry.run.clone()) {
                    lane.finished(&run);
                    self.begun.remove(&run);
                    self.ended.insert(run);
                }
            }
            Step::Wait => self.now += CLAIM_LEASE.as_secs(),
        }
    }

    /// As admission does it: what was asked before is ended, and what arrives later does not begin.
    fn stop(&mut self, lane: &mut Lane, written: i64, comment: Option<u64>) {
        let mut stop = mention(STOPS_COMMENT, 0, 0, None);
        stop.written_at = Some(second(written));
        let (asked, person) = (Asked::of(&stop), comment.map(asker));
        let meant = match &person {
            None => lane.stop_all(asked, "carol"),
            Some(person) => lane.stop_own(asked, person),
        };
        for run in meant {
            lane.finished(&run);
            self.begun.remove(&run);
            self.ended.insert(run);
        }
        match person {
            None => self.stopped.0 = self.stopped.0.max(written),
            Some(person) => {
                let through = self.stopped.1.entry(person).or_default();
                *through = written.max(*through);
            }
        }
    }

    /// A comment's versions have fixed texts and one event each, as Bitbucket's have.
    fn hear(&mut self, lane: &mut Lane, comment: u64, version: u32) {
        let sequence = comment * 10 + u64::from(version);
        let text =
            self.texts[usize::try_from(comment * 4).unwrap() + version as usize].map(|text| text.to_string());
        let mut heard = asking(mention(comment, version, sequence, text.as_deref()));
        heard.author = Some(person(&asker(comment)));
        let written = written(comment, version);
        heard.written_at = Some(second(written));
        let before = lane.clone();
        let course = self.follow(lane, &heard);
        let known = self.newest.get(&heard.comment).copied();
        if known.is_some_and(|known| version < known) || self.deleted.contains(&heard.comment) {
            assert!(matches!(course, Course::Nothing(_)), "{course:?}");
            assert_eq!(
                *lane, before,
                "an old version or a deleted comment changed the lane"
            );
        }
        let through = self.stopped.1.get(&asker(comment)).copied().unwrap_or_default();
        if let Course::Start(run) = &course {
            assert!(
                written > self.stopped.0.max(through),
                "{run} was stopped and started"
            );
            assert!(lane.holds(run), "{run} started without a place");
            assert!(
                !self.ended.contains(run) && !self.begun.contains(run),
                "{run} started twice"
            );
        }
        let newest = self.newest.entry(heard.comment).or_insert(version);
        *newest = (*newest).max(version);
    }

    /// As admission does it: what starts a run enters, what starts none is answered, what is withdrawn is ended.
    fn follow(&mut self, lane: &mut Lane, heard: &Mention) -> Course {
        let starts_a_run = heard.command.as_ref().is_none_or(Command::starts_a_run);
        if starts_a_run {
            let course = lane.admit(heard, RULES, self.now());
            if let Course::Barred(run, code) = &course {
                assert_eq!(*code, FailureCode::Stopped);
                lane.refuse(heard, run, None, self.now());
                assert!(!lane.holds(run));
            }
            if matches!(course, Course::TooLate(_)) {
                lane.came_too_late(heard);
            }
            return course;
        }
        let course = lane.hear(heard);
        match &course {
            Course::Withdraw(run) => {
                lane.finished(run);
                self.begun.remove(run);
                self.ended.insert(run.clone());
            }
            Course::TooLate(_) => lane.came_too_late(heard),
            Course::Start(run) => {
                assert!(lane.answered(heard, run), "the first to hear it answers");
                assert!(!lane.holds(run), "an answer has no place in the queue");
                self.ended.insert(run.clone());
                return Course::Resume(run.clone());
            }
            _ => {}
        }
        course
    }

    /// As the dispatcher does it: who is not wanted is ended, not begun.
    fn claim(&mut self, lane: &mut Lane, by: &str) {
        let Turn::Next(entry) = lane.turn(by, self.now()) else {
            return;
        };
        if lane.standing(&entry) != Standing::Wanted {
            lane.finished(&entry.run);
            self.begun.remove(&entry.run);
            self.ended.insert(entry.run);
            return;
        }
        assert!(
            !self.deleted.contains(&entry.comment),
            "a deleted comment's run began"
        );
        assert!(lane.claim(&entry.run, by, self.now()).is_some());
        self.begun.insert(entry.run);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn never_two_runs_at_once_always_in_order_and_nothing_from_the_past(steps in steps(), texts in texts()) {
        let mut lane = Lane::default();
        let mut world = World { texts, ..World::default() };
        for step in &steps {
            world.apply(&mut lane, step);
            prop_assert!(world.begun.len() <= 1, "two runs at once: {:?}", world.begun);
            prop_assert!(lane.queue.is_sorted_by_key(|entry| (!entry.front, entry.sequence)));
            let places: Vec<&RunId> =
                lane.queue.iter().map(|entry| &entry.run).chain(lane.running.iter().map(|r| &r.entry.run)).collect();
            let distinct: BTreeSet<&RunId> = places.iter().copied().collect();
            prop_assert_eq!(places.len(), distinct.len(), "a run has two places");
        }
    }

    #[test]
    fn a_second_delivery_of_any_mention_changes_nothing(
        steps in steps(), texts in texts(), comment in 1..5_u64, version in 0..4_u32,
    ) {
        let mut lane = Lane::default();
        let mut world = World { texts, ..World::default() };
        for step in &steps {
            world.apply(&mut lane, step);
        }
        world.hear(&mut lane, comment, version);
        let once = lane.clone();
        world.hear(&mut lane, comment, version);
        prop_assert_eq!(lane, once);
    }
}
