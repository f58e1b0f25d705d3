//! The branch or the pull request changes under a running agent.

use pipeline::run::RunState;
use reqwest::Method;
use serde_json::json;
use tests::inside;
use tests::setup::{FILE, Setup};
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario, scenario_in, works};

use crate::verb_queries::{answer, however_delivered};

/// Lets the agent wait for `release` before it runs `command`.
fn slow_agent(world: &World, command: &str) {
    world.script(json!([{"reply": {"hold": true, "then": works(command, "Did it.")}}]));
}

/// As many as a run tries before it says that the branch is too busy.
const PUSHES: usize = 5;

async fn while_it_works(world: &World, request: &str) -> u64 {
    let comment = world.alice().comments(1, request).await.unwrap();
    world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
    comment
}

#[tokio::test]
async fn a_commit_pushed_meanwhile_survives_and_the_change_lands_on_top() {
    scenario(async |world| {
        slow_agent(world, "sed -i 's/a - b/a + b/' src/lib.rs");
        let pr = world.pull_request(1);
        let comment = while_it_works(world, "@openhands fix the sign").await;
        let theirs = pr.someone_pushes("notes.txt", "by a person\n").await;
        world.model.release();

        let reply = pr.final_reply_to(comment).await;
        let moved = format!(
            "to `{}` meanwhile (pushed by `alice`); the change was merged onto it",
            &theirs[..11]
        );
        assert!(
            reply.text.starts_with("**Done") && reply.text.contains(&moved),
            "{}",
            reply.text
        );
        assert_eq!(pr.file("notes.txt").await, "by a person\n");
        assert!(pr.file(FILE).await.contains("a + b"));
        let ours = &pr.bots_commits().await[0];
        assert_eq!(
            ours["parents"][0]["id"],
            theirs.as_str(),
            "a fast-forward on top of theirs"
        );
    })
    .await;
}

#[tokio::test]
async fn where_bitbucket_does_not_tell_who_moved_the_branch_the_commit_does() {
    scenario(async |world| {
        slow_agent(world, "sed -i 's/a - b/a + b/' src/lib.rs");
        let pr = world.pull_request(1);
        let comment = while_it_works(world, "@openhands fix the sign").await;
        pr.someone_pushes("notes.txt", "by a person\n").await;
        world
            .faults(json!([{"method": "GET", "path": "*/activities", "user": "openhands", "status": 404}]))
            .await
            .unwrap();
        world.model.release();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Done") && reply.text.contains("(its last commit is by `Alice`)"),
            "{}",
            reply.text
        );
    })
    .await;
}

#[tokio::test]
async fn a_branch_that_moves_again_between_merge_and_push_gets_the_change_on_top_of_both() {
    scenario(async |world| {
        slow_agent(world, "sed -i 's/a - b/a + b/' src/lib.rs");
        let pr = world.pull_request(1);
        let comment = while_it_works(world, "@openhands fix the sign").await;
        pr.someone_pushes("first.txt", "by a person\n").await;
        let push = world
            .holds_next("POST", "*/git-receive-pack", "before")
            .await
            .unwrap();
        world.model.release();
        world.held(push).await.unwrap();
        let theirs = pr.someone_pushes("second.txt", "by a person\n").await;
        world.lets_go(push).await.unwrap();

        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Done") && reply.text.contains(&theirs[..11]),
            "{}",
            reply.text
        );
        for file in ["first.txt", "second.txt"] {
            assert_eq!(pr.file(file).await, "by a person\n");
        }
        assert!(pr.file(FILE).await.contains("a + b"));
        let ours = pr.bots_commits().await;
        assert_eq!(ours.len(), 1);
        assert_eq!(
            ours[0]["parents"][0]["id"],
            theirs.as_str(),
            "a fast-forward on top of both"
        );
        assert_eq!(world.model.requests().len(), 1, "the agent ran once");
    })
    .await;
}

#[tokio::test]
async fn a_branch_that_never_stops_moving_is_left_alone_and_the_patch_is_kept() {
    scenario(async |world| {
        slow_agent(world, "sed -i 's/a - b/a + b/' src/lib.rs");
        let pr = world.pull_request(1);
        let comment = while_it_works(world, "@openhands fix the sign").await;
        let mut theirs = String::new();
        for push in 1..=PUSHES {
            // Holding the next push lets the last one go: there is no gap for one to slip through.
            let hold = world
                .holds_next("POST", "*/git-receive-pack", "before")
                .await
                .unwrap();
            world.model.release();
            world.held(hold).await.unwrap();
            theirs = pr.someone_pushes(&format!("{push}.txt"), "by a person\n").await;
        }
        world.faults(json!([])).await.unwrap();

        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Failed") && reply.text.contains("BRANCH_BUSY"),
            "{}",
            reply.text
        );
        assert!(reply.text.contains("(pushed by `alice`)"), "{}", reply.text);
        assert!(
            reply.text.contains("+    a + b"),
            "the patch is in the reply: {}",
            reply.text
        );
        assert_eq!(pr.head().await, theirs);
    })
    .await;
}

#[tokio::test]
async fn a_conflicting_commit_survives_and_the_patch_is_kept() {
    scenario(async |world| {
        slow_agent(world, "sed -i 's/a - b/a + b/' src/lib.rs");
        let pr = world.pull_request(1);
        let comment = while_it_works(world, "@openhands fix the sign").await;
        let theirs = pr
            .someone_pushes(FILE, "fn add(a: i32, b: i32) -> i32 {\n    a * b\n}\n")
            .await;
        world.model.release();

        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.contains("BRANCH_CONFLICT"), "{}", reply.text);
        assert!(reply.text.contains("(pushed by `alice`)"), "{}", reply.text);
        assert!(
            reply.text.contains("+    a + b"),
            "the patch is in the reply: {}",
            reply.text
        );
        assert_eq!(pr.head().await, theirs);
    })
    .await;
}

