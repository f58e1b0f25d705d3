//! `address`: every open thread is answered in itself, once, and a task that is settled is ticked.

use reqwest::Method;
use serde_json::{Value, json};
use tests::setup::{FILE, Setup};
use tests::world::{World, scenario, scenario_in};

use crate::verb_review::{handing_over, on_the_diff};

const FIX: &str = "sed -i 's/a - b/a + b/' src/lib.rs";

/// A task that Bob sets; its id.
pub(crate) async fn task(world: &World, text: &str) -> u64 {
    let body = json!({"text": text, "severity": "BLOCKER"});
    let made = world
        .bob()
        .send(Method::POST, "/pull-requests/1/comments", body)
        .await
        .unwrap();
    made["id"].as_u64().unwrap()
}

/// A comment as Bitbucket has it now.
pub(crate) async fn comment(world: &World, id: u64) -> Value {
    world
        .root()
        .get(&format!("/pull-requests/1/comments/{id}"))
        .await
        .unwrap()
}

/// What the bot answered to a comment.
pub(crate) fn answers(comment: &Value) -> Vec<&str> {
    let replies = comment["comments"].as_array().unwrap();
    let by_bot = replies
        .iter()
        .filter(|reply| reply["author"]["name"] == "openhands");
    by_bot.map(|reply| reply["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn threads_are_answered_with_the_commit_or_why_not_and_settled_tasks_are_ticked() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            let thread = world
                .bob()
                .comments_on(1, FILE, Some(2), "This is wrong.")
                .await
                .unwrap();
            let settled = task(world, "Add, do not subtract.").await;
            let open = task(world, "Rename the file.").await;
            let left = world.bob().comments(1, "And what of this?").await.unwrap();
            let result = json!({"answers": [
                {"thread": thread, "text": "It adds now.", "settled": true},
                {"thread": settled, "text": "Done.", "settled": true},
                {"thread": open, "text": "The name is used elsewhere.", "settled": false},
                {"thread": 99_999, "text": "Hello.", "settled": true},
            ]});
            world.agent_runs(FIX, &handing_over("Added.", &result));
            let asked = world.alice().comments(1, "@openhands address").await.unwrap();
            let reply = world.pull_request(1).final_reply_to(asked).await;
            assert!(reply.text.starts_with("**Done for @alice"), "{}", reply.text);
            assert!(reply.text.contains("Answered 3 threads: "), "{}", reply.text);
            assert!(
                reply.text.contains(&format!("Not addressed: comment {left}")),
                "{}",
                reply.text
            );
            let (thread, settled, open) = (
                comment(world, thread).await,
                comment(world, settled).await,
                comment(world, open).await,
            );
            let head = world.pull_request(1).head().await;
            assert_eq!(answers(&thread).len(), 1, "{thread:#}");
            assert!(answers(&thread)[0].starts_with("**Done** in [`") && answers(&thread)[0].contains(&head));
            assert!(answers(&open)[0].starts_with("**Not changed.**"), "{open:#}");
            assert_eq!(
                (&settled["state"], &open["state"]),
                (&json!("RESOLVED"), &json!("OPEN"))
            );
            assert_ne!(
                thread["threadResolved"], true,
                "people resolve their threads themselves"
            );
            assert!(answers(&comment(world, left).await).is_empty());
        })
        .await;
    }
}

#[tokio::test]
async fn a_reply_killed_before_a_tick_answers_once_and_ticks() {
    let setup = Setup {
        separate_roles: true,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let settled = task(world, "Add, do not subtract.").await;
        let result = json!({"answers": [{"thread": settled, "text": "Done.", "settled": true}]});
        let summary = handing_over("Added.", &result);
        let asked = world
            .asked_while_the_agent_waits("@openhands address all", (FIX, &summary))
            .await
            .unwrap();
        world.pull_request(1).reply_to(asked).await;
        let hold = world
            .holds_next(
                "PUT",
                &format!("/rest/api/*/pull-requests/1/comments/{settled}"),
                "before",
            )
            .await
            .unwrap();
        world.model.release();
        world.held(hold).await.unwrap();
        world.dies_and_comes_back("reply", hold).await.unwrap();
        let reply = world.pull_request(1).final_reply_to(asked).await;
        assert!(reply.text.contains("(task ticked)"), "{}", reply.text);
        let settled = comment(world, settled).await;
        assert_eq!(
            (&settled["state"], answers(&settled).len()),
            (&json!("RESOLVED"), 1)
        );
    })
    .await;
}

