use jiff::SignedDuration;
use pipeline::event::{Person, Repository};
use pipeline::ids::{
    ConnectionId, DeliveryId, InstanceId, ProjectKey, PullRequestId, RepositoryId, RepositorySlug,
};
use pipeline::mention::{Command, Mention, Origin, Verb};

use super::hear::run_of;
use crate::limits::{CLAIM_LEASE, COMMENTS_MAX};

use super::*;

/// Version `version` of comment `comment`, told by event `sequence`.
pub(crate) fn mention(comment: u64, version: u32, sequence: u64, text: Option<&str>) -> Mention {
    Mention {
        v: VERSION,
        origin: Origin {
            delivery: DeliveryId::new("d-1").unwrap(),
            event_sequence: sequence,
            connection: ConnectionId::new("main").unwrap(),
            instance: InstanceId::of_base_url("http://127.0.0.1"),
            repository: Repository {
                id: RepositoryId(84),
                project: ProjectKey::new("PROJ").unwrap(),
                slug: RepositorySlug::new("demo").unwrap(),
            },
            pull_request: PullRequestId(7),
        },
        comment: CommentId(comment),
        comment_version: version,
        parent: None,
        author: None,
        written_at: None,
        command: text.map(Command::request),
    }
}

pub(crate) fn person(name: &str) -> Person {
    Person {
        id: None,
        name: name.to_owned(),
        slug: None,
        display_name: None,
        email: None,
        is_service: false,
    }
}

pub(super) fn run(comment: u64, version: u32) -> RunId {
    run_of(&mention(comment, version, 0, None))
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + seconds).unwrap()
}

/// A lane with comment 1's run in its turn and comment 2's waiting.
fn busy() -> Lane {
    let mut lane = Lane::default();
    assert_eq!(
        lane.enter(&mention(1, 0, 10, Some("a")), at(0)),
        Course::Start(run(1, 0))
    );
    assert_eq!(
        lane.enter(&mention(2, 0, 20, Some("b")), at(0)),
        Course::Start(run(2, 0))
    );
    assert!(lane.claim(&run(1, 0), "us", at(1)).is_some());
    lane.dispatched(&run(1, 0));
    lane
}

#[test]
fn a_new_mention_starts_a_run_and_its_redelivery_resumes_it() {
    let mut lane = Lane::default();
    let first = mention(1, 0, 10, Some("a"));
    assert_eq!(lane.hear(&first), Course::Start(run(1, 0)));
    assert_eq!(
        lane,
        Lane::default(),
        "a start changes nothing before it is allowed"
    );
    assert_eq!(lane.enter(&first, at(0)), Course::Start(run(1, 0)));
    let entered = lane.clone();
    assert_eq!(lane.hear(&first), Course::Resume(run(1, 0)));
    assert_eq!(lane.enter(&first, at(9)), Course::Resume(run(1, 0)));
    assert_eq!(lane, entered);
}

#[test]
fn a_run_is_held_from_its_entry_to_its_end_and_a_late_delivery_brings_it_back_to_no_place() {
    let mut lane = busy();
    assert!(lane.holds(&run(1, 0)) && lane.holds(&run(2, 0)));
    assert_eq!(lane.hear(&mention(2, 1, 30, None)), Course::Withdraw(run(2, 0)));
    lane.finished(&run(2, 0));
    lane.enter(&mention(2, 0, 20, Some("b")), at(2));
    assert!(lane.holds(&run(1, 0)) && !lane.holds(&run(2, 0)));
}

#[test]
fn an_edit_that_asks_for_the_same_finishes_what_the_older_delivery_left_undone() {
    let mut lane = busy();
    let (older, newer) = (mention(2, 0, 20, Some("b")), mention(2, 1, 30, Some("b")));
    assert_eq!(lane.hear(&newer), Course::Resume(run(2, 0)));
    assert!(matches!(lane.hear(&older), Course::Nothing(_)));
    assert_eq!(lane.enter(&newer, at(1)), Course::Resume(run(2, 0)));
    assert_eq!(lane.queue.len(), 1);
    lane.hear(&mention(2, 2, 40, None));
    assert_eq!(lane.hear(&mention(2, 3, 50, None)), Course::Withdraw(run(2, 0)));
    lane.finished(&run(2, 0));
    assert!(matches!(lane.hear(&mention(2, 4, 60, None)), Course::Nothing(_)));
}

#[test]
fn an_edit_of_a_refused_request_that_asks_for_the_same_leaves_it_refused() {
    let mut lane = Lane::default();
    lane.refuse(&mention(1, 0, 10, Some("a")), &run(1, 0), None, at(0));
    assert_eq!(
        lane.hear(&mention(1, 1, 20, Some("a"))),
        Course::Nothing("the edit did not change what is asked for")
    );
    assert!(lane.comments[&CommentId(1)].refused);
}

