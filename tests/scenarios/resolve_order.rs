//! One pull request, one run at a time, in the order people wrote; different pull requests do not wait for each other.

use pipeline::run::RunState;
use serde_json::json;
use tests::inside;
use tests::setup::Setup;
use tests::world::{scenario, scenario_in, works};

#[tokio::test]
async fn two_mentions_on_one_pull_request_run_one_after_the_other_in_order() {
    scenario(async |world| {
        world.script(json!([
            {"times": 1, "reply": {"hold": true, "then": works("echo first >> order.txt", "First.")}},
            {"reply": works("echo second >> order.txt", "Second.")},
        ]));
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let first = alice.comments(1, "@openhands first").await.unwrap();
        world
            .model
            .wait_for_requests(1, tests::waiting::WAIT_MAX)
            .await
            .unwrap();
        let second = alice.comments(1, "@openhands second").await.unwrap();

        let waiting = pr.reply_to(second).await;
        assert!(
            waiting.text.contains("Queued"),
            "the second one waits: {}",
            waiting.text
        );
        assert_eq!(world.model.requests().len(), 1, "nothing runs beside the first");
        world.model.release();

        pr.final_reply_to(first).await;
        pr.final_reply_to(second).await;
        assert_eq!(pr.file("order.txt").await, "first\nsecond\n");
    })
    .await;
}

#[tokio::test]
async fn fifty_mentions_on_five_pull_requests_end_in_fifty_commits() {
    const PULL_REQUESTS: usize = 5;
    const MENTIONS_EACH: usize = 10;
    let setup = Setup {
        pull_requests: PULL_REQUESTS,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        world.agent_runs("echo once more >> log.txt", "Wrote a line.");
        let mut comments = Vec::new();
        for mention in 0..MENTIONS_EACH {
            for pull_request in 1..=PULL_REQUESTS {
                let text = format!("@openhands line {mention}");
                let comment = world.alice().comments(pull_request as u64, &text).await.unwrap();
                comments.push((pull_request, comment));
            }
        }
        for (pull_request, comment) in comments {
            let reply = world.pull_request(pull_request).final_reply_to(comment).await;
            assert!(
                reply.text.starts_with("**Done"),
                "#{pull_request} comment {comment}: {}",
                reply.text
            );
        }
        for pull_request in 1..=PULL_REQUESTS {
            let log = world.pull_request(pull_request).file("log.txt").await;
            assert_eq!(log.lines().count(), MENTIONS_EACH, "pull request {pull_request}");
        }
        let mut runs = inside::runs(&inside::connect(world).await.unwrap())
            .await
            .unwrap();
        runs.sort_by_key(|run| (run.pull_request, run.started_at));
        for pair in runs
            .windows(2)
            .filter(|pair| pair[0].pull_request == pair[1].pull_request)
        {
            assert!(pair[0].ended_at <= pair[1].started_at, "runs overlap: {pair:#?}");
            assert!(
                pair[0].comment < pair[1].comment,
                "not in the order they were written: {pair:#?}"
            );
        }
        assert!(
            runs.iter()
                .all(|run| run.state == RunState::Done && run.attempt == 1)
        );
    })
    .await;
}

#[tokio::test]
async fn an_edit_that_takes_the_mention_away_takes_the_run_out_of_the_queue() {
    scenario(async |world| {
        world.script(json!([
            {"times": 1, "reply": {"hold": true, "then": works("echo first >> order.txt", "First.")}},
            {"reply": works("echo another >> order.txt", "Another.")},
        ]));
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let first = alice.comments(1, "@openhands first").await.unwrap();
        world
            .model
            .wait_for_requests(1, tests::waiting::WAIT_MAX)
            .await
            .unwrap();
        let second = alice.comments(1, "@openhands second").await.unwrap();
        pr.reply_to(second).await;
        alice.edits(1, second, "never mind").await.unwrap();
        let reply = pr.final_reply_to(second).await;
        assert!(reply.text.contains("REQUEST_WITHDRAWN"), "{}", reply.text);
        world.model.release();
        pr.final_reply_to(first).await;
        assert_eq!(pr.file("order.txt").await, "first\n");
    })
    .await;
}

#[tokio::test]
async fn an_edit_while_queued_changes_what_will_be_done() {
    scenario(async |world| {
        world.script(json!([
            {"times": 1, "reply": {"hold": true, "then": works("echo first >> order.txt", "First.")}},
            {"reply": works("echo second >> order.txt", "Second.")},
        ]));
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let first = alice.comments(1, "@openhands first").await.unwrap();
        world
            .model
            .wait_for_requests(1, tests::waiting::WAIT_MAX)
            .await
            .unwrap();
        let second = alice.comments(1, "@openhands scond").await.unwrap();
        pr.reply_to(second).await;
        alice
            .edits(1, second, "@openhands do the amended thing")
            .await
            .unwrap();
        tests::waiting::until(tests::waiting::WAIT_MAX, || async {
            let runs = inside::runs(&inside::connect(world).await.ok()?).await.ok()?;
            runs.iter()
                .any(|run| run.command.text == "do the amended thing")
                .then_some(())
        })
        .await
        .expect("the queued run is amended");
        world.model.release();
        pr.final_reply_to(first).await;
        pr.final_reply_to(second).await;
        let asked = world.model.requests().last().unwrap().body.to_string();
        assert!(asked.contains("do the amended thing"), "{asked}");
    })
    .await;
}
