//! Bitbucket is away, slow, or refuses.

use pipeline::run::{Outcome, RunState};
use serde_json::json;

use crate::world::{World, marker};

#[tokio::test]
async fn what_could_not_be_said_is_said_when_bitbucket_is_back() {
    let world = World::start().await;
    world
        .faults(json!([{"user": "openhands", "count": 6, "when": "before", "status": 429, "retry_after": 1}]))
        .await;
    let run = world.queued_run().await;
    world.end(&run, RunState::NoChange, Outcome::default()).await;
    world.until_closed(&run).await;
    let seen = world.bots().await;
    assert_eq!(seen.len(), 1);
    assert!(seen[0].text.ends_with(&marker(&run, 2)));
    world.stop().await;
}

#[tokio::test]
async fn a_bitbucket_without_reactions_misses_nothing() {
    let world = World::start().await;
    world
        .faults(json!([{"path": "*/reactions/*", "when": "before", "status": 404}]))
        .await;
    let run = world.queued_run().await;
    world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    world.end(&run, RunState::NoChange, Outcome::default()).await;
    let closed = world.until_closed(&run).await;
    assert!(!closed.reply.eyes);
    assert_eq!(world.bots().await.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_database_that_refuses_four_byte_characters_gets_the_text_without_them() {
    let world = World::start().await;
    let run = world.queued_run().await;
    world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    world.faults(json!([{"method": "PUT", "path": "*/pull-requests/1/comments/*", "user": "openhands", "count": 1, "when": "before", "status": 500}])).await;
    let summary = Some("Fixed 🎉".to_owned());
    world
        .end(
            &run,
            RunState::NoChange,
            Outcome {
                summary,
                ..Outcome::default()
            },
        )
        .await;
    world.until_closed(&run).await;
    let seen = world.bots().await;
    assert!(seen[0].text.contains("Fixed \u{fffd}"), "{}", seen[0].text);
    world.stop().await;
}

#[tokio::test]
async fn on_a_deleted_pull_request_nothing_is_tried_for_ever() {
    let world = World::start().await;
    let run = world.queued_run().await;
    world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    world.rest("DELETE", "root-t", "", &json!({"version": 0})).await;
    world.end(&run, RunState::Cancelled, Outcome::default()).await;
    let closed = world.until_closed(&run).await;
    assert_eq!(closed.reply.comment, None);
    world.stop().await;
}
