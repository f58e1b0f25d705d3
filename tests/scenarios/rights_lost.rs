//! Somebody loses the right to what they asked for while it is worked on: what they may not any more does not happen, right up
//! to the last moment.

use reqwest::Method;
use serde_json::{Value, json};
use tests::setup::{FILE, Setup};
use tests::waiting::WAIT_MAX;
use tests::world::{World, works};

use crate::verb_queries::however_delivered;
use crate::verb_review::{handing_over, on_the_diff};

const FIX: &str = "sed -i 's/a - b/a + b/' src/lib.rs";

/// Alice may only read from now on; or not even that.
async fn alice_loses(world: &World, everything: bool) {
    let (method, path) = if everything {
        (Method::DELETE, "/permissions/users?name=alice")
    } else {
        (Method::PUT, "/permissions/users?name=alice&permission=REPO_READ")
    };
    world.root().send(method, path, Value::Null).await.unwrap();
}

async fn alice_gets_it_back(world: &World) {
    let path = "/permissions/users?name=alice&permission=REPO_WRITE";
    world.root().send(Method::PUT, path, Value::Null).await.unwrap();
}

/// The agent of alice's request waits for `release` before it runs `command` and says `summary`.
async fn while_it_works(world: &World, request: &str, (command, summary): (&str, &str)) -> u64 {
    world.script(json!([{"reply": {"hold": true, "then": works(command, summary)}}]));
    let comment = world.alice().comments(1, request).await.unwrap();
    world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
    comment
}

#[tokio::test]
async fn who_may_is_asked_again_before_every_try_to_push() {
    for is_lost in [true, false] {
        however_delivered(Setup::default(), async |world| {
            let comment = while_it_works(world, "@openhands fix the sign", (FIX, "Did it.")).await;
            let pr = world.pull_request(1);
            let push = world
                .holds_next("POST", "*/git-receive-pack", "before")
                .await
                .unwrap();
            world.model.release();
            world.held(push).await.unwrap();
            // The right was there when the first try began; the branch moves, so there is a second one.
            let theirs = pr.someone_pushes("notes.txt", "by a person\n").await;
            if is_lost {
                alice_loses(world, false).await;
            }
            world.lets_go(push).await.unwrap();
            let reply = pr.final_reply_to(comment).await;
            if is_lost {
                assert!(
                    reply.text.starts_with("**Failed")
                        && reply.text.contains("`ACCESS_LOST`")
                        && reply.text.contains("REPO_WRITE on PROJ/demo is needed")
                        && reply.text.contains("+    a + b"),
                    "the patch is kept: {}",
                    reply.text
                );
                assert_eq!(pr.head().await, theirs);
            } else {
                assert!(reply.text.starts_with("**Done"), "the control: {}", reply.text);
                assert_eq!(pr.bots_commits().await.len(), 1);
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_branch_that_did_not_arrive_is_not_tried_again_for_who_may_not_any_more() {
    for is_lost in [true, false] {
        however_delivered(Setup::default(), async |world| {
            let comment = while_it_works(world, "@openhands fix --new-pr the sign", (FIX, "Did it.")).await;
            let lost_in_flight = json!([{
                "method": "POST", "path": "*/git-receive-pack", "user": "openhands", "count": 1, "hold": true,
                "drop": true,
            }]);
            world.faults(lost_in_flight).await.unwrap();
            let push = world.first_fault().await.unwrap();
            world.model.release();
            world.held(push).await.unwrap();
            if is_lost {
                alice_loses(world, false).await;
            }
            world.lets_go(push).await.unwrap();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert_eq!(reply.text.contains("`ACCESS_LOST`"), is_lost, "{}", reply.text);
            assert_eq!(reply.text.starts_with("**Done"), !is_lost, "{}", reply.text);
            let branches = world.root().get_all("/branches").await.unwrap();
            let made = branches
                .iter()
                .any(|branch| branch["displayId"].as_str().unwrap().starts_with("openhands/"));
            assert_eq!(made, !is_lost, "{branches:#?}");
        })
        .await;
    }
}

#[tokio::test]
async fn findings_of_who_may_not_read_any_more_are_not_written() {
    for is_lost in [true, false] {
        however_delivered(Setup::default(), async |world| {
            let findings = json!({"findings": [{"path": FILE, "line": 2, "text": "This subtracts."}]});
            let summary = handing_over("One mistake.", &findings);
            let comment = while_it_works(world, "@openhands review", ("true", &summary)).await;
            if is_lost {
                alice_loses(world, true).await;
            }
            world.model.release();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert_eq!(reply.text.contains("`ACCESS_LOST`"), is_lost, "{}", reply.text);
            let written = on_the_diff(world).await;
            assert_eq!(written.is_empty(), is_lost, "{written:#?}");
            alice_gets_it_back(world).await;
        })
        .await;
    }
}

#[tokio::test]
async fn suggestions_of_who_may_not_write_any_more_are_not_made() {
    for is_lost in [true, false] {
        however_delivered(Setup::default(), async |world| {
            let comment = while_it_works(world, "@openhands fix --suggest it", (FIX, "Add.")).await;
            if is_lost {
                alice_loses(world, false).await;
            }
            world.model.release();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert_eq!(reply.text.contains("`ACCESS_LOST`"), is_lost, "{}", reply.text);
            let written = on_the_diff(world).await;
            assert_eq!(written.is_empty(), is_lost, "{written:#?}");
        })
        .await;
    }
}

#[tokio::test]
async fn threads_are_not_answered_for_who_may_not_write_any_more() {
    for is_lost in [true, false] {
        however_delivered(Setup::default(), async |world| {
            let thread = world.bob().comments(1, "This subtracts.").await.unwrap();
            let task = json!({"text": "Add.", "severity": "BLOCKER"});
            let task = world
                .bob()
                .send(Method::POST, "/pull-requests/1/comments", task)
                .await
                .unwrap();
            let task = task["id"].as_u64().unwrap();
            let result = json!({"answers": [
                {"thread": thread, "text": "It adds now.", "settled": true},
                {"thread": task, "text": "It does.", "settled": true},
            ]});
            let summary = handing_over("Added.", &result);
            let asked = while_it_works(world, "@openhands address", (FIX, &summary)).await;
            let pr = world.pull_request(1);
            let before = pr.head().await;
            if is_lost {
                alice_loses(world, false).await;
            }
            world.model.release();
            let reply = pr.final_reply_to(asked).await;
            assert_eq!(reply.text.contains("`ACCESS_LOST`"), is_lost, "{}", reply.text);
            let thread_is_answered = pr
                .comments()
                .await
                .iter()
                .any(|c| c.is_bots() && [thread, task].contains(&c.parent.unwrap_or_default()));
            assert_eq!(thread_is_answered, !is_lost);
            let path = format!("/pull-requests/1/comments/{task}");
            let task = world.root().get(&path).await.unwrap();
            assert_eq!(task["state"] == "OPEN", is_lost, "{task:#}");
            assert_eq!(pr.head().await == before, is_lost);
        })
        .await;
    }
}