#[test]
fn an_edit_that_asks_for_no_run_gives_up_what_waits_and_only_stop_what_has_begun() {
    let no_run = |comment, verb| {
        let mut edit = mention(comment, 1, 30, Some(""));
        edit.command = Some(Command::of_verb(verb, ""));
        busy().hear(&edit)
    };
    assert_eq!(no_run(2, Verb::Stop), Course::Withdraw(run(2, 0)));
    assert_eq!(no_run(2, Verb::Help), Course::Withdraw(run(2, 0)));
    assert_eq!(no_run(1, Verb::Stop), Course::Withdraw(run(1, 0)));
    assert_eq!(no_run(1, Verb::Help), Course::TooLate(run(1, 0)));
    assert_eq!(no_run(3, Verb::Stop), Course::Start(run(3, 1)));
}

#[test]
fn a_run_that_was_given_up_while_it_waited_is_ended_although_it_has_begun_since() {
    let mut lane = busy();
    let mut help = mention(2, 1, 30, Some(""));
    help.command = Some(Command::of_verb(Verb::Help, ""));
    assert_eq!(lane.hear(&help), Course::Withdraw(run(2, 0)));
    lane.finished(&run(1, 0));
    assert!(lane.claim(&run(2, 0), "us", at(100)).is_some());
    assert_eq!(lane.hear(&help), Course::Withdraw(run(2, 0)), "delivered again");
    lane.finished(&run(2, 0));
    assert_eq!(lane.hear(&help), Course::Resume(run(2, 0)));
}

#[test]
fn an_answer_takes_no_place_and_is_given_again_only_if_it_was_interrupted() {
    let mut lane = busy();
    let mut help = mention(3, 0, 30, Some(""));
    help.command = Some(Command::of_verb(Verb::Help, ""));
    assert!(lane.answered(&help, &run(3, 0)));
    assert!(!lane.holds(&run(3, 0)));
    assert!(lane.answered(&help, &run(3, 0)), "its record may be missing");
    let mut newer = help.clone();
    newer.comment_version = 1;
    newer.command = Some(Command::of_verb(Verb::Ping, ""));
    assert!(lane.answered(&newer, &run(3, 1)));
    assert!(!lane.answered(&help, &run(3, 0)), "a newer version is known");
}

#[test]
fn the_queue_is_in_the_order_of_the_events_not_of_their_arrival() {
    let mut lane = Lane::default();
    for (comment, sequence) in [(3, 30), (1, 10), (2, 20)] {
        lane.enter(&mention(comment, 0, sequence, Some("x")), at(0));
    }
    let ahead: Vec<(RunId, u32)> = (1..=3)
        .map(|comment| (run(comment, 0), u32::try_from(comment).unwrap() - 1))
        .collect();
    assert_eq!(lane.ahead(), ahead);
}

/// What an edit of comment `comment` leads to on the busy lane, and how many wait afterwards.
fn edit(comment: u64, version: u32, text: Option<&str>) -> (Course, usize) {
    let mut lane = busy();
    let course = lane.hear(&mention(comment, version, 30, text));
    (course, lane.queue.len())
}

#[test]
fn what_an_edit_does_depends_on_where_its_run_is() {
    assert_eq!(edit(2, 1, Some("c")), (Course::Amend(run(2, 0)), 1));
    assert_eq!(edit(2, 1, None), (Course::Withdraw(run(2, 0)), 1));
    assert_eq!(edit(1, 1, Some("c")), (Course::TooLate(run(1, 0)), 1));
    assert_eq!(edit(1, 1, None), (Course::Withdraw(run(1, 0)), 1));
    assert_eq!(
        edit(2, 0, Some("other")).0,
        Course::Nothing("this version of the comment is known")
    );
    let mut lane = busy();
    lane.finished(&run(1, 0));
    assert_eq!(lane.hear(&mention(1, 1, 30, Some("c"))), Course::Start(run(1, 1)));
    assert_eq!(
        lane.hear(&mention(1, 2, 31, None)),
        Course::Nothing("what the comment asked for has already ended")
    );
    assert_eq!(
        lane.hear(&mention(1, 1, 30, Some("c"))),
        Course::Nothing("a newer version of the comment is known")
    );
}

#[test]
fn every_answer_to_an_edit_is_the_same_when_it_is_delivered_twice() {
    for (comment, text) in [(2, Some("c")), (2, None), (1, Some("c")), (1, None)] {
        let mut lane = busy();
        let edit = mention(comment, 1, 30, text);
        let first = lane.hear(&edit);
        let after = lane.clone();
        let second = lane.hear(&edit);
        let again = match &first {
            Course::Amend(run) => Course::Resume(run.clone()),
            other => other.clone(),
        };
        assert_eq!((second, lane), (again, after), "{edit:?}");
    }
}

