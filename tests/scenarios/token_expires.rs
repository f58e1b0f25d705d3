//! The bot's token expires: nothing can be written on Bitbucket then, so operators see it where they look, and what was
//! asked is done, with a word about the wait, once there is a token that works.

use pipeline::failure_code::FailureCode;
use serde_json::{Value, json};
use tests::setup::Setup;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario, works};

use crate::looking_in::page;
use crate::starting_and_stopping::executable;
use crate::verb_queries::however_delivered;

/// Refused calls after which nobody can say that they were not noticed.
const REFUSED: usize = 3;

/// What a reply says of it.
const WAITED: &str = "It had to wait for less than a minute: Bitbucket refused the bot's access token until an administrator saw to it";

/// Every call of the bot's that goes there is refused from now on.
async fn expires(world: &World, path: &str) {
    let fault = json!([{"user": "openhands", "path": path, "status": 401}]);
    world.faults(fault).await.unwrap();
}

async fn is_renewed(world: &World) {
    world.faults(json!([])).await.unwrap();
}

/// Waits until the bot was refused often.
async fn is_refused(world: &World) {
    let refused = until(WAIT_MAX, || async {
        let faults = world.control("GET", "/sim/v1/faults", Value::Null).await.ok()?;
        (faults[0]["used"].as_u64()? >= REFUSED as u64).then_some(())
    });
    refused.await.expect("the bot keeps trying");
}

async fn is_done_after_a_wait(world: &World, comment: u64) {
    let reply = world.pull_request(1).final_reply_to(comment).await.text;
    assert!(reply.starts_with("**Done") && reply.contains(WAITED), "{reply}");
    assert_eq!(world.pull_request(1).bots_commits().await.len(), 1);
}

#[tokio::test]
async fn what_is_asked_meanwhile_is_done_when_it_is_renewed_and_says_that_it_waited() {
    however_delivered(Setup::default(), async |world| {
        expires(world, "*").await;
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        is_refused(world).await;
        let metrics = page(world, "/metrics").await;
        let refused = metrics
            .lines()
            .find(|line| line.starts_with("resolver_bitbucket_calls_total") && line.contains("\"401\""));
        assert!(refused.is_some(), "{metrics}");
        is_renewed(world).await;
        is_done_after_a_wait(world, comment).await;
    })
    .await;
}

#[tokio::test]
async fn a_run_that_waits_for_it_shows_what_for() {
    scenario(async |world| {
        expires(world, "*/info/refs").await;
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let status = world.pull_request(1).reply_to(comment).await;
        let run = status
            .text
            .split('`')
            .find(|word| word.starts_with("r-"))
            .unwrap_or_else(|| panic!("{}", status.text))
            .to_owned();
        let config = world.path("resolver.toml").to_str().unwrap().to_owned();
        let waited = until(WAIT_MAX, || async {
            let (_, shown, _) = executable(&["runs", "show", &run, "--config", &config]).await;
            let shown: Value = serde_json::from_str(&shown).ok()?;
            let waited = shown["waited"].clone();
            (waited["code"] == FailureCode::BitbucketUnauthorized.as_str() && waited["until"].is_null())
                .then_some(())
        });
        waited.await.expect("the record says what the run waits for");
        is_renewed(world).await;
        is_done_after_a_wait(world, comment).await;
    })
    .await;
}

#[tokio::test]
async fn work_that_is_done_when_it_expires_is_not_done_twice() {
    scenario(async |world| {
        let work = works("printf '// fixed\\n' >> src/lib.rs", "Fixed it.");
        world.script(json!([{"reply": {"hold": true, "then": work}}]));
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        expires(world, "*").await;
        world.model.release();
        is_refused(world).await;
        is_renewed(world).await;
        is_done_after_a_wait(world, comment).await;
        assert_eq!(world.model.requests().len(), 1, "the agent worked once");
    })
    .await;
}
