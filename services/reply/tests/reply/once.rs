//! One status reply, whatever died in between.

use std::time::{Duration, Instant};

use jiff::{Timestamp, ToSpan};
use pipeline::ids::CommentId;
use pipeline::run::{Outcome, PostIntent, RunState};
use serde_json::json;

use crate::world::{World, marker, run_of};

fn intent_of_a_dead_process() -> PostIntent {
    PostIntent {
        poster: "dead".into(),
        at: Timestamp::now() - 1.minute(),
    }
}

#[tokio::test]
async fn a_reply_that_was_posted_before_the_crash_is_found_and_surplus_ones_are_deleted() {
    let mut world = World::without_follower().await;
    let comment = world.comments("alice-t", "@openhands fix it", None).await;
    let mut run = run_of(CommentId(comment));
    // Somebody quotes the marker: it counts only on the bot's comments.
    let forged = world
        .comments("alice-t", &format!("look:\n\n{}", marker(&run, 9)), Some(comment))
        .await;
    let first = world
        .comments(
            "bot-t",
            &format!("**Queued**\n\n{}", marker(&run, 1)),
            Some(comment),
        )
        .await;
    let second = world
        .comments(
            "bot-t",
            &format!("**Queued**\n\n{}", marker(&run, 1)),
            Some(comment),
        )
        .await;
    let other = world
        .comments(
            "bot-t",
            "**Queued**\n\n[//]: # (openhands-resolver run=r-aaaaaaaaaaaa n=1)",
            Some(comment),
        )
        .await;
    run.reply.intent = Some(intent_of_a_dead_process());
    world.create(&run).await;
    world.add_follower().await;
    let record = world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    assert_eq!(record.reply.comment, Some(CommentId(first)));
    let ids: Vec<u64> = world.all().await.iter().map(|comment| comment.id).collect();
    assert!(!ids.contains(&second), "the surplus one is deleted");
    assert!(
        ids.contains(&forged) && ids.contains(&other),
        "other comments are not ours to delete"
    );
    world.end(&run, RunState::Cancelled, Outcome::default()).await;
    world.until_closed(&run).await;
    assert!(world.one(first).await.text.starts_with("**Stopped for @alice"));
    world.stop().await;
}

#[tokio::test]
async fn a_process_that_died_before_posting_is_replaced() {
    let mut world = World::without_follower().await;
    let comment = world.comments("alice-t", "@openhands fix it", None).await;
    let mut run = run_of(CommentId(comment));
    run.reply.intent = Some(intent_of_a_dead_process());
    world.create(&run).await;
    world.add_follower().await;
    world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    assert_eq!(world.bots().await.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_post_of_a_dead_process_that_arrives_late_is_gone_at_the_end() {
    let mut world = World::without_follower().await;
    let comment = world.comments("alice-t", "@openhands fix it", None).await;
    let mut run = run_of(CommentId(comment));
    run.reply.intent = Some(intent_of_a_dead_process());
    world.create(&run).await;
    world.add_follower().await;
    let posted = world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await
        .reply
        .comment;
    let late = format!("**Queued**\n\n{}", marker(&run, 1));
    world.comments("bot-t", &late, Some(comment)).await;
    world.end(&run, RunState::Cancelled, Outcome::default()).await;
    let record = world.until_closed(&run).await;
    let bots = world.bots().await;
    assert_eq!(bots.len(), 1, "{bots:#?}");
    assert_eq!(posted, Some(CommentId(bots[0].id)));
    assert_eq!((record.reply.comment, record.reply.intent), (posted, None));
    world.stop().await;
}

#[tokio::test]
async fn a_lost_answer_to_the_post_makes_no_second_reply() {
    let world = World::start().await;
    world.faults(json!([{"method": "POST", "path": "comments", "user": "openhands", "count": 1, "when": "after", "drop": true}])).await;
    let started = Instant::now();
    let run = world.queued_run().await;
    world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    assert!(
        started.elapsed() > Duration::from_secs(9),
        "what is under way gets time to arrive before anyone looks"
    );
    let posts = world
        .calls()
        .await
        .iter()
        .filter(|call| *call == "POST comments")
        .count();
    assert_eq!((world.bots().await.len(), posts), (1, 1));
    world.stop().await;
}

#[tokio::test]
async fn a_lost_answer_to_an_edit_is_made_up_for() {
    let world = World::start().await;
    let run = world.queued_run().await;
    world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    world.faults(json!([{"method": "PUT", "path": "*/pull-requests/1/comments/*", "user": "openhands", "count": 1, "when": "after", "drop": true}])).await;
    world.end(&run, RunState::NoChange, Outcome::default()).await;
    world.until_closed(&run).await;
    let seen = world.bots().await;
    assert_eq!(seen.len(), 1);
    assert!(seen[0].text.ends_with(&marker(&run, 2)));
    world.stop().await;
}

#[tokio::test]
async fn two_processes_leave_one_reply_per_run() {
    let mut world = World::start().await;
    world.add_follower().await;
    let mut runs = Vec::new();
    for _ in 0..10 {
        runs.push(world.queued_run().await);
    }
    for run in &runs {
        world.take(run).await;
        world.end(run, RunState::NoChange, Outcome::default()).await;
    }
    for run in &runs {
        world.until_closed(run).await;
    }
    let seen = world.bots().await;
    assert_eq!(seen.len(), runs.len());
    for run in &runs {
        assert!(
            seen.iter()
                .any(|comment| comment.parent == Some(run.comment.0)
                    && comment.text.ends_with(&marker(run, 3)))
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn an_edit_by_another_process_is_built_upon_or_left_alone() {
    let world = World::start().await;
    let run = world.queued_run().await;
    let record = world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    let id = record.reply.comment.unwrap();
    // An older text of another process arrived late: it is overwritten.
    let edit = |version: u32, text: String| json!({"version": version, "text": text});
    let path = format!("comments/{id}");
    world
        .rest(
            "PUT",
            "bot-t",
            &path,
            &edit(0, format!("late\n\n{}", marker(&run, 1))),
        )
        .await;
    world.take(&run).await;
    world
        .until_record(&run, |record| record.reply.shows_n == Some(2))
        .await;
    assert!(world.one(id.0).await.text.starts_with("**Working**"));
    // A newer text of another process is there already: it stays.
    world
        .rest(
            "PUT",
            "bot-t",
            &path,
            &edit(2, format!("newer\n\n{}", marker(&run, 9))),
        )
        .await;
    world.end(&run, RunState::NoChange, Outcome::default()).await;
    world.until_closed(&run).await;
    assert!(world.one(id.0).await.text.starts_with("newer"));
    world.stop().await;
}
