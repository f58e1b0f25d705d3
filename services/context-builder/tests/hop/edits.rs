//! What edits and deletions do to a run that waits or runs.

use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::run::RunState;

use crate::world::World;

/// A running request and a waiting one: (run, comment) each.
async fn busy(world: &World) -> [(RunId, u64); 2] {
    let first = world.comment("alice", "@openhands one", None).await;
    let first_run = world.mention("alice", first, 0, Some("one")).await;
    world.until_running(&first_run).await;
    let second = world.comment("alice", "@openhands two", None).await;
    let second_run = world.mention("alice", second, 0, Some("two")).await;
    world
        .until(&second_run, "it should wait", |run| run.ahead == 1)
        .await;
    [(first_run, first), (second_run, second)]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_amends_a_waiting_run_and_comes_too_late_for_a_running_one() {
    let world = World::start().await;
    let [(first, first_comment), (second, second_comment)] = busy(&world).await;
    world
        .mention("alice", second_comment, 1, Some("two, but better"))
        .await;
    let amended = world
        .until(&second, "it should be amended", |run| run.comment_version == 1)
        .await;
    assert_eq!(
        (amended.command.text.as_str(), amended.state),
        ("two, but better", RunState::Queued)
    );
    world.mention("alice", first_comment, 1, Some("too late")).await;
    let running = world
        .until(&first, "it should say so", |run| !run.steps.is_empty())
        .await;
    assert!(
        running.steps[0].contains("edited after work had begun"),
        "{:?}",
        running.steps
    );
    assert_eq!(running.command.text, "one");
    world.end_one_run();
    let done = world
        .until(&first, "it should be done", |run| run.state == RunState::Done)
        .await;
    assert!(done.edited_late, "the reply at the end tells it, too");
    let running = world.until_running(&second).await;
    assert!(
        world
            .brief(&running)
            .await
            .contains("```text\ntwo, but better\n```")
    );
    world.end_one_run();
    world
        .until(&second, "it should be done", |run| run.state == RunState::Done)
        .await;
    let again = world.mention("alice", first_comment, 2, Some("one more")).await;
    world.until_running(&again).await;
    assert_ne!(again, first);
    world.end_one_run();
    world
        .until(&again, "it should be done", |run| run.state == RunState::Done)
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mention_taken_away_or_deleted_ends_its_run() {
    let world = World::start().await;
    let [(first, first_comment), (second, second_comment)] = busy(&world).await;
    world.mention("alice", second_comment, 1, None).await;
    let ended = world
        .until(&second, "it should be cancelled", |run| {
            run.state == RunState::Cancelled
        })
        .await;
    assert_eq!(
        ended.outcome.unwrap().failure.unwrap().code,
        FailureCode::RequestWithdrawn
    );
    world.deleted(first_comment).await;
    let ended = world
        .until(&first, "it should be cancelled", |run| {
            run.state == RunState::Cancelled
        })
        .await;
    assert_eq!(
        ended.outcome.unwrap().failure.unwrap().code,
        FailureCode::CommentDeleted
    );
    let third = world.comment("alice", "@openhands three", None).await;
    let third = world.mention("alice", third, 0, Some("three")).await;
    world.until_running(&third).await;
    world.end_one_run();
    world
        .until(&third, "it should be done", |run| run.state == RunState::Done)
        .await;
    assert_eq!(world.taken(), [first, third]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_told_after_its_deletion_starts_nothing() {
    let world = World::start().await;
    let comment = world.comment("alice", "@openhands one", None).await;
    world.deleted(comment).await;
    let other = world.comment("alice", "@openhands two", None).await;
    // The controls have a consumer of their own: wait until the deletion is known before the mention follows.
    world
        .until_the_lane("it knows of the deletion", |lane| {
            lane.comments[comment.to_string()]["deleted"] == true
        })
        .await;
    let late = world.mention("alice", comment, 0, Some("one")).await;
    world.until_decided("the comment was deleted").await;
    let run = world.mention("alice", other, 0, Some("two")).await;
    world.until_running(&run).await;
    assert_eq!(world.run(&late).await, None);
    world.end_one_run();
    world
        .until(&run, "it should be done", |run| run.state == RunState::Done)
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_between_a_runs_end_and_the_release_of_its_lane_starts_a_new_run() {
    let world = World::start().await;
    let comment = world.comment("alice", "@openhands one", None).await;
    let first = world.mention("alice", comment, 0, Some("one")).await;
    world.until_running(&first).await;
    world.mention("alice", comment, 1, Some("too late")).await;
    world
        .until(&first, "it should say so", |run| run.late_version == 1)
        .await;
    let busy = world.lane().await;
    world.end_one_run();
    world
        .until(&first, "it should be done", |run| run.state == RunState::Done)
        .await;
    world
        .until_the_lane("it is at rest", |lane| lane.running.is_null())
        .await;
    // As it was when the run had ended and nobody had told the lane.
    world.put_lane(&busy).await;
    let again = world.mention("alice", comment, 2, Some("another thing")).await;
    let running = world.until_running(&again).await;
    assert!(
        world
            .brief(&running)
            .await
            .contains("```text\nanother thing\n```")
    );
    assert_eq!(world.taken(), [first, again.clone()]);
    world.end_one_run();
    world
        .until(&again, "it should be done", |run| run.state == RunState::Done)
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_edit_was_told_to_be_too_late_waits_for_no_earlier_one() {
    let world = World::start().await;
    let [(first, first_comment), (second, second_comment)] = busy(&world).await;
    // As it is when whoever heard of an edit died between the lane's record and the run's.
    let noted = world.lane().await.with_edit(second_comment, 1, first_comment);
    world.put_lane(&noted).await;
    world.end_one_run();
    world
        .until(&first, "it should be done", |run| run.state == RunState::Done)
        .await;
    world
        .until_the_lane("the second one has its turn", |lane| {
            lane.running["entry"]["run"] == second.as_str()
        })
        .await;
    assert_eq!(world.run(&second).await.unwrap().state, RunState::Queued);
    world.mention("alice", second_comment, 2, Some("too late")).await;
    let running = world.until_running(&second).await;
    assert_eq!(running.late_version, 2);
    assert_eq!(running.command.text, "two");
    world.end_one_run();
    world
        .until(&second, "it should be done", |run| run.state == RunState::Done)
        .await;
    world.end().await;
}
