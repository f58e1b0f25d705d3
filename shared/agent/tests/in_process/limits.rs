//! When a run ends before the model says so, and what must not outlive it.

use std::time::{Duration, Instant};

use agent::{Ended, Error};
use serde_json::json;

use crate::world::{LIMIT, World, call};

/// How fast a run must be over when it is stopped.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_turn_limit_ends_the_run_with_the_work_done_so_far() {
    let world = World::with(json!([{"reply": call("bash", json!({"command": "echo x >> log"}))}])).await;
    let mut task = world.task("never ends");
    task.limits.turns = 4;
    let report = world.run_task(task).await.unwrap();
    assert_eq!((report.ended, report.usage.turns), (Ended::TurnLimit, 4));
    assert_eq!(world.read("log"), b"x\nx\nx\nx\n");
}

#[tokio::test]
async fn the_token_limit_ends_the_run() {
    let world = World::with(json!([{"reply": call("bash", json!({"command": "true"}))}])).await;
    let mut task = world.task("never ends");
    task.limits.tokens = 2000;
    let report = world.run_task(task).await.unwrap();
    assert_eq!(report.ended, Ended::TokenLimit);
    assert!(report.usage.tokens() >= 2000, "{:?}", report.usage);
}

#[tokio::test]
async fn the_time_limit_ends_a_command_and_the_run() {
    let world = World::with(json!([{"reply": call("bash", json!({"command": "sleep 300"}))}])).await;
    let mut task = world.task("takes long");
    task.limits.wall = Duration::from_millis(500);
    let before = Instant::now();
    let report = world.run_task(task).await.unwrap();
    assert_eq!(report.ended, Ended::TimeLimit);
    assert!(
        before.elapsed() < Duration::from_millis(500) + AT_ONCE,
        "{:?}",
        before.elapsed()
    );
}

#[tokio::test]
async fn cancelling_ends_a_running_command_and_everything_it_started() {
    let script = "(while :; do date > beat; done) & echo up > ready; wait";
    let world = World::with(json!([{"reply": call("bash", json!({"command": script}))}])).await;
    let ready = world.fifo("ready");
    let task = world.task("takes long");
    let cancel = task.cancel.clone();
    let stop = async {
        // Comes when the command is in the middle of its work.
        assert_eq!(ready.await.expect("the command starts"), "up\n");
        cancel.cancel();
        Instant::now()
    };
    let (report, asked) = tokio::join!(world.run_task(task), stop);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert_eq!(report.unwrap().ended, Ended::Cancelled);
    // The heart would go on beating: 300 rounds of the loop happen in the time of this one command.
    std::fs::write(world.tree().join("beat"), "still").unwrap();
    world
        .shell("i=0; while [ $i -lt 300 ]; do i=$((i+1)); date > /dev/null; done")
        .await;
    assert_eq!(world.read("beat"), b"still");
}

#[tokio::test]
async fn cancelling_ends_a_run_that_waits_for_the_model() {
    let world = World::with(json!([{"reply": {"hold": true}}])).await;
    let task = world.task("task");
    let cancel = task.cancel.clone();
    let stop = async {
        world
            .model()
            .wait_for_requests(1, LIMIT)
            .await
            .expect("the model is asked");
        cancel.cancel();
        Instant::now()
    };
    let (report, asked) = tokio::join!(world.run_task(task), stop);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert_eq!(report.unwrap().ended, Ended::Cancelled);
}

#[tokio::test]
async fn a_command_has_its_own_time_limit_and_the_run_goes_on() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": "echo begun; sleep 300"}))},
        {"when": "killed after 0.3 s", "reply": {"text": "too slow"}},
    ]))
    .await;
    let mut task = world.task("task");
    task.limits.command_wall = Duration::from_millis(300);
    assert_eq!(world.run_task(task).await.unwrap().summary, "too slow");
    assert!(world.results()[0].ends_with("begun\n"), "{:?}", world.results());
}

#[tokio::test]
async fn a_background_child_does_not_hold_up_a_command_nor_outlive_it() {
    let script = "(while :; do date > beat; done) & while [ ! -s beat ]; do :; done; echo started";
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": script}))},
        {"when": "started", "reply": call("bash", json!({"command":
            "echo still > beat; i=0; while [ $i -lt 300 ]; do i=$((i+1)); date > /dev/null; done; cat beat"}))},
        {"when": "exit code 0\nstill\n", "reply": {"text": "it is dead"}},
    ]))
    .await;
    assert_eq!(world.run("task").await.unwrap().summary, "it is dead");
}

#[tokio::test]
async fn a_receiver_that_is_gone_does_not_stop_the_work() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": "true"}))},
        {"when": "exit code", "reply": {"text": "ok"}},
    ]))
    .await;
    world.hang_up();
    assert_eq!(world.run("task").await.unwrap().summary, "ok");
}

#[tokio::test]
async fn a_missing_work_tree_is_an_error_that_is_worth_another_attempt() {
    let world = World::with(json!([])).await;
    let mut task = world.task("task");
    task.work_tree = "/no/such/tree".into();
    let error = world.run_task(task).await.unwrap_err();
    assert!(matches!(error, Error::WorkTree { .. }), "{error:?}");
    let failure = pipeline::failure::Failure::from(error);
    assert!(
        matches!(failure, pipeline::failure::Failure::Retry { .. }),
        "{failure:?}"
    );
}
