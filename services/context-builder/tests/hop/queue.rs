//! One run at a time, in order, until the pull request is closed.

use pipeline::failure_code::FailureCode;
use pipeline::run::{Run, RunState};
use serde_json::json;

use crate::world::{PULL_REQUEST, World};

fn code(run: &Run) -> Option<FailureCode> {
    run.outcome.as_ref()?.failure.as_ref().map(|report| report.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn mentions_wait_for_one_another_and_know_their_place() {
    let world = World::start().await;
    let mut runs = Vec::new();
    for text in ["one", "two", "three"] {
        let comment = world.comment("alice", &format!("@openhands {text}"), None).await;
        let run = world.mention("alice", comment, 0, Some(text)).await;
        world.until(&run, "it should have a record", |_| true).await;
        runs.push(run);
    }
    world.until_running(&runs[0]).await;
    world.until(&runs[1], "one before it", |run| run.ahead == 1).await;
    world.until(&runs[2], "two before it", |run| run.ahead == 2).await;
    world.end_one_run();
    world.until_running(&runs[1]).await;
    let third = world.until(&runs[2], "one before it", |run| run.ahead == 1).await;
    assert_eq!(third.state, RunState::Queued);
    world.end_one_run();
    world.end_one_run();
    world
        .until(&runs[2], "it should be done", |run| run.state == RunState::Done)
        .await;
    assert_eq!(world.taken(), runs);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pull_request_ends_what_runs_and_what_waits_and_refuses_what_follows() {
    let world = World::start().await;
    let mut runs = Vec::new();
    for text in ["one", "two"] {
        let comment = world.comment("alice", &format!("@openhands {text}"), None).await;
        let run = world.mention("alice", comment, 0, Some(text)).await;
        world.until(&run, "it should have a record", |_| true).await;
        runs.push(run);
    }
    world.until_running(&runs[0]).await;
    let late = world.comment("alice", "@openhands three", None).await;
    let pull_request = world.send("alice", "GET", PULL_REQUEST, json!(null)).await;
    let decline = format!("{PULL_REQUEST}/decline?version={}", pull_request["version"]);
    world
        .send(
            "alice",
            "POST",
            &decline,
            json!({"version": pull_request["version"]}),
        )
        .await;
    world.closed().await;
    for run in &runs {
        let ended = world
            .until(run, "it should be cancelled", |run| {
                run.state == RunState::Cancelled
            })
            .await;
        assert_eq!(code(&ended), Some(FailureCode::PullRequestClosed));
    }
    let late = world.mention("alice", late, 0, Some("three")).await;
    let refused = world
        .until(&late, "it should be refused", |run| {
            run.state == RunState::Refused
        })
        .await;
    assert_eq!(code(&refused), Some(FailureCode::PullRequestClosed));
    assert_eq!(world.taken(), [runs[0].clone()]);
    world.end().await;
}