#[tokio::test]
async fn without_an_open_thread_nothing_is_started() {
    scenario(async |world| {
        let asked = world.alice().comments(1, "@openhands address").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(asked).await;
        assert!(
            reply.text.contains("There is no open thread or task"),
            "{}",
            reply.text
        );
        assert!(world.model.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn this_is_the_thread_that_it_is_asked_in() {
    scenario(async |world| {
        let other = world.bob().comments(1, "Something else.").await.unwrap();
        let thread = world
            .bob()
            .comments_on(1, FILE, Some(2), "This is wrong.")
            .await
            .unwrap();
        let result = json!({"answers": [
            {"thread": thread, "text": "It adds now.", "settled": true},
            {"thread": other, "text": "And this.", "settled": true},
        ]});
        world.agent_runs(FIX, &handing_over("Added.", &result));
        let asked = world
            .alice()
            .replies(1, thread, "@openhands address this")
            .await
            .unwrap();
        let reply = world.pull_request(1).final_reply_to(asked).await;
        assert!(reply.text.contains("Answered 1 thread: "), "{}", reply.text);
        assert!(answers(&comment(world, other).await).is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_the_bot_found_is_addressed_like_what_people_found_and_once() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            let (alice, pr) = (world.alice(), world.pull_request(1));
            let findings = json!({"findings": [{"path": FILE, "line": 2, "text": "This subtracts."}]});
            world.agent_runs("true", &handing_over("One mistake.", &findings));
            let review = alice.comments(1, "@openhands review").await.unwrap();
            pr.final_reply_to(review).await;
            let found = on_the_diff(world).await[0]["comment"]["id"].as_u64().unwrap();

            let result = json!({"answers": [{"thread": found, "text": "It adds now.", "settled": true}]});
            world.agent_runs(FIX, &handing_over("Added.", &result));
            let asked = alice.comments(1, "@openhands address").await.unwrap();
            let reply = pr.final_reply_to(asked).await;
            assert!(reply.text.contains("Answered 1 thread: "), "{}", reply.text);
            let thread = comment(world, found).await;
            assert!(answers(&thread)[0].starts_with("**Done** in [`"), "{thread:#}");

            let again = alice.comments(1, "@openhands address").await.unwrap();
            let reply = pr.final_reply_to(again).await;
            assert!(
                reply.text.contains("There is no open thread or task"),
                "{}",
                reply.text
            );

            world
                .bob()
                .replies(1, found, "Only in one of two places.")
                .await
                .unwrap();
            let more = json!({"answers": [{"thread": found, "text": "It does not.", "settled": false}]});
            world.agent_runs("true", &handing_over("Looked.", &more));
            let once_more = alice.comments(1, "@openhands address").await.unwrap();
            pr.final_reply_to(once_more).await;
            assert_eq!(answers(&comment(world, found).await).len(), 2);
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_settled_is_addressed_again_once_it_is_undone_and_when_it_is_to_be_repeated() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            let (alice, pr) = (world.alice(), world.pull_request(1));
            let thread = world
                .bob()
                .comments_on(1, FILE, Some(2), "This is wrong.")
                .await
                .unwrap();
            let result = json!({"answers": [{"thread": thread, "text": "It adds now.", "settled": true}]});
            world.agent_runs(FIX, &handing_over("Added.", &result));
            for (request, beginning) in [
                ("address", "**Done"),
                ("address", "**Answered"),
                ("undo", "**Done"),
                ("address", "**Done"),
                ("retry", "**No change needed"),
            ] {
                let asked = alice.comments(1, &format!("@openhands {request}")).await.unwrap();
                let reply = pr.final_reply_to(asked).await;
                assert!(
                    reply.text.starts_with(beginning),
                    "{beginning} of {request}: {}",
                    reply.text
                );
            }
            let settled = comment(world, thread).await;
            assert_eq!(answers(&settled).len(), 3, "{settled:#}");
            assert!(pr.file(FILE).await.contains("a + b"));
        })
        .await;
    }
}
