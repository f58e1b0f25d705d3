//! `pause`, `resume`, `retry` and `stop`, and what keeps a request from starting.

use pipeline::run::Run;
use reqwest::Method;
use serde_json::{Value, json};
use tests::inside;
use tests::setup::Setup;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, works};

use crate::verb_queries::{a_run_of_alices_is_held, answer, however_delivered};

/// A world whose resolver has a setting from its environment.
fn with(setting: &str, value: &str) -> Setup {
    Setup {
        environment: vec![(format!("OPENHANDS_RESOLVER__{setting}"), value.to_owned())],
        ..Setup::default()
    }
}

/// Asks as alice, and waits for the end.
async fn ends(world: &World, request: &str) -> String {
    answer(world, &world.alice(), request).await
}

#[tokio::test]
async fn while_it_is_paused_nothing_starts_and_everybody_is_told_once() {
    // Roles apart: what Bitbucket delivers while the one that forgets is away still arrives.
    let setup = Setup {
        separate_roles: true,
        ..Setup::default()
    };
    however_delivered(setup, async |world| {
        let first = a_run_of_alices_is_held(world).await;
        let refused = answer(world, &world.bob(), "pause").await;
        assert!(refused.contains("PAUSE_DENIED"), "{refused}");
        let paused = ends(world, "pause").await;
        assert!(
            paused.contains("The bot is paused on this pull request, by `alice`"),
            "{paused}"
        );
        let told = ends(world, "do more").await;
        assert!(told.contains("`PAUSED`") && told.contains("`resume`"), "{told}");
        let silent = world.alice().comments(1, "@openhands and more").await.unwrap();
        let status = ends(world, "status").await;
        assert!(
            status.contains("Paused by `alice`") && status.contains("Working for"),
            "{status}"
        );
        world.model.release();
        let done = world.pull_request(1).final_reply_to(first).await;
        assert!(
            done.text.starts_with("**Done"),
            "what runs goes on: {}",
            done.text
        );

        world.end("context-builder").await.unwrap();
        world.start_role("context-builder").await.unwrap();
        let status = ends(world, "status").await;
        assert!(
            status.contains("Paused by `alice`"),
            "a restart forgets nothing: {status}"
        );
        let listens = ends(world, "resume").await;
        assert!(listens.contains("The bot listens"), "{listens}");
        let again = ends(world, "now do it").await;
        assert!(again.starts_with("**Done"), "{again}");
        let pr = world.pull_request(1);
        assert_eq!(pr.bots_commits().await.len(), 2);
        let comments = pr.comments().await;
        assert!(!comments.iter().any(|c| c.is_bots() && c.parent == Some(silent)));
    })
    .await;
}

#[tokio::test]
async fn retry_does_the_same_again_for_who_asked_and_for_who_may_write() {
    however_delivered(Setup::default(), async |world| {
        let nothing = ends(world, "retry").await;
        assert!(nothing.contains("NOTHING_TO_RESUME"), "{nothing}");
        world.agent_runs("echo once more >> log.txt", "Wrote a line.");
        let done = ends(world, "fix the log").await;
        assert!(done.starts_with("**Done"), "{done}");
        let refused = answer(world, &world.bob(), "retry").await;
        assert!(refused.contains("PERMISSION_DENIED"), "{refused}");
        let again = ends(world, "retry").await;
        assert!(again.starts_with("**Done"), "{again}");
        let pr = world.pull_request(1);
        assert_eq!(pr.file("log.txt").await, "once more\nonce more\n");
        let asked = world.model.requests().last().unwrap().body.to_string();
        assert!(asked.contains("fix the log"), "{asked}");
    })
    .await;
}

#[tokio::test]
async fn stop_ends_what_the_author_of_the_pull_request_did_not_ask_for() {
    let mut document = Setup::default().document();
    document["pull_requests"][0]["author"] = json!("bob");
    let setup = Setup {
        document: Some(document),
        ..Setup::default()
    };
    however_delivered(setup, async |world| {
        let first = a_run_of_alices_is_held(world).await;
        let stopped = answer(world, &world.bob(), "stop all").await;
        assert!(stopped.contains("Stopped `r-"), "{stopped}");
        let reply = world.pull_request(1).final_reply_to(first).await;
        assert!(
            reply.text.contains("STOPPED") && reply.text.contains("Asked for by bob"),
            "{}",
            reply.text
        );
        world.model.release();
    })
    .await;
}

