//! Pulling the plug under verbs that build on one another: one plan, and one commit of what was planned or continued.

use serde_json::json;
use tests::inside;
use tests::nats_proxy::NatsProxy;
use tests::setup::{FILE, FILE_ON_BRANCH, Setup};
use tests::waiting::WAIT_MAX;
use tests::world::{World, scenario_in, works};

const PLAN: &str = "1. In `src/lib.rs`, make `add` add.\n2. Nothing else.";
/// In the request for a plan.
const ASKS_FOR_A_PLAN: &str = "Plan how you would do";
/// In the request to do what was planned.
const GIVES_A_PLAN: &str = "a plan that a person has approved";
/// In the request to go on.
const GIVES_EARLIER_WORK: &str = "Go on with the earlier work";
const ADDS: &str = "sed -i 's/a - b/a + b/' src/lib.rs";

fn apart(config: &str) -> Setup {
    Setup {
        separate_roles: true,
        config: config.to_owned(),
        ..Setup::default()
    }
}

/// Kills the resolver and starts another one.
async fn another_resolver(world: &mut World) {
    world.kill("resolver").await.unwrap();
    world.start_role("resolver").await.unwrap();
}

/// The resolver's push is on the branch; nobody has told it so yet, and it dies.
async fn resolver_dies_after_its_push(world: &mut World, request: &str) -> u64 {
    let hold = world
        .holds_next("POST", "*/git-receive-pack", "after")
        .await
        .unwrap();
    let comment = world.alice().comments(1, request).await.unwrap();
    world.held(hold).await.unwrap();
    world.dies_and_comes_back("resolver", hold).await.unwrap();
    comment
}

/// There is one comment of the bot's, and it is the plan.
async fn there_is_one_plan(world: &World, comment: u64) {
    let pr = world.pull_request(1);
    let reply = pr.final_reply_to(comment).await;
    assert!(
        reply.text.starts_with("**Answered for @alice") && reply.text.contains("make `add` add"),
        "{}",
        reply.text
    );
    assert_eq!(pr.bots_comments().await.len(), 1);
    assert_eq!(pr.bots_commits().await.len(), 0);
    assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH);
}

/// The id of the run whose plan can be approved.
async fn planned(world: &World) -> String {
    let runs = inside::runs(&inside::connect(world).await.unwrap())
        .await
        .unwrap();
    let run = runs.into_iter().find(|run| run.plan.is_some());
    run.expect("the plan is kept").id.to_string()
}

#[tokio::test]
async fn a_plan_whose_resolver_dies_is_made_again_and_told_once() {
    scenario_in(apart(""), async |world| {
        world.script(json!([
            {"when": ASKS_FOR_A_PLAN, "times": 1, "reply": {"hold": true}},
            {"when": ASKS_FOR_A_PLAN, "reply": works("true", PLAN)},
            {"when": GIVES_A_PLAN, "reply": works(ADDS, "Did as planned.")},
        ]));
        let comment = world.alice().comments(1, "@openhands plan it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        another_resolver(world).await;
        there_is_one_plan(world, comment).await;

        let approve = format!("@openhands approve {}", planned(world).await);
        let asked = world.model.requests().len();
        let comment = resolver_dies_after_its_push(world, &approve).await;
        let pr = world.pull_request(1);
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pr.bots_commits().await.len(), 1);
        assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH.replace("a - b", "a + b"));
        assert_eq!(
            world.model.requests().len(),
            asked + 1,
            "the plan was carried out once"
        );
    })
    .await;
}