#[test]
fn a_late_edit_is_forgotten_when_its_run_ends_and_the_next_edit_starts_anew() {
    let mut lane = busy();
    assert_eq!(
        lane.hear(&mention(1, 1, 30, Some("late"))),
        Course::TooLate(run(1, 0))
    );
    lane.came_too_late(&mention(1, 1, 30, Some("late")));
    lane.finished(&run(1, 0));
    assert_eq!(
        lane.hear(&mention(1, 1, 30, Some("late"))),
        Course::Nothing("this version of the comment is known")
    );
    assert_eq!(
        lane.hear(&mention(1, 2, 31, Some("later"))),
        Course::Start(run(1, 2))
    );
}

#[test]
fn a_comment_that_arrives_after_its_deletion_never_starts() {
    let mut lane = Lane::default();
    assert_eq!(lane.deleted(CommentId(1)), None);
    assert_eq!(
        lane.enter(&mention(1, 0, 10, Some("a")), at(0)),
        Course::Nothing("the comment was deleted")
    );
    assert_eq!(lane.turn("us", at(0)), Turn::Idle);
}

#[test]
fn what_is_no_longer_wanted_says_why() {
    let mut lane = busy();
    assert_eq!(lane.standing(&lane.queue[0]), Standing::Wanted);
    assert_eq!(lane.hear(&mention(2, 1, 30, None)), Course::Withdraw(run(2, 0)));
    assert_eq!(lane.standing(&lane.queue[0]), Standing::Withdrawn);
    assert_eq!(lane.deleted(CommentId(2)), Some(run(2, 0)));
    assert_eq!(lane.standing(&lane.queue[0]), Standing::Deleted);
    let mut lane = busy();
    assert_eq!(lane.closed(15), vec![run(1, 0)]);
    assert_eq!(
        lane.standing(&lane.queue[0]),
        Standing::Wanted,
        "asked after the pull request was reopened"
    );
    assert_eq!(lane.closed(20), vec![run(1, 0), run(2, 0)]);
    assert_eq!(lane.closed(5), vec![]);
    assert_eq!(lane.standing(&lane.queue[0]), Standing::Closed);
    assert_eq!(
        lane.ahead(),
        vec![],
        "who is no longer wanted is not ahead of anyone"
    );
}

#[test]
fn only_one_run_has_its_turn_and_its_end_makes_room() {
    let mut lane = busy();
    assert_eq!(lane.turn("us", at(100)), Turn::Busy);
    assert_eq!(lane.claim(&run(2, 0), "us", at(100)), None);
    lane.finished(&run(1, 0));
    assert!(lane.claim(&run(2, 0), "us", at(100)).is_some());
    lane.finished(&run(1, 0));
    assert_eq!(
        lane.running.as_ref().map(|running| running.entry.run.clone()),
        Some(run(2, 0)),
        "an old end is late"
    );
}

#[test]
fn a_claim_without_a_job_goes_to_another_process_when_it_runs_out() {
    let mut lane = Lane::default();
    lane.enter(&mention(1, 0, 10, Some("a")), at(0));
    assert!(lane.claim(&run(1, 0), "us", at(0)).is_some());
    assert_eq!(lane.missed(&run(1, 0)), 1);
    let until = at(0) + CLAIM_LEASE;
    assert_eq!(lane.turn("them", at(1)), Turn::Claimed { until });
    assert_eq!(lane.claim(&run(1, 0), "them", at(1)), None);
    let again = lane.claim(&run(1, 0), "us", at(1)).unwrap();
    assert_eq!((again.tries, again.since), (1, at(0)), "the same process goes on");
    let taken_over = lane.claim(&run(1, 0), "them", at(1) + CLAIM_LEASE).unwrap();
    assert_eq!(
        (taken_over.by.as_str(), taken_over.tries, taken_over.since),
        ("them", 1, at(0))
    );
}

#[test]
fn a_refusal_that_was_overtaken_by_another_version_does_not_count() {
    let (first, edit) = (
        mention(1, 0, 10, Some("a")),
        mention(1, 1, 11, Some("what is refused")),
    );
    let mut lane = Lane::default();
    assert!(
        !lane.is_overtaken(&edit, &run(1, 1)),
        "nothing is known of the comment"
    );
    let mut refused = lane.clone();
    refused.refuse(&edit, &run(1, 1), None, at(0));
    assert!(!refused.is_overtaken(&edit, &run(1, 1)), "the same again");
    assert!(
        refused.is_overtaken(&first, &run(1, 0)),
        "the edit was heard first"
    );
    lane.enter(&first, at(0));
    assert!(
        lane.is_overtaken(&edit, &run(1, 1)),
        "a run of the comment waits meanwhile"
    );
    lane.deleted(CommentId(1));
    assert!(
        !lane.is_overtaken(&edit, &run(1, 1)),
        "nothing of it waits any more"
    );
}

