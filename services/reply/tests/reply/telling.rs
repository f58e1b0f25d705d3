//! The end told in a comment of its own, and characters that a database does not keep.

use jiff::{Timestamp, ToSpan};
use pipeline::effect::Progress;
use pipeline::run::{Outcome, Run, RunState};
use serde_json::json;

use crate::world::{Seen, World};

/// Lines of the configuration under which an end is told in a comment.
const COMMENTED: &str = "[reply]\nfinish = \"edit-and-comment\"\n";

/// A run that is over and told so, comment included; its record and what the bot wrote.
async fn ended(world: &World, run: &Run) -> (Run, Vec<Seen>) {
    world.end(run, RunState::NoChange, Outcome::default()).await;
    let record = world
        .until_record(run, |record| {
            record.reply.closing_reaction && matches!(record.reply.finish, Progress::Done { .. })
        })
        .await;
    (record, world.bots().await)
}

/// One comment that tells the end, under the status reply.
fn is_told_once(record: &Run, seen: &[Seen]) {
    assert_eq!(seen.len(), 2, "{seen:#?}");
    let status = record.reply.comment.unwrap();
    let told = seen.iter().find(|comment| comment.id != status.0).unwrap();
    assert_eq!(told.parent, Some(status.0));
    assert!(
        told.text
            .starts_with("**No change was needed**, @alice: see the reply above."),
        "{}",
        told.text
    );
    assert!(
        matches!(record.reply.finish, Progress::Done { comment: Some(id), .. } if id.0 == told.id),
        "{:?}",
        record.reply.finish
    );
}

#[tokio::test]
async fn where_edits_tell_nobody_the_end_is_told_in_one_comment_by_however_many() {
    let mut world = World::with(COMMENTED, json!({})).await;
    world.add_follower().await;
    world.add_follower().await;
    let run = world.queued_run().await;
    world.take(&run).await;
    world
        .until_record(&run, |record| record.reply.shows_n == Some(2))
        .await;
    assert_eq!(world.bots().await.len(), 1, "while it works there is one reply");
    let (record, seen) = ended(&world, &run).await;
    is_told_once(&record, &seen);
    world.stop().await;
}

#[tokio::test]
async fn what_was_never_at_work_is_not_told_twice() {
    let mut world = World::with(COMMENTED, json!({})).await;
    world.add_follower().await;
    let run = world.queued_run().await;
    world.end(&run, RunState::Refused, Outcome::default()).await;
    let record = world.until_closed(&run).await;
    assert_eq!(record.reply.finish, Progress::default());
    assert_eq!(world.bots().await.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn an_end_that_was_being_told_when_a_process_died_is_told_once() {
    for was_written in [true, false] {
        let mut world = World::with(COMMENTED, json!({})).await;
        let run = world.queued_run().await;
        world.take(&run).await;
        world.add_follower().await;
        let record = world
            .until_record(&run, |record| record.reply.comment.is_some())
            .await;
        let status = record.reply.comment.unwrap();
        if was_written {
            let text = format!(
                "**No change was needed**, @alice: see the reply above.\n\n[//]: # (openhands-resolver run={} end)",
                run.id
            );
            world.comments("bot-t", &text, Some(status.0)).await;
        }
        world
            .change(&run, |run| {
                run.reply.finish = Progress::Begun {
                    poster: "dead".into(),
                    at: Timestamp::now() - 1.minute(),
                };
            })
            .await;
        let (record, seen) = ended(&world, &run).await;
        is_told_once(&record, &seen);
        world.stop().await;
    }
}

#[tokio::test]
async fn a_database_that_loses_four_byte_characters_is_found_out_by_reading_the_reply_back() {
    let replaces = json!({"four_byte_characters": false, "four_byte_replaced": true});
    for (server, shown) in [(replaces, "Fixed \u{fffd}"), (json!({}), "Fixed \u{1f389}")] {
        let mut world = World::with("", server).await;
        world.add_follower().await;
        for _ in 0..2 {
            let run = world.queued_run().await;
            let outcome = Outcome {
                summary: Some("Fixed \u{1f389}".to_owned()),
                ..Outcome::default()
            };
            world.end(&run, RunState::NoChange, outcome).await;
            let record = world.until_closed(&run).await;
            let reply = world.one(record.reply.comment.unwrap().0).await;
            assert!(reply.text.contains(shown), "{}", reply.text);
        }
        let read_back = world.calls().await;
        let read_back = read_back.iter().filter(|call| call.starts_with("GET comments/"));
        assert_eq!(read_back.count(), 1, "once is enough");
        world.stop().await;
    }
}