#[tokio::test]
async fn a_plan_whose_resolver_dies_while_it_is_kept_is_told_once_and_can_be_approved() {
    scenario_in(apart(""), async |world| {
        let server = world.nats.as_ref().unwrap().url();
        let proxy = NatsProxy::start(server.replace("nats://", ""), b"plan.md")
            .await
            .unwrap();
        world.kill("resolver").await.unwrap();
        let config = world.path("resolver.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace(&server, &proxy.url())).unwrap();
        world.start_role("resolver").await.unwrap();

        world.script(json!([
            {"when": ASKS_FOR_A_PLAN, "reply": works("true", PLAN)},
            {"when": GIVES_A_PLAN, "reply": works(ADDS, "Did as planned.")},
        ]));
        let comment = world.alice().comments(1, "@openhands plan it").await.unwrap();
        proxy.was_cut().await.unwrap();
        another_resolver(world).await;
        there_is_one_plan(world, comment).await;

        let approve = format!("@openhands approve {}", planned(world).await);
        let comment = world.alice().comments(1, &approve).await.unwrap();
        let pr = world.pull_request(1);
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pr.bots_commits().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_plan_whose_reply_role_dies_after_telling_it_is_told_once() {
    scenario_in(apart(""), async |world| {
        world.script(json!([
            {"when": ASKS_FOR_A_PLAN, "reply": {"hold": true, "then": works("true", PLAN)}},
        ]));
        let comment = world.alice().comments(1, "@openhands plan it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        let pr = world.pull_request(1);
        pr.wait_for("a sign of work", |comments| {
            let works = |c: &tests::thread::Comment| c.is_bots() && c.text.starts_with("**Working");
            comments.iter().any(works).then_some(())
        })
        .await;
        let hold = world
            .holds_next("PUT", "/rest/api/*/pull-requests/1/comments/*", "after")
            .await
            .unwrap();
        world.model.release();
        world.held(hold).await.unwrap();
        world.dies_and_comes_back("reply", hold).await.unwrap();
        there_is_one_plan(world, comment).await;
    })
    .await;
}

/// A budget that the second model call does not fit into.
const TIGHT: &str = "[limits]\nrun_turns = 1\n";

/// Has alice ask for something of which half is done and kept.
async fn half_is_kept(world: &World) {
    let first = world
        .alice()
        .comments(1, "@openhands add should add")
        .await
        .unwrap();
    let reply = world.pull_request(1).final_reply_to(first).await;
    assert!(reply.text.contains("TURN_LIMIT"), "{}", reply.text);
}

/// What was kept is pushed with what was added, in one commit; what the run says of it.
async fn all_is_pushed_once(world: &World, comment: u64) -> String {
    let pr = world.pull_request(1);
    let reply = pr.final_reply_to(comment).await;
    assert!(reply.text.starts_with("**Done"), "{}", reply.text);
    assert_eq!(pr.bots_commits().await.len(), 1);
    assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH.replace("a - b", "a + b"));
    assert_eq!(pr.file("notes.txt").await, "more\n");
    reply.text
}

#[tokio::test]
async fn work_that_is_continued_by_a_resolver_that_dies_is_continued_by_the_next_and_pushed_once() {
    scenario_in(apart(TIGHT), async |world| {
        world.script(json!([
            {"when": GIVES_EARLIER_WORK, "times": 1, "reply": {"hold": true}},
            {"when": GIVES_EARLIER_WORK, "reply": works("echo more >> notes.txt", "Went on.")},
            {"times": 1, "reply": {"tool_calls": [{"name": "bash", "arguments": {"command": ADDS}}]}},
        ]));
        half_is_kept(world).await;
        assert_eq!(world.model.requests().len(), 1);
        let comment = world.alice().comments(1, "@openhands continue").await.unwrap();
        world.model.wait_for_requests(2, WAIT_MAX).await.unwrap();
        another_resolver(world).await;
        let told = all_is_pushed_once(world, comment).await;
        assert!(told.contains("was taken over"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn continued_work_that_was_pushed_by_a_resolver_that_died_is_found_and_not_done_again() {
    scenario_in(apart(TIGHT), async |world| {
        world.script(json!([
            {"when": GIVES_EARLIER_WORK, "reply": works("echo more >> notes.txt", "Went on.")},
            {"times": 1, "reply": {"tool_calls": [{"name": "bash", "arguments": {"command": ADDS}}]}},
        ]));
        half_is_kept(world).await;
        let asked = world.model.requests().len();
        let comment = resolver_dies_after_its_push(world, "@openhands continue").await;
        let told = all_is_pushed_once(world, comment).await;
        assert!(told.contains("2 files"), "told from git: {told}");
        assert_eq!(world.model.requests().len(), asked + 1, "the agent went on once");
    })
    .await;
}
