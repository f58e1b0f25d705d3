//! Comments, threads and reactions.

use bitbucket::{ConflictWith, Error, Missing};
use http::Method;
use pipeline::ids::CommentId;
use serde_json::{Value, json};

use crate::world::{PR, World, demo};

#[tokio::test]
async fn a_reply_is_written_edited_in_place_and_deleted() {
    let world = World::start().await;
    let bot = world.bot();
    let trigger = CommentId(
        world
            .comments("alice-t", json!({"text": "@openhands fix it"}))
            .await,
    );
    let reply = bot
        .add_comment(&demo(), PR, "Queued", Some(trigger))
        .await
        .unwrap();
    let edited = bot
        .edit_comment(&demo(), PR, reply.id, reply.version, "Done")
        .await
        .unwrap();
    assert!(edited.version > reply.version);

    let thread = bot.comment(&demo(), PR, trigger).await.unwrap();
    let [seen] = thread.replies.as_slice() else {
        panic!("{thread:?}")
    };
    assert_eq!((seen.id, seen.text.as_str()), (reply.id, "Done"));
    assert!(bot.bot().await.unwrap().is(seen.author.as_ref().unwrap()));

    let stale = bot
        .edit_comment(&demo(), PR, reply.id, reply.version, "Late")
        .await
        .unwrap_err();
    assert!(
        matches!(
            stale,
            Error::Conflict {
                with: ConflictWith::CommentVersion,
                ..
            }
        ),
        "{stale:?}"
    );
    bot.delete_comment(&demo(), PR, reply.id, edited.version)
        .await
        .unwrap();
    let gone = bot.comment(&demo(), PR, reply.id).await.unwrap_err();
    assert!(
        matches!(
            gone,
            Error::NotFound {
                what: Missing::Comment,
                ..
            }
        ),
        "{gone:?}"
    );
}

#[tokio::test]
async fn a_comment_with_replies_is_not_deleted() {
    let world = World::start().await;
    let bot = world.bot();
    let root = bot.add_comment(&demo(), PR, "first", None).await.unwrap();
    world
        .comments("alice-t", json!({"text": "+1", "parent": {"id": root.id}}))
        .await;
    let version = bot.comment(&demo(), PR, root.id).await.unwrap().version;
    let error = bot
        .delete_comment(&demo(), PR, root.id, version)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Conflict {
                with: ConflictWith::State,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_place_of_a_reply_is_found_through_its_thread() {
    let world = World::start().await;
    let bot = world.bot();
    let anchor = json!({"path": "a.rs", "line": 2, "lineType": "ADDED", "fileType": "TO"});
    let root = world
        .comments("alice-t", json!({"text": "why three?", "anchor": anchor}))
        .await;
    let reply = CommentId(
        world
            .comments(
                "alice2-t",
                json!({"text": "@openhands explain", "parent": {"id": root}}),
            )
            .await,
    );
    let nested = CommentId(
        world
            .comments("alice-t", json!({"text": "yes please", "parent": {"id": reply}}))
            .await,
    );
    let general = world
        .comments("alice-t", json!({"text": "nice", "severity": "BLOCKER"}))
        .await;

    assert_eq!(bot.comment(&demo(), PR, reply).await.unwrap().anchor, None);
    let activities = bot.activities(&demo(), PR, 500).await.unwrap();
    let thread = activities.thread_of(nested).unwrap();
    assert_eq!(thread.comment.id, CommentId(root));
    assert_eq!(thread.comment.flatten().count(), 3);
    let place = thread.comment.anchor.as_ref().unwrap();
    assert_eq!((place.path.as_str(), place.line), ("a.rs", Some(2)));
    assert!(
        thread.hunk.as_ref().unwrap().text.contains("+fn three() {}"),
        "{thread:?}"
    );
    assert!(
        activities
            .thread_of(CommentId(general))
            .unwrap()
            .comment
            .is_task()
    );
    assert_eq!(
        (activities.threads.len(), activities.cut, activities.unreadable),
        (2, false, 0)
    );
}

#[tokio::test]
async fn threads_beyond_one_page_are_read_and_deleted_comments_are_not_shown() {
    let world = World::start().await;
    let bot = world.bot();
    let mut last = 0;
    for n in 0..210 {
        last = world
            .comments("alice-t", json!({"text": format!("remark {n}")}))
            .await;
    }
    let path = format!("pull-requests/1/comments/{last}?version=0");
    world.rest("alice-t", Method::DELETE, &path, &Value::Null).await;
    let all = bot.activities(&demo(), PR, usize::MAX).await.unwrap();
    assert_eq!((all.threads.len(), all.cut), (209, false));
    let newest = bot.activities(&demo(), PR, 10).await.unwrap();
    assert!(
        newest.cut && newest.threads.len() < 209,
        "{}",
        newest.threads.len()
    );
}

#[tokio::test]
async fn a_comment_of_a_deleted_user_is_still_read() {
    let world = World::start().await;
    let id = CommentId(world.comments("alice2-t", json!({"text": "bye"})).await);
    world.delete_user("alice2").await;
    let comment = world.bot().comment(&demo(), PR, id).await.unwrap();
    assert_eq!((comment.text.as_str(), comment.author), ("bye", None));
}

#[tokio::test]
async fn a_text_as_long_as_allowed_is_taken_and_a_longer_one_is_refused() {
    let world = World::start().await;
    let bot = world.bot();
    let text = "x".repeat(bitbucket::COMMENT_TEXT_MAX);
    bot.add_comment(&demo(), PR, &text, None).await.unwrap();
    let error = bot
        .add_comment(&demo(), PR, &format!("{text}x"), None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
}

#[tokio::test]
async fn reactions_come_and_go_and_may_be_repeated() {
    let world = World::start().await;
    let bot = world.bot();
    let id = CommentId(world.comments("alice-t", json!({"text": "@openhands hi"})).await);
    let eyes = async || {
        let path = format!("pull-requests/1/comments/{id}");
        let comment = world.rest("alice-t", Method::GET, &path, &Value::Null).await;
        comment["properties"]["reactions"].to_string().contains("eyes")
    };
    for _ in 0..2 {
        bot.add_reaction(&demo(), PR, id, "eyes").await.unwrap();
    }
    assert!(eyes().await);
    bot.remove_reaction(&demo(), PR, id, "eyes").await.unwrap();
    assert!(!eyes().await);
}
