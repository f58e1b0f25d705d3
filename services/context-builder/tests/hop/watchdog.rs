//! What nobody tells the role about, it finds when it looks: at its start and each minute.

use jiff::{SignedDuration, Timestamp};
use pipeline::failure_code::FailureCode;
use pipeline::run::{Fenced, RunState};
use pipeline::subject;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_past_its_deadline_is_ended_and_the_next_one_gets_its_turn() {
    let mut world = World::start().await;
    let first = world.comment("alice", "@openhands one", None).await;
    let first = world.mention("alice", first, 0, Some("one")).await;
    world.until_running(&first).await;
    let second = world.comment("alice", "@openhands two", None).await;
    let second = world.mention("alice", second, 0, Some("two")).await;
    world.until(&second, "it should wait", |run| run.ahead == 1).await;
    let overdue = |run: &mut pipeline::run::Run| {
        run.deadline = Some(Timestamp::now() - SignedDuration::from_mins(2));
        Ok::<(), Fenced>(())
    };
    world
        .nats
        .runs()
        .update(&subject::run_key(&first), overdue)
        .await
        .unwrap()
        .unwrap();
    world.crash_and_restart_the_role().await;
    let ended = world
        .until(&first, "it should expire", |run| run.state == RunState::Expired)
        .await;
    assert_eq!(
        ended.outcome.unwrap().failure.unwrap().code,
        FailureCode::TimeLimit
    );
    world.until_running(&second).await;
    world.end_one_run();
    world
        .until(&second, "it should be done", |run| run.state == RunState::Done)
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_job_is_gone_is_ended() {
    let mut world = World::start().await;
    let first = world.comment("alice", "@openhands one", None).await;
    let first = world.mention("alice", first, 0, Some("one")).await;
    let running = world.until_running(&first).await;
    world
        .until_the_lane("it knows of the job", |lane| lane.running["dispatched"] == true)
        .await;
    world.lose_the_worker(&running).await;
    world.crash_and_restart_the_role().await;
    let ended = world
        .until(&first, "it should fail", |run| run.state == RunState::Failed)
        .await;
    assert_eq!(
        ended.outcome.unwrap().failure.unwrap().code,
        FailureCode::WorkerLost
    );
    world.end().await;
}
