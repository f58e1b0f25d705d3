//! Pulling the plug: a worker or NATS dies at the worst moments; there is one commit and one reply all the same.
//!
//! The moments are reached from outside: the model or Bitbucket holds an answer back, and the process is killed there.

use serde_json::{Value, json};
use tests::setup::Setup;
use tests::waiting::WAIT_MAX;
use tests::world::{World, scenario_in, works};

fn apart() -> Setup {
    Setup {
        separate_roles: true,
        ..Setup::default()
    }
}

/// Makes Bitbucket hold the bot's next request of this kind; the fault's id.
async fn hold(world: &World, method: &str, path: &str, when: &str) -> u64 {
    let fault = json!([{"method": method, "path": path, "user": "openhands", "count": 1, "when": when, "hold": true}]);
    world.control("PUT", "/sim/v1/faults", fault).await.unwrap();
    let faults = world.control("GET", "/sim/v1/faults", Value::Null).await.unwrap();
    faults[0]["id"].as_u64().unwrap()
}

/// Waits until a request hangs in the fault.
async fn held(world: &World, fault: u64) {
    let path = format!("/sim/v1/faults?held={fault}&wait_ms={}", WAIT_MAX.as_millis());
    let faults = world.control("GET", &path, Value::Null).await.unwrap();
    assert_eq!(
        faults[0]["held"],
        1,
        "no request reached the fault: {faults}\n{}",
        world.logs()
    );
}

async fn release(world: &World, fault: u64) {
    world
        .control("POST", &format!("/sim/v1/faults/{fault}/release"), json!({}))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_resolver_killed_while_the_agent_works_starts_again() {
    scenario_in(apart(), async |world| {
        world.script(json!([
            {"times": 1, "reply": {"hold": true}},
            {"reply": works("echo done >> work.txt", "Done at the second go.")},
        ]));
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        world.kill("resolver").await.unwrap();
        world.start_role("resolver").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(world.pull_request(1).file("work.txt").await, "done\n");
    })
    .await;
}

#[tokio::test]
async fn a_resolver_killed_before_its_push_arrives_pushes_once() {
    scenario_in(apart(), async |world| {
        let fault = hold(world, "POST", "*/git-receive-pack", "before").await;
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        held(world, fault).await;
        world.kill("resolver").await.unwrap();
        release(world, fault).await;
        world.start_role("resolver").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(world.pull_request(1).bots_commits().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_resolver_killed_after_its_push_finds_it_and_does_not_work_again() {
    scenario_in(apart(), async |world| {
        let fault = hold(world, "POST", "*/git-receive-pack", "after").await;
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        held(world, fault).await;
        let asked = world.model.requests().len();
        world.kill("resolver").await.unwrap();
        release(world, fault).await;
        world.start_role("resolver").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(world.pull_request(1).bots_commits().await.len(), 1);
        assert_eq!(
            world.model.requests().len(),
            asked,
            "the agent did not run a second time"
        );
    })
    .await;
}

#[tokio::test]
async fn a_reply_killed_before_its_comment_arrives_writes_one() {
    scenario_in(apart(), async |world| {
        let fault = hold(world, "POST", "*/pull-requests/1/comments", "before").await;
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        held(world, fault).await;
        world.kill("reply").await.unwrap();
        release(world, fault).await;
        world.start_role("reply").await.unwrap();
        world.pull_request(1).final_reply_to(comment).await;
    })
    .await;
}

#[tokio::test]
async fn a_reply_killed_after_its_comment_arrived_finds_it_and_edits_it() {
    scenario_in(apart(), async |world| {
        let fault = hold(world, "POST", "*/pull-requests/1/comments", "after").await;
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        held(world, fault).await;
        let posted = world.pull_request(1).reply_to(comment).await;
        world.kill("reply").await.unwrap();
        release(world, fault).await;
        world.start_role("reply").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert_eq!(reply.id, posted.id, "the same comment, edited");
    })
    .await;
}

#[tokio::test]
async fn every_role_killed_in_turn_loses_and_doubles_nothing() {
    scenario_in(apart(), async |world| {
        for role in [
            "webhook-ingest",
            "mention-parser",
            "context-builder",
            "resolver",
            "reply",
        ] {
            let comment = world
                .alice()
                .comments(1, &format!("@openhands while {role} dies"))
                .await
                .unwrap();
            world.pull_request(1).reply_to(comment).await;
            world.kill(role).await.unwrap();
            world.start_role(role).await.unwrap();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{role}: {}", reply.text);
        }
        assert_eq!(world.pull_request(1).bots_commits().await.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn a_nats_server_killed_and_restarted_in_the_middle_of_a_run_is_survived() {
    scenario_in(apart(), async |world| {
        world.script(json!([{"reply": {"hold": true, "then": works("echo done >> work.txt", "Done.")}}]));
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        let nats = world.nats.as_mut().unwrap();
        nats.kill().await.unwrap();
        nats.restart().await.unwrap();
        world.model.release();
        // A server that was away longer than the ack wait has the job delivered again; whoever works then asks again.
        let model = &world.model;
        let pr = world.pull_request(1);
        let reply = tokio::select! {
            reply = pr.final_reply_to(comment) => reply,
            () = async { loop { tokio::task::yield_now().await; model.release(); tokio::time::timeout(std::time::Duration::from_millis(50), std::future::pending::<()>()).await.ok(); } } => unreachable!(),
        };
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pr.bots_commits().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_whole_up_killed_in_the_middle_of_a_run_goes_on_after_its_restart() {
    scenario_in(Setup::default(), async |world| {
        world.script(json!([
            {"times": 1, "reply": {"hold": true}},
            {"reply": works("echo done >> work.txt", "Done.")},
        ]));
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        world.kill("up").await.unwrap();
        world.start_role("up").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
    })
    .await;
}
