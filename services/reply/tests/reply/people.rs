//! What people do meanwhile.

use pipeline::run::{Outcome, RunState};
use serde_json::Value;

use crate::world::{World, marker};

#[tokio::test]
async fn a_reply_that_a_person_deleted_comes_back_only_with_the_end() {
    let world = World::start().await;
    let run = world.queued_run().await;
    let first = world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    let path = format!("comments/{}?version=0", first.reply.comment.unwrap());
    world.rest("DELETE", "root-t", &path, &Value::Null).await;
    world.take(&run).await;
    world
        .until_record(&run, |record| record.reply.deleted_by_person)
        .await;
    assert!(world.bots().await.is_empty());
    world.end(&run, RunState::NoChange, Outcome::default()).await;
    world.until_closed(&run).await;
    let seen = world.bots().await;
    assert_eq!(seen.len(), 1);
    assert!(seen[0].text.starts_with("**No change needed"));
    world.stop().await;
}

#[tokio::test]
async fn when_the_comment_that_asked_is_gone_the_answer_stands_alone_and_says_so() {
    let mut world = World::without_follower().await;
    let run = world.queued_run().await;
    world
        .rest(
            "DELETE",
            "alice-t",
            &format!("comments/{}?version=0", run.comment),
            &Value::Null,
        )
        .await;
    world.add_follower().await;
    let seen = world.until_bots(&run, |seen| !seen.is_empty()).await;
    assert_eq!(seen[0].parent, None);
    assert!(
        seen[0]
            .text
            .starts_with("*(The comment this answers was deleted.)*"),
        "{}",
        seen[0].text
    );
    world.end(&run, RunState::Cancelled, Outcome::default()).await;
    world.until_closed(&run).await;
    let seen = world.bots().await;
    assert_eq!(seen.len(), 1);
    assert!(seen[0].text.ends_with(&marker(&run, 2)));
    assert!(
        seen[0]
            .text
            .starts_with("*(The comment this answers was deleted.)*"),
        "it still says so: {}",
        seen[0].text
    );
    world.stop().await;
}
