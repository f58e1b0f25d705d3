//! Everybody who is refused is told why, what to do about it and in which run; the table says where each code is seen.

mod table;

use pipeline::failure_code::FailureCode as Code;
use serde_json::json;
use tests::person::Person;
use tests::setup::Setup;
use tests::world::{World, scenario_in};

use crate::verb_queries::{a_run_of_alices_is_held, answer, however_delivered};

/// Somebody is refused, and told why, what to do and in which run.
async fn refused(world: &World, who: (&Person, &str), request: &str, code: Code) {
    let reply = answer(world, who.0, request).await;
    let beginning = format!("**Refused for @{}** — {}", who.1, code.sentence());
    assert!(reply.starts_with(&beginning), "{code} after {request:?}: {reply}");
    says(&reply, request, code);
}

fn says(reply: &str, request: &str, code: Code) {
    let next = format!("What to do: {}", code.next_step());
    for part in [code.sentence(), &next, &format!("`{code}` · run `r-")] {
        assert!(reply.contains(part), "{code} after {request:?}: {reply}");
    }
}

fn configured(config: &str) -> Setup {
    Setup {
        config: config.to_owned(),
        ..Setup::default()
    }
}

#[tokio::test]
async fn what_is_not_there_cannot_be_taken_up_and_what_is_not_allowed_is_not_begun() {
    however_delivered(Setup::default(), async |world| {
        let (alice, bob) = (&world.alice(), &world.bob());
        for (request, code) in [
            ("undo", Code::NothingToUndo),
            ("retry", Code::NothingToResume),
            ("continue", Code::NothingToResume),
            ("approve", Code::NoPlan),
            ("fix it --model evil", Code::OptionNotAllowed),
            ("fix it --ref 0123456789", Code::BranchMoved),
            ("fix it --branch main", Code::BranchExists),
        ] {
            refused(world, (alice, "alice"), request, code).await;
        }
        refused(world, (bob, "bob"), "fix it", Code::PermissionDenied).await;
        assert!(world.model.requests().is_empty());
        assert!(world.pull_request(1).bots_commits().await.is_empty());
        alice.declines(1).await.unwrap();
        refused(world, (alice, "alice"), "fix it", Code::PullRequestClosed).await;
    })
    .await;
}

#[tokio::test]
async fn who_has_no_say_stops_and_pauses_nothing_and_while_it_is_paused_nothing_begins() {
    however_delivered(Setup::default(), async |world| {
        let first = a_run_of_alices_is_held(world).await;
        let (alice, bob) = (&world.alice(), &world.bob());
        refused(world, (bob, "bob"), "stop", Code::StopDenied).await;
        refused(world, (bob, "bob"), "pause", Code::PauseDenied).await;
        let paused = answer(world, alice, "pause").await;
        assert!(paused.contains("is paused"), "{paused}");
        refused(world, (alice, "alice"), "do more", Code::Paused).await;
        world.model.release();
        let reply = world.pull_request(1).final_reply_to(first).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
    })
    .await;
}

#[tokio::test]
async fn of_two_plans_one_has_to_be_named_and_its_limits_hold() {
    however_delivered(Setup::default(), async |world| {
        world.agent_runs("true", "1. Make `add` add.");
        let (alice, pr) = (&world.alice(), world.pull_request(1));
        let mut plans = Vec::new();
        for request in ["plan one --time 5m", "plan another"] {
            let reply = answer(world, alice, request).await;
            let (_, behind) = reply.split_once("reply `@openhands approve ").unwrap();
            plans.push(behind.split('`').next().unwrap().to_owned());
        }
        refused(world, (alice, "alice"), "approve", Code::RunUnclear).await;
        let longer = format!("approve {} --time 20m", plans[0]);
        refused(world, (alice, "alice"), &longer, Code::OptionContradicts).await;
        assert!(pr.bots_commits().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn where_two_have_to_agree_one_is_not_enough() {
    however_delivered(
        configured("[permission]\nplan_needs_second_person = true\n"),
        async |world| {
            world.agent_runs("true", "1. Make `add` add.");
            let alice = &world.alice();
            let planned = answer(world, alice, "plan it").await;
            assert!(planned.starts_with("**Answered"), "{planned}");
            refused(world, (alice, "alice"), "approve", Code::SecondPersonNeeded).await;
        },
    )
    .await;
}

#[tokio::test]
async fn an_administrator_keeps_people_and_projects_out_and_asks_for_more_than_bitbucket() {
    however_delivered(
        configured("[permission]\nread = \"REPO_WRITE\"\ndeny_users = [\"root\"]\n"),
        async |world| {
            refused(world, (&world.bob(), "bob"), "explain it", Code::ReadDenied).await;
            refused(world, (&world.root(), "root"), "fix it", Code::PersonExcluded).await;
        },
    )
    .await;
    however_delivered(
        configured("[permission]\nallow_projects = [\"OTHER\"]\n"),
        async |world| {
            refused(world, (&world.alice(), "alice"), "fix it", Code::ProjectExcluded).await;
        },
    )
    .await;
}

#[tokio::test]
async fn there_is_an_end_to_the_runs_of_an_hour() {
    however_delivered(
        configured("[limits]\nruns_per_pull_request_hour = 1\n"),
        async |world| {
            let done = answer(world, &world.alice(), "fix it").await;
            assert!(done.starts_with("**Done"), "{done}");
            refused(world, (&world.alice(), "alice"), "and this", Code::TooManyRuns).await;
        },
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_proves_nothing_about_the_permission_starts_nothing() {
    scenario_in(Setup::default(), async |world| {
        world.expected.dead_letters = 1;
        // A Bitbucket that does not know the parameters names everybody (bitbucket-dc.md 3.4).
        let everybody = json!({"size": 1, "limit": 25, "isLastPage": true, "start": 0, "values": [
            {"name": "alice", "id": 1, "slug": "alice", "displayName": "Alice", "active": true, "type": "NORMAL"},
        ]});
        world
            .faults(json!([{
                "method": "GET", "path": "*/users", "user": "openhands", "status": 200,
                "body": everybody.to_string(), "content_type": "application/json",
            }]))
            .await
            .unwrap();
        let reply = answer(world, &world.alice(), "fix it").await;
        assert!(reply.starts_with("**Failed for @alice**"), "{reply}");
        says(&reply, "fix it", Code::PermissionUnknown);
        assert!(world.model.requests().is_empty());
    })
    .await;
}
