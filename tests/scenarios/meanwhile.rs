//! What somebody else does while the agent works, and what is told before it starts: rights, heads, and commits that look
//! like the bot's.

use reqwest::Method;
use serde_json::{Value, json};
use tests::inside;
use tests::setup::{FILE, Setup};
use tests::world::{World, scenario, scenario_in};

use crate::verb_review::{handing_over, on_the_diff};

const FIX: &str = "sed -i 's/a - b/a + b/' src/lib.rs";

#[tokio::test]
async fn a_commit_of_somebody_elses_that_looks_like_the_runs_is_not_taken_for_it() {
    scenario(async |world| {
        world.expected.extra_commits += 1;
        let comment = world
            .asked_while_the_agent_waits("@openhands fix the sign", (FIX, "Did it."))
            .await
            .unwrap();
        let nats = inside::connect(world).await.unwrap();
        let run = inside::runs(&nats).await.unwrap().remove(0).id;
        let pr = world.pull_request(1);
        pr.someone_forges_a_commit_of(run.as_str()).await;
        world.model.release();
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert!(pr.file(FILE).await.contains("a + b"), "the work is not dropped");

        let comment = world
            .alice()
            .comments(1, &format!("@openhands undo {run}"))
            .await
            .unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert!(pr.file(FILE).await.contains("a - b"));
        assert!(
            !pr.file("README.md").await.contains("# Demo"),
            "the other commit stays"
        );
    })
    .await;
}

#[tokio::test]
async fn work_that_was_asked_for_on_one_head_is_not_put_on_another() {
    scenario(async |world| {
        let pr = world.pull_request(1);
        let request = format!("@openhands fix --ref {} the sign", &pr.head().await[..11]);
        let comment = world
            .asked_while_the_agent_waits(&request, (FIX, "Did it."))
            .await
            .unwrap();
        let theirs = pr.someone_pushes("notes.txt", "by a person\n").await;
        world.model.release();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.contains("BRANCH_MOVED")
                && reply.text.contains(&theirs[..11])
                && reply.text.contains("+    a + b"),
            "the patch is kept: {}",
            reply.text
        );
        assert_eq!(pr.head().await, theirs);
    })
    .await;
}

#[tokio::test]
async fn findings_about_an_older_head_stay_in_the_reply() {
    scenario(async |world| {
        let findings = json!({"findings": [
            {"path": FILE, "line": 2, "text": "This subtracts.", "suggestion": "    a + b"},
        ]});
        let summary = handing_over("One mistake.", &findings);
        let comment = world
            .asked_while_the_agent_waits("@openhands review", ("true", &summary))
            .await
            .unwrap();
        let pr = world.pull_request(1);
        pr.someone_pushes(
            FILE,
            "// A line more.\nfn add(a: i32, b: i32) -> i32 {\n    a - b\n}\n",
        )
        .await;
        world.model.release();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.contains("nothing was written beside its lines")
                && reply.text.contains("line 2: This subtracts."),
            "{}",
            reply.text
        );
        assert!(on_the_diff(world).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn who_loses_the_right_while_the_agent_works_changes_no_description() {
    scenario(async |world| {
        let result = json!({"title": "Subtract in add", "description": "Because."});
        let summary = handing_over("Here it is.", &result);
        let comment = world
            .asked_while_the_agent_waits("@openhands describe --apply", ("true", &summary))
            .await
            .unwrap();
        let title = async || world.root().get("/pull-requests/1").await.unwrap()["title"].clone();
        let before = title().await;
        let taken = "/permissions/users?name=alice&permission=REPO_READ";
        world.root().send(Method::PUT, taken, Value::Null).await.unwrap();
        world.model.release();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(
            reply.text.contains("ACCESS_LOST") && reply.text.contains("REPO_WRITE on PROJ/demo is needed"),
            "{}",
            reply.text
        );
        assert_eq!(title().await, before);
    })
    .await;
}

/// Pull request 1 comes from bob's fork, where alice may nothing.
fn from_bobs_fork(of_fork: &Value, bot_in_target: &str) -> Setup {
    let mut setup = Setup::default();
    let mut document = setup.document();
    let mut fork = json!({"project": "~bob", "slug": "demo", "id": 85, "fork_of": "PROJ/demo"});
    let more = of_fork.as_object().unwrap().clone();
    fork.as_object_mut().unwrap().extend(more);
    document["repositories"][0]["permissions"]["openhands"] = json!(bot_in_target);
    document["repositories"].as_array_mut().unwrap().push(fork);
    document["pull_requests"][0]["from_repository"] = json!("~bob/demo");
    setup.document = Some(document);
    setup
}

async fn alice_has_it_fixed(world: &World) -> String {
    world.agent_runs(FIX, "Did it.");
    let comment = world
        .alice()
        .comments(1, "@openhands fix the sign")
        .await
        .unwrap();
    world.pull_request(1).final_reply_to(comment).await.text
}

#[tokio::test]
async fn who_may_not_change_a_fork_that_the_bot_may_push_to_is_told_before_the_agent_starts() {
    let setup = from_bobs_fork(&json!({"permissions": {"openhands": "REPO_WRITE"}}), "REPO_WRITE");
    scenario_in(setup, async |world| {
        let reply = alice_has_it_fixed(world).await;
        assert!(
            reply.starts_with("**Refused for @alice**")
                && reply.contains(r"REPO_WRITE on \~BOB/demo is needed"),
            "{reply}"
        );
        assert!(world.model.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_goes_to_the_target_repository_takes_no_right_to_the_fork() {
    for fork in [
        json!({"permissions": {}}),
        json!({"permissions": {"openhands": "REPO_WRITE"}, "archived": true}),
    ] {
        scenario_in(from_bobs_fork(&fork, "REPO_WRITE"), async |world| {
            let reply = alice_has_it_fixed(world).await;
            assert!(reply.starts_with("**Done"), "{fork}: {reply}");
            assert!(reply.contains("The bot may not push to the fork"), "{reply}");
        })
        .await;
    }
}

#[tokio::test]
async fn where_the_bot_may_push_nowhere_the_patch_is_kept() {
    let setup = from_bobs_fork(&json!({"permissions": {}}), "REPO_READ");
    scenario_in(setup, async |world| {
        let reply = alice_has_it_fixed(world).await;
        assert!(
            reply.contains("PUSH_FORBIDDEN") && reply.contains("+    a + b"),
            "{reply}"
        );
    })
    .await;
}
