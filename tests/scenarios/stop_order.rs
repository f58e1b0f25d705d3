//! `stop` and requests whose deliveries overtake one another: what counts is when they were written.

use serde_json::{Value, json};
use tests::setup::Setup;
use tests::waiting::WAIT_MAX;
use tests::world::{World, scenario_in, works};

/// Tells Bitbucket to keep back what it would deliver, or to deliver again; what was kept back stays so.
async fn deliveries_wait(world: &World, hold: bool, duplicate: bool) {
    let mode = json!({"hold": hold, "duplicate": duplicate});
    world.control("PUT", "/sim/v1/delivery-mode", mode).await.unwrap();
}

/// Has alice comment; what Bitbucket would tell of it waits, everything after it does not.
async fn comments_and_is_not_heard(world: &World, text: &str, duplicate: bool) -> u64 {
    deliveries_wait(world, true, duplicate).await;
    let comment = world.alice().comments(1, text).await.unwrap();
    deliveries_wait(world, false, duplicate).await;
    comment
}

/// Bitbucket delivers what it kept back.
async fn is_heard_now(world: &World) {
    let released = world
        .control("POST", "/sim/v1/deliveries/release", Value::Null)
        .await
        .unwrap();
    assert!(released["released"].as_u64() >= Some(1), "{released}");
}

#[tokio::test]
async fn a_request_that_is_heard_after_the_stop_that_follows_it_does_not_begin() {
    for duplicate in [false, true] {
        scenario_in(Setup::default(), async |world| {
            let pr = world.pull_request(1);
            let late = comments_and_is_not_heard(world, "@openhands do it", duplicate).await;
            let stop = world.alice().comments(1, "@openhands stop").await.unwrap();
            pr.final_reply_to(stop).await;
            is_heard_now(world).await;
            let reply = pr.final_reply_to(late).await;
            assert!(
                reply.text.contains("STOPPED") && !reply.text.starts_with("**Done"),
                "{}",
                reply.text
            );
            assert!(world.model.requests().is_empty(), "no agent was started");
            let after = world.alice().comments(1, "@openhands do that").await.unwrap();
            let reply = pr.final_reply_to(after).await;
            assert!(reply.text.starts_with("**Done"), "{}", reply.text);
            assert_eq!(pr.bots_commits().await.len(), 1);
        })
        .await;
    }
}

#[tokio::test]
async fn a_stop_that_is_heard_after_the_request_that_follows_it_lets_that_go_on() {
    for duplicate in [false, true] {
        scenario_in(Setup::default(), async |world| {
            world.script(json!([
                {"times": 1, "reply": {"hold": true, "then": works("echo first >> order.txt", "First.")}},
                {"reply": works("echo second >> order.txt", "Second.")},
            ]));
            let (alice, pr) = (world.alice(), world.pull_request(1));
            let stopped = alice.comments(1, "@openhands the first").await.unwrap();
            world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
            let stop = comments_and_is_not_heard(world, "@openhands stop", duplicate).await;
            let goes_on = alice.comments(1, "@openhands the second").await.unwrap();
            pr.reply_to(goes_on).await;
            is_heard_now(world).await;
            let answer = pr.final_reply_to(stop).await;
            assert_eq!(
                answer.text.matches("`r-").count(),
                2,
                "itself and one: {}",
                answer.text
            );
            let reply = pr.final_reply_to(stopped).await;
            assert!(
                reply.text.contains("STOPPED") && reply.text.contains("Asked for by alice"),
                "{}",
                reply.text
            );
            let reply = pr.final_reply_releasing_the_model(goes_on).await;
            assert!(reply.text.starts_with("**Done"), "{}", reply.text);
            assert_eq!(pr.file("order.txt").await, "second\n");
        })
        .await;
    }
}

#[tokio::test]
async fn an_edit_that_asks_again_after_a_stop_is_not_stopped_by_it() {
    scenario_in(Setup::default(), async |world| {
        world.script(json!([
            {"times": 1, "reply": {"hold": true, "then": works("echo first >> order.txt", "First.")}},
            {"reply": works("echo second >> order.txt", "Second.")},
        ]));
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let first = alice.comments(1, "@openhands the first").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        let waits = alice.comments(1, "@openhands the secnd").await.unwrap();
        pr.reply_to(waits).await;
        let stop = comments_and_is_not_heard(world, "@openhands stop", false).await;
        alice.edits(1, waits, "@openhands the second").await.unwrap();
        tests::waiting::until(WAIT_MAX, || async {
            let runs = tests::inside::runs(&tests::inside::connect(world).await.ok()?)
                .await
                .ok()?;
            runs.iter()
                .any(|run| run.command.text == "the second")
                .then_some(())
        })
        .await
        .expect("the waiting run is amended");
        is_heard_now(world).await;
        pr.final_reply_to(stop).await;
        let reply = pr.final_reply_to(first).await;
        assert!(reply.text.contains("STOPPED"), "{}", reply.text);
        let reply = pr.final_reply_releasing_the_model(waits).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pr.file("order.txt").await, "second\n");
    })
    .await;
}
