//! `continue`: on with the work that a run left.

use serde_json::json;
use tests::setup::{FILE, FILE_ON_BRANCH, Setup};
use tests::world::{World, scenario, scenario_in, works};

/// A budget that the second model call does not fit into.
const TIGHT: &str = "[limits]\nrun_turns = 1\n";

/// The first agent works and does not come to an end; the second one, which goes on, adds a line of its own.
fn model_stops_half_way(world: &World) {
    world.script(json!([
        {"when": "Go on with the earlier work",
         "reply": works("grep -q 'a + b' src/lib.rs && echo had >> notes.txt || echo anew >> notes.txt", "Went on.")},
        {"times": 1, "reply": {"tool_calls": [
            {"name": "bash", "arguments": {"command": "sed -i 's/a - b/a + b/' src/lib.rs"}},
        ]}},
    ]));
}

fn tight(unruly: bool) -> Setup {
    Setup {
        unruly,
        config: TIGHT.to_owned(),
        ..Setup::default()
    }
}

#[tokio::test]
async fn kept_work_is_taken_over_and_pushed_with_what_is_added() {
    for unruly in [false, true] {
        scenario_in(tight(unruly), async |world| {
            model_stops_half_way(world);
            let (alice, pr) = (world.alice(), world.pull_request(1));
            let first = alice.comments(1, "@openhands add should add").await.unwrap();
            let reply = pr.final_reply_to(first).await;
            assert!(reply.text.contains("TURN_LIMIT"), "{}", reply.text);
            assert_eq!(pr.bots_commits().await.len(), 0);
            let comment = alice.comments(1, "@openhands continue with notes").await.unwrap();
            let reply = pr.final_reply_to(comment).await;
            assert!(
                reply.text.starts_with("**Done") && reply.text.contains("was taken over"),
                "{}",
                reply.text
            );
            assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH.replace("a - b", "a + b"));
            assert_eq!(pr.file("notes.txt").await, "had\n");
            assert_eq!(pr.bots_commits().await.len(), 1);
            let asked = world.model.requests().last().unwrap().body.to_string();
            assert!(
                asked.contains("## The earlier run") && asked.contains("add should add"),
                "{asked}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn work_that_no_longer_fits_is_shown_and_begun_anew() {
    scenario_in(tight(false), async |world| {
        model_stops_half_way(world);
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let first = alice.comments(1, "@openhands add should add").await.unwrap();
        pr.final_reply_to(first).await;
        pr.someone_pushes(FILE, "fn nothing() {}\n").await;
        let comment = alice.comments(1, "@openhands continue").await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Done") && reply.text.contains("no longer fits the branch"),
            "{}",
            reply.text
        );
        assert_eq!(pr.file(FILE).await, "fn nothing() {}\n");
        assert_eq!(pr.file("notes.txt").await, "anew\n");
    })
    .await;
}

#[tokio::test]
async fn without_an_earlier_run_there_is_nothing_to_go_on_with() {
    scenario(async |world| {
        let comment = world.alice().comments(1, "@openhands continue").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.contains("NOTHING_TO_RESUME"), "{}", reply.text);
        assert!(world.model.requests().is_empty());
    })
    .await;
}
