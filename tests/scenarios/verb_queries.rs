//! `status`, `why`, `ping` and `config`: answered at once, whatever runs, and also on a closed pull request.

use serde_json::json;
use tests::setup::Setup;
use tests::waiting::WAIT_MAX;
use tests::world::{World, scenario_in, works};

/// Both with ordinary deliveries and with those that come twice and out of order.
pub(crate) async fn however_delivered(setup: Setup, story: impl AsyncFn(&mut World)) {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..setup.clone()
        };
        scenario_in(setup, async |world| story(world).await).await;
    }
}

/// Has alice ask for something that goes on until the model is released; the comment.
pub(crate) async fn a_run_of_alices_is_held(world: &World) -> u64 {
    world.script(json!([
        {"times": 1, "reply": {"hold": true, "then": works("echo first >> order.txt", "First.")}},
        {"reply": works("echo another >> order.txt", "Another.")},
    ]));
    let comment = world
        .alice()
        .comments(1, "@openhands fix this first")
        .await
        .unwrap();
    world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
    comment
}

/// What is answered to `who`, once it is there.
pub(crate) async fn answer(world: &World, who: &tests::person::Person, request: &str) -> String {
    let comment = who.comments(1, &format!("@openhands {request}")).await.unwrap();
    world.pull_request(1).final_reply_to(comment).await.text
}

#[tokio::test]
async fn status_says_what_runs_and_waits_while_it_does() {
    however_delivered(Setup::default(), async |world| {
        let first = a_run_of_alices_is_held(world).await;
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let second = alice.comments(1, "@openhands then this").await.unwrap();
        pr.reply_to(second).await;
        let status = answer(world, &world.bob(), "status").await;
        for part in [
            "**Answered for @bob**",
            "- Working for ",
            "`fix` for `alice`",
            "- Waits behind 1: `r-",
            "a request for `alice`",
            "Spent on this pull request so far: ",
        ] {
            assert!(status.contains(part), "{part:?} is not in: {status}");
        }
        world.model.release();
        pr.final_reply_to(first).await;
        pr.final_reply_to(second).await;
        let status = answer(world, &world.bob(), "queue").await;
        assert!(
            status.contains("Nothing runs or waits on this pull request.") && status.contains(" in 2 runs."),
            "{status}"
        );
        assert_eq!(pr.bots_commits().await.len(), 2, "asking changed nothing");
    })
    .await;
}

#[tokio::test]
async fn why_tells_what_became_of_a_mention_and_nothing_of_other_pull_requests() {
    let setup = Setup {
        pull_requests: 2,
        ..Setup::default()
    };
    however_delivered(setup, async |world| {
        let (bob, pr) = (world.bob(), world.pull_request(1));
        let first = bob.comments(1, "@openhands delete everything").await.unwrap();
        pr.final_reply_to(first).await;
        let second = bob.comments(1, "@openhands please do").await.unwrap();
        // Answered after it was decided: both are on one pull request.
        let elsewhere = world.alice().comments(2, "@openhands ping").await.unwrap();
        world.pull_request(2).final_reply_to(elsewhere).await;
        let why = bob.replies(1, second, "@openhands why").await.unwrap();
        let told = pr.final_reply_to(why).await.text;
        assert!(
            told.contains("refused, You need write access")
                && told.contains("Not said again within the hour")
                && told.contains("`PERMISSION_DENIED`"),
            "{told}"
        );
        let last = answer(world, &bob, "why").await;
        assert!(last.contains(&format!("comment {second}")), "{last}");
        let other = answer(world, &bob, &format!("why {elsewhere}")).await;
        assert!(
            other.contains("Nothing is recorded for") && !other.contains("answered"),
            "{other}"
        );
        assert!(world.model.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn ping_and_config_answer_who_may_read_also_on_a_closed_pull_request() {
    however_delivered(Setup::default(), async |world| {
        let config = answer(world, &world.bob(), "config").await;
        assert!(config.contains("REPO_WRITE"), "{config}");
        world.alice().declines(1).await.unwrap();
        let ping = answer(world, &world.bob(), "ping").await;
        let version = env!("CARGO_PKG_VERSION");
        assert!(
            ping.contains(&format!("I am here: openhands-resolver {version}."))
                && ping.contains("reaches Bitbucket as `openhands`"),
            "{ping}"
        );
        let status = answer(world, &world.bob(), "status").await;
        assert!(status.contains("Nothing runs or waits"), "{status}");
    })
    .await;
}
