//! A git server that says nothing: for longer than most clients wait, and for as long as nobody waits.

use std::time::Duration;

use serde_json::{Value, json};
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario};

/// Longer than the half minute after which git libraries give up by default, shorter than our own limit.
const SILENCE: Duration = Duration::from_secs(35);

/// Bitbucket says nothing to the bot's next request of this kind for [`SILENCE`], `before` or `after` its effect.
async fn falls_silent(world: &World, path: &str, when: &str) {
    let silence = json!([{
        "method": "POST", "path": path, "user": "openhands", "count": 1, "when": when,
        "delay_ms": u64::try_from(SILENCE.as_millis()).unwrap(),
    }]);
    world.faults(silence).await.unwrap();
}

/// Waits until Bitbucket has answered a request after a silence; returns how often it was asked the like of it.
async fn speaks_again(world: &World, service: &str) -> usize {
    let silent = |requests: &Value| -> Option<usize> {
        let asked = requests
            .as_array()?
            .iter()
            .filter(|request| request["method"] == "POST" && request["user"] == "openhands")
            .filter(|request| {
                request["path"]
                    .as_str()
                    .is_some_and(|path| path.ends_with(service))
            });
        let took = |request: &&Value| request["duration_us"].as_u64().map(Duration::from_micros);
        let asked: Vec<_> = asked.collect();
        asked
            .iter()
            .any(|request| took(request) >= Some(SILENCE))
            .then_some(asked.len())
    };
    let spoke = until(SILENCE + WAIT_MAX, || async move {
        let requests = world.control("GET", "/sim/v1/requests", Value::Null).await.ok()?;
        silent(&requests)
    });
    spoke.await.expect("the request is answered after the silence")
}

#[tokio::test]
async fn a_fetch_that_is_answered_after_more_than_half_a_minute_is_waited_for() {
    scenario(async |world| {
        falls_silent(world, "*/git-upload-pack", "before").await;
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        speaks_again(world, "/git-upload-pack").await;
        let pr = world.pull_request(1);
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pr.bots_commits().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_push_that_is_answered_after_more_than_half_a_minute_is_waited_for_and_not_repeated() {
    scenario(async |world| {
        falls_silent(world, "*/git-receive-pack", "after").await;
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        let pushes = speaks_again(world, "/git-receive-pack").await;
        let pr = world.pull_request(1);
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pushes, 1);
        assert_eq!(pr.bots_commits().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_waits_for_a_silent_server_can_be_stopped() {
    scenario(async |world| {
        let hold = world
            .holds_next("POST", "*/git-upload-pack", "before")
            .await
            .unwrap();
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let comment = alice.comments(1, "@openhands do it").await.unwrap();
        world.held(hold).await.unwrap();
        let stop = alice.comments(1, "@openhands stop").await.unwrap();
        pr.final_reply_to(stop).await;
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.contains("STOPPED"), "{}", reply.text);
        // The next request does not wait for what the server still owes to the one before.
        let next = alice.comments(1, "@openhands do that").await.unwrap();
        let reply = pr.final_reply_to(next).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        world.lets_go(hold).await.unwrap();
        assert_eq!(pr.bots_commits().await.len(), 1);
    })
    .await;
}

#[tokio::test]
#[ignore = "takes more than two minutes: ./dev soak"]
async fn a_server_that_stays_silent_is_given_up_and_asked_again() {
    /// After which the resolver gives up, with room for a busy machine.
    const GIVEN_UP_MAX: Duration = Duration::from_secs(3 * 60);
    scenario(async |world| {
        let hold = world
            .holds_next("POST", "*/git-upload-pack", "before")
            .await
            .unwrap();
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.held(hold).await.unwrap();
        let pr = world.pull_request(1);
        let pushed = until(GIVEN_UP_MAX, || async {
            (!pr.bots_commits().await.is_empty()).then_some(())
        });
        pushed.await.expect("the second try gets through");
        world.lets_go(hold).await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        let log = std::fs::read_to_string(world.path("up.log")).unwrap();
        assert!(log.contains("the server was silent for 120s"), "{log}");
    })
    .await;
}
