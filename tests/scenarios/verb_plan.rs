//! `plan` and `approve`: a plan for one commit, carried out as it was read.

use insta::assert_snapshot;
use serde_json::json;
use tests::inside;
use tests::pull_request::PullRequest;
use tests::setup::{FILE, FILE_ON_BRANCH, Setup};
use tests::world::{World, scenario, scenario_in, works};

use crate::looking_in::redacted;
use crate::verb_queries::{answer, however_delivered};

const PLAN: &str = "1. In `src/lib.rs`, make `add` add.\n2. Nothing else.";

/// The model plans when it is asked for a plan, and works when it is given one. What it does while planning is in vain.
fn model_plans_then_works(world: &World) {
    world.script(json!([
        {"when": "Plan how you would do", "reply": works("printf 'early\\n' >> src/lib.rs", PLAN)},
        {"when": "a plan that a person has approved",
         "reply": works("sed -i 's/a - b/a + b/' src/lib.rs", "Did as planned.")},
    ]));
}

/// Alice asks for a plan; the id of its run.
async fn planned(world: &World, pr: &PullRequest<'_>) -> String {
    let comment = world
        .alice()
        .comments(1, "@openhands plan add should add")
        .await
        .unwrap();
    let reply = pr.final_reply_to(comment).await;
    assert!(reply.text.contains("make `add` add"), "{}", reply.text);
    let nats = inside::connect(world).await.unwrap();
    let runs = inside::runs(&nats).await.unwrap();
    let run = runs.into_iter().find(|run| run.plan.is_some());
    run.expect("the plan is kept").id.to_string()
}

#[tokio::test]
async fn a_plan_changes_nothing_and_is_carried_out_when_it_is_approved() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            model_plans_then_works(world);
            let (alice, pr) = (world.alice(), world.pull_request(1));
            let run = planned(world, &pr).await;
            assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH);
            assert_eq!(pr.bots_commits().await.len(), 0);
            let approve = format!("@openhands approve {run}");
            let comment = alice.comments(1, &approve).await.unwrap();
            let reply = pr.final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done for @alice"), "{}", reply.text);
            assert_eq!(pr.bots_commits().await.len(), 1);
            assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH.replace("a - b", "a + b"));
            let asked = world.model.requests().last().unwrap().body.to_string();
            assert!(asked.contains("make `add` add"), "{asked}");
        })
        .await;
    }
}

#[tokio::test]
async fn the_reply_says_how_to_approve_and_for_which_commit() {
    scenario(async |world| {
        model_plans_then_works(world);
        let pr = world.pull_request(1);
        let comment = world.alice().comments(1, "@openhands plan it").await.unwrap();
        assert_snapshot!(redacted(&pr.final_reply_to(comment).await.text), @"
        **Answered for @alice in <time>** — nothing was pushed.

        In the agent's words:

        1. In `src/lib.rs`, make `add` add.
        2. Nothing else.

        To have this plan carried out, reply `@openhands approve <run>`. It holds for commit `<commit>`: when the branch moves, ask for a new one.

        Model `default` · 1 model call · 2k tokens · `builtin`, sandbox level 2 (leaves open: the shared kernel) · run `<run>`
        ");
    })
    .await;
}

#[tokio::test]
async fn a_plan_holds_for_its_commit_alone() {
    scenario(async |world| {
        model_plans_then_works(world);
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let run = planned(world, &pr).await;
        let asked = world.model.requests().len();
        pr.someone_pushes("notes.txt", "by a person\n").await;
        let comment = alice
            .comments(1, &format!("@openhands approve {run}"))
            .await
            .unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Refused") && reply.text.contains("BRANCH_MOVED"),
            "{}",
            reply.text
        );
        assert_eq!(world.model.requests().len(), asked, "no agent was started");
        assert_eq!(pr.bots_commits().await.len(), 0);
        let unknown = alice
            .comments(1, "@openhands approve r-00000000000a")
            .await
            .unwrap();
        let reply = pr.final_reply_to(unknown).await;
        assert!(reply.text.contains("NO_PLAN"), "{}", reply.text);
    })
    .await;
}

#[tokio::test]
async fn a_plan_that_is_not_what_was_shown_is_not_carried_out() {
    scenario(async |world| {
        model_plans_then_works(world);
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let run = planned(world, &pr).await;
        let nats = inside::connect(world).await.unwrap();
        let key = format!("{run}/plan.md");
        nats.artifacts()
            .put(&key, b"1. Delete everything.")
            .await
            .unwrap();
        let comment = alice
            .comments(1, &format!("@openhands approve {run}"))
            .await
            .unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Refused") && reply.text.contains("NO_PLAN"),
            "{}",
            reply.text
        );
        assert_eq!(pr.bots_commits().await.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn where_two_have_to_agree_who_planned_does_not_approve() {
    let setup = Setup {
        config: "[permission]\nplan_needs_second_person = true\n".to_owned(),
        ..Setup::default()
    };
    however_delivered(setup, async |world| {
        model_plans_then_works(world);
        let pr = world.pull_request(1);
        let run = planned(world, &pr).await;
        let asked = world.model.requests().len();
        let approve = format!("approve {run}");
        let refused = answer(world, &world.alice(), &approve).await;
        assert!(
            refused.starts_with("**Refused for @alice**") && refused.contains("SECOND_PERSON_NEEDED"),
            "{refused}"
        );
        let by_a_reader = answer(world, &world.bob(), &approve).await;
        assert!(by_a_reader.contains("PERMISSION_DENIED"), "{by_a_reader}");
        assert_eq!(world.model.requests().len(), asked, "no agent was started");
        assert_eq!(pr.bots_commits().await.len(), 0);
        let done = answer(world, &world.root(), &approve).await;
        assert!(done.starts_with("**Done for @root"), "{done}");
        assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH.replace("a - b", "a + b"));
    })
    .await;
}