#[tokio::test]
async fn a_branch_deleted_meanwhile_is_told_and_the_patch_is_kept() {
    scenario(async |world| {
        slow_agent(world, "sed -i 's/a - b/a + b/' src/lib.rs");
        let pr = world.pull_request(1);
        let comment = while_it_works(world, "@openhands fix the sign").await;
        pr.someone_deletes_the_branch().await;
        world.model.release();
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.contains("SOURCE_BRANCH_GONE"), "{}", reply.text);
        assert!(
            reply.text.contains("+    a + b"),
            "the patch is in the reply: {}",
            reply.text
        );
    })
    .await;
}

#[tokio::test]
async fn a_pull_request_merged_or_declined_meanwhile_gets_no_push() {
    for merged in [true, false] {
        scenario(async |world| {
            slow_agent(world, "sed -i 's/a - b/a + b/' src/lib.rs");
            let pr = world.pull_request(1);
            let comment = while_it_works(world, "@openhands fix the sign").await;
            let before = pr.head().await;
            if merged {
                world.root().merges(1).await.unwrap();
            } else {
                world.alice().declines(1).await.unwrap();
            }
            let reply = pr.final_reply_to(comment).await;
            assert!(reply.text.contains("PULL_REQUEST_CLOSED"), "{}", reply.text);
            world.model.release();
            assert_eq!(pr.head().await, before);
        })
        .await;
    }
}

#[tokio::test]
async fn a_draft_is_worked_on_like_any_other_pull_request() {
    let mut document = Setup::default().document();
    document["pull_requests"][0]["draft"] = json!(true);
    let setup = Setup {
        document: Some(document),
        ..Setup::default()
    };
    however_delivered(setup, async |world| {
        let is_draft = async || world.root().get("/pull-requests/1").await.unwrap()["draft"].clone();
        assert_eq!(is_draft().await, true);
        let reply = answer(world, &world.alice(), "fix the sign").await;
        assert!(reply.starts_with("**Done"), "{reply}");
        assert_eq!(world.pull_request(1).bots_commits().await.len(), 1);
        assert_eq!(is_draft().await, true);
    })
    .await;
}

#[tokio::test]
async fn a_pull_request_deleted_meanwhile_gets_no_push() {
    let setup = Setup {
        pull_requests: 2,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        slow_agent(world, "sed -i 's/a - b/a + b/' src/lib.rs");
        world.expected.deleted = vec![1];
        let pr = world.pull_request(1);
        let before = pr.head().await;
        while_it_works(world, "@openhands fix the sign").await;
        world
            .root()
            .send(Method::DELETE, "/pull-requests/1", json!({"version": 0}))
            .await
            .unwrap();
        let nats = &inside::connect(world).await.unwrap();
        let ended = until(WAIT_MAX, || async move {
            let runs = inside::runs(nats).await.ok()?;
            runs.into_iter().find(|run| run.state.is_terminal())
        });
        let run = ended.await.expect("the run ends");
        assert_eq!(run.state, RunState::Cancelled, "{run:#?}");
        world.model.release();
        world.agent_appends("// by the other run");
        // The worker is free again, and what it did meanwhile is there to be seen.
        let other = world
            .alice()
            .comments(2, "@openhands fix the other sign")
            .await
            .unwrap();
        let reply = world.pull_request(2).final_reply_to(other).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pr.head().await, before);
    })
    .await;
}

#[tokio::test]
async fn a_pull_request_closed_without_a_webhook_gets_no_push_either() {
    scenario(async |world| {
        slow_agent(world, "sed -i 's/a - b/a + b/' src/lib.rs");
        let pr = world.pull_request(1);
        let comment = while_it_works(world, "@openhands fix the sign").await;
        let before = pr.head().await;
        world
            .control("PUT", "/sim/v1/delivery-mode", json!({"drop": true}))
            .await
            .unwrap();
        world.alice().declines(1).await.unwrap();
        world.model.release();
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.contains("PULL_REQUEST_CLOSED"), "{}", reply.text);
        assert_eq!(pr.head().await, before);
    })
    .await;
}

#[tokio::test]
async fn an_edit_that_takes_the_mention_away_stops_the_agent_within_seconds() {
    scenario(async |world| {
        world.script(json!([{"reply": works("echo started > started.txt; tail -f /dev/null", "Never.")}]));
        let pr = world.pull_request(1);
        let comment = while_it_works(world, "@openhands run for ever").await;
        let before = pr.head().await;
        world.alice().edits(1, comment, "never mind").await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Stopped") && reply.text.contains("REQUEST_WITHDRAWN"),
            "{}",
            reply.text
        );
        assert_eq!(pr.head().await, before);
    })
    .await;
}

#[tokio::test]
async fn a_deleted_comment_stops_the_agent_too_and_the_reply_stands_alone() {
    scenario(async |world| {
        world.script(json!([{"reply": works("echo started > started.txt; tail -f /dev/null", "Never.")}]));
        let pr = world.pull_request(1);
        let comment = while_it_works(world, "@openhands run for ever").await;
        let before = pr.head().await;
        // Bitbucket keeps a comment that has replies: an administrator took the bot's away.
        let status = pr.reply_to(comment).await;
        world.root().deletes(1, status.id).await.unwrap();
        world.alice().deletes(1, comment).await.unwrap();
        pr.wait_for("the end", |comments| {
            comments
                .iter()
                .any(|c| c.is_bots() && c.parent.is_none() && c.text.contains("COMMENT_DELETED"))
                .then_some(())
        })
        .await;
        assert_eq!(pr.head().await, before);
    })
    .await;
}
