//! `describe`: a proposal; with `--apply` the pull request is called so, and nothing else of it changes.

use reqwest::Method;
use serde_json::{Value, json};
use tests::setup::Setup;
use tests::world::{World, scenario, scenario_in};

use crate::verb_review::handing_over;

fn proposal() -> String {
    let result = json!({"title": "Subtract in add", "description": "Because @bob said so.\n\nSee PROJ-1."});
    handing_over("Here it is.", &result)
}

async fn now(world: &World) -> Value {
    world.root().get("/pull-requests/1").await.unwrap()
}

async fn alice_sets(world: &World, title: &str, description: &str) {
    let version = now(world).await["version"].clone();
    let body = json!({"version": version, "title": title, "description": description,
        "reviewers": [{"user": {"name": "bob"}}]});
    world
        .alice()
        .send(Method::PUT, "/pull-requests/1", body)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_proposal_is_shown_and_applied_only_where_that_is_asked_for() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            alice_sets(world, "Old title", "Old description").await;
            world.agent_runs("true", &proposal());
            let (alice, pr) = (world.alice(), world.pull_request(1));
            let asked = alice.comments(1, "@openhands describe").await.unwrap();
            let reply = pr.final_reply_to(asked).await;
            assert!(
                reply.text.contains("**Title:** Subtract in add"),
                "{}",
                reply.text
            );
            assert_eq!(now(world).await["title"], "Old title");

            let asked = alice.comments(1, "@openhands describe --apply").await.unwrap();
            let reply = pr.final_reply_to(asked).await;
            assert!(
                reply.text.contains("put back the title: Old title")
                    && reply.text.contains("Old description"),
                "{}",
                reply.text
            );
            let set = now(world).await;
            assert_eq!(set["title"], "Subtract in add");
            let description = set["description"].as_str().unwrap();
            assert!(
                description.contains("PROJ-1") && !description.contains(" @bob"),
                "{description}"
            );
            assert_eq!(set["reviewers"][0]["user"]["name"], "bob", "reviewers stay");
            assert!(pr.bots_commits().await.is_empty());
        })
        .await;
    }
}

#[tokio::test]
async fn what_somebody_wrote_meanwhile_stays() {
    scenario(async |world| {
        let asked = world
            .asked_while_the_agent_waits("@openhands describe --apply", ("true", &proposal()))
            .await
            .unwrap();
        alice_sets(world, "My own title", "").await;
        world.model.release();
        let reply = world.pull_request(1).final_reply_to(asked).await;
        assert!(
            reply
                .text
                .contains("somebody changed the title or the description"),
            "{}",
            reply.text
        );
        assert_eq!(now(world).await["title"], "My own title");
    })
    .await;
}

#[tokio::test]
async fn a_reply_killed_after_it_described_does_so_once() {
    let setup = Setup {
        separate_roles: true,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let asked = world
            .asked_while_the_agent_waits("@openhands describe --apply", ("true", &proposal()))
            .await
            .unwrap();
        let hold = world
            .holds_next("PUT", "/rest/api/*/pull-requests/1", "after")
            .await
            .unwrap();
        world.model.release();
        world.held(hold).await.unwrap();
        world.dies_and_comes_back("reply", hold).await.unwrap();
        let reply = world.pull_request(1).final_reply_to(asked).await;
        assert!(reply.text.contains("are set to this"), "{}", reply.text);
        assert_eq!(now(world).await["version"], 1, "one edit");
    })
    .await;
}
