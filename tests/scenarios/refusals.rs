//! Who may not, and what is no request at all.

use insta::assert_snapshot;
use serde_json::json;
use tests::world::{World, scenario};

use crate::looking_in::redacted;

/// Ends a run of alice's, so that whatever an ignored comment could have started would have shown by now.
async fn a_run_of_alices_ends(world: &World) {
    let comment = world.alice().comments(1, "@openhands go").await.unwrap();
    world.pull_request(1).final_reply_to(comment).await;
}

#[tokio::test]
async fn someone_without_write_access_is_refused_and_told_once() {
    scenario(async |world| {
        let (bob, pr) = (world.bob(), world.pull_request(1));
        let first = bob.comments(1, "@openhands delete everything").await.unwrap();
        let reply = pr.final_reply_to(first).await;
        assert_snapshot!(redacted(&reply.text), @"
        **Refused for @bob** — You need write access to this repository to ask for changes.

        > REPO_WRITE on PROJ/demo is needed

        What to do: Ask a repository admin for write access, or ask someone who has it to repeat the request.

        `PERMISSION_DENIED` · run `<run>`
        ");

        let second = bob.comments(1, "@openhands please").await.unwrap();
        a_run_of_alices_ends(world).await;
        let comments = pr.comments().await;
        assert!(
            !comments.iter().any(|c| c.is_bots() && c.parent == Some(second)),
            "told once: {comments:#?}"
        );
        assert_eq!(pr.bots_commits().await.len(), 1, "alice's alone");
        assert_eq!(world.model.requests().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_bots_own_mention_starts_nothing() {
    scenario(async |world| {
        world.bot().comments(1, "@openhands and again").await.unwrap();
        world.expected.comments_with_bots_token = 1;
        a_run_of_alices_ends(world).await;
        assert_eq!(world.model.requests().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_only_looks_like_a_mention_starts_nothing() {
    scenario(async |world| {
        for text in [
            "`@openhands stop`",
            "> @openhands fix this",
            "```\n@openhands fix\n```",
            "mail me@openhands.dev",
            "@openhands-bot hi",
            "@openhandsx",
            "[@openhands](https://example.test) see there",
            "no mention at all",
        ] {
            world.alice().comments(1, text).await.unwrap();
        }
        a_run_of_alices_ends(world).await;
        assert_eq!(world.model.requests().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_edit_outside_the_command_starts_nothing_again() {
    scenario(async |world| {
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let comment = alice.comments(1, "thnaks. @openhands fix it").await.unwrap();
        pr.final_reply_to(comment).await;
        alice
            .edits(1, comment, "thanks. @openhands fix it")
            .await
            .unwrap();
        a_run_of_alices_ends(world).await;
        assert_eq!(pr.bots_commits().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_mention_on_a_closed_pull_request_is_refused() {
    scenario(async |world| {
        world.alice().declines(1).await.unwrap();
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Refused") && reply.text.contains("PULL_REQUEST_CLOSED"),
            "{}",
            reply.text
        );
    })
    .await;
}

#[tokio::test]
async fn a_push_refused_by_a_hook_shows_the_hooks_words_and_keeps_the_patch() {
    scenario(async |world| {
        let words = "expected committer email 'ci@example.test' but found 'bot@example.test'";
        world
            .control("PUT", "/sim/v1/faults", json!([{"push_reject": words}]))
            .await
            .unwrap();
        let pr = world.pull_request(1);
        let before = pr.head().await;
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.contains("PUSH_REJECTED") && reply.text.contains("expected committer email"),
            "{}",
            reply.text
        );
        assert!(
            reply.text.contains("+// looked at by the bot"),
            "the patch is kept: {}",
            reply.text
        );
        assert_eq!(pr.head().await, before);
    })
    .await;
}

#[tokio::test]
async fn a_mention_alone_shows_what_may_be_typed() {
    scenario(async |world| {
        let comment = world.alice().comments(1, "@openhands").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Answered for @alice**")
                && reply.text.contains("`@openhands fix [text]`"),
            "{}",
            reply.text
        );
        assert!(world.model.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_mention_alone_under_a_comment_means_that_comment() {
    scenario(async |world| {
        let alice = world.alice();
        let root = alice.comments(1, "The sign is wrong here.").await.unwrap();
        let comment = alice.replies(1, root, "@openhands").await.unwrap();
        world.pull_request(1).final_reply_to(comment).await;
        let asked = world.model.requests()[0].body.to_string();
        assert!(asked.contains("The sign is wrong here."), "{asked}");
    })
    .await;
}