#[test]
fn a_refusal_is_said_once_an_hour_to_each_person_and_again_if_saying_it_was_interrupted() {
    let mut lane = Lane::default();
    let denied = FailureCode::PermissionDenied;
    let refuse = |lane: &mut Lane, comment, person: &str, code, seconds| {
        let said = Some((person, code));
        let mention = mention(comment, 0, comment, Some("x"));
        lane.refuse(&mention, &run(comment, 0), said, at(seconds))
    };
    assert_eq!(refuse(&mut lane, 1, "bob", denied, 0), run(1, 0));
    assert_eq!(refuse(&mut lane, 1, "bob", denied, 1), run(1, 0));
    assert_eq!(
        refuse(&mut lane, 2, "bob", denied, 2),
        run(1, 0),
        "the run that said it is named"
    );
    assert_eq!(refuse(&mut lane, 3, "eve", denied, 3), run(3, 0));
    assert_eq!(
        refuse(&mut lane, 6, "bob", FailureCode::Paused, 3),
        run(6, 0),
        "for another reason"
    );
    assert_eq!(refuse(&mut lane, 4, "bob", denied, 3_599), run(1, 0));
    assert_eq!(refuse(&mut lane, 5, "bob", denied, 3_600), run(5, 0));
    assert_eq!(lane.turn("us", at(0)), Turn::Idle, "a refused run never waits");
    let always = mention(7, 0, 7, Some("x"));
    assert_eq!(lane.refuse(&always, &run(7, 0), None, at(3_601)), run(7, 0));
    assert_eq!(lane.refuse(&always, &run(8, 0), None, at(3_601)), run(8, 0));
}

#[test]
fn old_comments_are_forgotten_but_never_those_with_a_run() {
    let mut lane = Lane::default();
    lane.enter(&mention(1, 0, 1, Some("a")), at(0));
    for comment in 2..=COMMENTS_MAX as u64 + 50 {
        lane.deleted(CommentId(comment));
    }
    assert_eq!(lane.comments.len(), COMMENTS_MAX);
    assert!(lane.comments.contains_key(&CommentId(1)) && !lane.comments.contains_key(&CommentId(2)));
}

#[test]
fn a_lane_survives_its_bytes() {
    let mut lane = busy();
    lane.refuse(
        &mention(3, 0, 3, Some("x")),
        &run(3, 0),
        Some(("bob", FailureCode::PermissionDenied)),
        at(0),
    );
    let stop = Asked::of(&mention(4, 0, 5, None));
    lane.stop_own(stop, "bob");
    lane.stop_all(stop, "bob");
    lane.closed(4);
    let bytes = pipeline::message::encode(&lane);
    assert_eq!(pipeline::message::decode::<Lane>(&bytes).unwrap(), lane);
    assert!(
        CLAIM_LEASE < SignedDuration::from_mins(1),
        "the watchdog finds a lost claim on its next round"
    );
}

#[test]
fn an_edit_that_gave_up_a_run_is_answered_once_also_after_a_crash() {
    let mut lane = busy();
    let mut edit = mention(2, 1, 30, None);
    edit.command = Some(Command::of_verb(Verb::Pause, ""));
    assert_eq!(lane.hear(&edit), Course::Withdraw(run(2, 0)));
    lane.finished(&run(2, 0));
    assert_eq!(
        lane.hear(&edit),
        Course::Resume(run(2, 0)),
        "a delivery after a crash finds the run that ended"
    );
    assert!(lane.answered(&edit, &run(2, 1)));
    assert_eq!(lane.hear(&edit), Course::Resume(run(2, 1)));
    assert!(lane.answered(&edit, &run(2, 1)), "an answer that was interrupted");
    assert!(lane.comments[&CommentId(2)].answered);
}

#[test]
fn the_schema_is_that_of_the_type() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/lane.v1.json");
    let stale = pipeline::schema::keep(path.as_ref(), &schemars::schema_for!(Lane)).unwrap();
    assert!(
        !stale,
        "{path} was rewritten: look at the difference and commit it"
    );
}

#[test]
fn what_was_let_in_after_the_end_is_not_stopped_by_what_tells_of_it_late() {
    let mut lane = busy();
    lane.outlives_the_end(&run(2, 0));
    assert_eq!(lane.closed(30), vec![run(1, 0)]);
    assert_eq!(lane.standing(&lane.queue[0]), Standing::Wanted);
    assert_eq!(
        lane.gone(30),
        vec![run(1, 0), run(2, 0)],
        "nothing outlives a deletion"
    );
    assert_eq!(lane.standing(&lane.queue[0]), Standing::Closed);
}
