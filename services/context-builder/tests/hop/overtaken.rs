//! Versions of a comment whose admissions are under way at once, so that neither has found the other in the lane.

use pipeline::run::RunState;
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_is_admitted_together_with_its_comment_is_what_runs() {
    let world = World::start().await;
    let first = world.comment("alice", "@openhands one", None).await;
    let first = world.mention("alice", first, 0, Some("one")).await;
    world.until_running(&first).await;

    // The comment is held where Bitbucket is asked for the pull request, its edit one question further.
    let hold =
        |path: &str| json!({"method": "GET", "path": path, "user": "openhands", "count": 1, "hold": true});
    let holds = json!([hold("/rest/api/*/pull-requests/1"), hold("/rest/api/*/users")]);
    world.send("", "PUT", "/sim/v1/faults", holds).await;
    let held = world.send("", "GET", "/sim/v1/faults", Value::Null).await;
    let comment = world.comment("alice", "@openhands two", None).await;
    let run = world.mention("alice", comment, 0, Some("two")).await;
    until_held(&world, &held[0]["id"]).await;
    let later = world.mention("alice", comment, 1, Some("two, but better")).await;
    until_held(&world, &held[1]["id"]).await;
    release(&world, &held[0]["id"]).await;
    world
        .until(&run, "it should wait", |run| run.state == RunState::Queued)
        .await;
    release(&world, &held[1]["id"]).await;
    world
        .until(&run, "it should be amended", |run| {
            run.command.text == "two, but better"
        })
        .await;

    world.end_one_run();
    world.end_one_run();
    world
        .until(&run, "it should end", |run| run.state.is_terminal())
        .await;
    assert_eq!(world.run(&later).await, None, "the edit starts no run of its own");
    world.end().await;
}

async fn until_held(world: &World, fault: &Value) {
    let path = format!("/sim/v1/faults?held={fault}&wait_ms=30000");
    let faults = world.send("", "GET", &path, Value::Null).await;
    let held = faults
        .as_array()
        .expect("a list of faults")
        .iter()
        .any(|known| known["id"] == *fault && known["held"] == 1);
    assert!(held, "no request reached the fault: {faults}");
}

async fn release(world: &World, fault: &Value) {
    world
        .send("", "POST", &format!("/sim/v1/faults/{fault}/release"), json!({}))
        .await;
}