#[tokio::test]
async fn what_is_added_within_the_time_is_done_in_one_run() {
    let setup = with("LIMITS__MERGE_WITHIN_SECONDS", "600");
    however_delivered(setup, async |world| {
        let first = a_run_of_alices_is_held(world).await;
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let second = alice.comments(1, "@openhands rename the sum").await.unwrap();
        pr.reply_to(second).await;
        let third = alice.comments(1, "@openhands and document it").await.unwrap();
        let added = pr.final_reply_to(third).await;
        assert!(
            added.text.starts_with("**Added to another request for @alice**")
                && added.text.contains("This was added to the request of run `r-"),
            "{}",
            added.text
        );
        let fourth = alice.comments(1, "@openhands and paint it blue").await.unwrap();
        pr.final_reply_to(fourth).await;
        alice.edits(1, fourth, "never mind").await.unwrap();
        let nats = &inside::connect(world).await.unwrap();
        let taken_back = until(WAIT_MAX, || async move {
            let runs = inside::runs(nats).await.ok()?;
            let added = |run: &Run| {
                run.merged
                    .iter()
                    .map(|merged| merged.comment.0)
                    .collect::<Vec<_>>()
            };
            runs.iter().find(|run| added(run) == [third]).map(drop)
        });
        taken_back
            .await
            .expect("the edit takes the fourth comment out again");
        world.model.release();
        pr.final_reply_to(first).await;
        let done = pr.final_reply_to(second).await;
        assert!(done.text.starts_with("**Done"), "{}", done.text);
        assert_eq!(pr.bots_commits().await.len(), 2);
        let requests = world.model.requests();
        let asked: Vec<String> = requests[1..]
            .iter()
            .map(|request| request.body.to_string())
            .collect();
        let asked_together = asked
            .iter()
            .any(|asked| asked.contains("rename the sum\\n\\nand document it"));
        assert!(asked_together, "both texts are one request: {asked:#?}");
        assert!(
            !asked.iter().any(|asked| asked.contains("paint it blue")),
            "{asked:#?}"
        );
    })
    .await;
}

#[tokio::test]
async fn there_is_an_end_to_the_runs_of_an_hour_and_it_is_said_once() {
    let setup = with("LIMITS__RUNS_PER_PULL_REQUEST_HOUR", "2");
    however_delivered(setup, async |world| {
        for request in ["one", "two"] {
            let reply = ends(world, request).await;
            assert!(reply.starts_with("**Done"), "{reply}");
        }
        let third = ends(world, "three").await;
        assert!(third.contains("TOO_MANY_RUNS"), "{third}");
        let silent = world.alice().comments(1, "@openhands four").await.unwrap();
        let status = ends(world, "status").await;
        assert!(status.contains("Nothing runs or waits"), "{status}");
        let why = ends(world, &format!("why {silent}")).await;
        assert!(why.contains("Not said again within the hour"), "{why}");
        let pr = world.pull_request(1);
        assert_eq!(pr.bots_commits().await.len(), 2);
        let comments = pr.comments().await;
        assert!(!comments.iter().any(|c| c.is_bots() && c.parent == Some(silent)));
    })
    .await;
}

#[tokio::test]
async fn who_loses_the_right_while_the_agent_works_gets_no_push() {
    however_delivered(Setup::default(), async |world| {
        world.script(json!([
            {"times": 1, "reply": {"hold": true, "then": works("echo first >> order.txt", "First.")}},
        ]));
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let before = pr.head().await;
        let comment = alice.comments(1, "@openhands go").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        world
            .root()
            .send(
                Method::PUT,
                "/permissions/users?name=alice&permission=REPO_READ",
                Value::Null,
            )
            .await
            .unwrap();
        world.model.release();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.contains("ACCESS_LOST")
                && reply.text.contains("REPO_WRITE on PROJ/demo is needed")
                && reply.text.contains("+first"),
            "the patch is kept: {}",
            reply.text
        );
        assert_eq!(pr.head().await, before);
    })
    .await;
}

#[tokio::test]
async fn groups_and_projects_of_bitbucket_let_people_in_and_keep_them_out() {
    let mut document = Setup::default().document();
    document["groups"] = json!([
        {"name": "trusted", "members": ["alice", "bob"]},
        {"name": "suspended", "members": ["bob"]},
    ]);
    let setup = Setup {
        document: Some(document),
        config: "[permission]\nallow_groups = [\"trusted\"]\ndeny_groups = [\"suspended\"]\nallow_projects = [\"proj\"]\n"
            .to_owned(),
        ..Setup::default()
    };
    however_delivered(setup, async |world| {
        let done = ends(world, "go").await;
        assert!(done.starts_with("**Done"), "{done}");
        let denied = answer(world, &world.bob(), "status").await;
        assert!(denied.contains("PERSON_EXCLUDED"), "{denied}");
        let stranger = answer(world, &world.root(), "help").await;
        assert!(stranger.contains("PERSON_EXCLUDED"), "in no group: {stranger}");
    })
    .await;
}
