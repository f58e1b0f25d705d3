//! A pull request that was merged or declined: questions are answered, and work goes beside it where that is asked for.

use insta::{allow_duplicates, assert_snapshot};
use reqwest::Method;
use serde_json::{Value, json};
use tests::setup::{FILE, FILE_ON_BRANCH, FILE_ON_MAIN, Setup};
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario, works};
use tests::{git_cli, inside};
use worker::ReadFrom;

use crate::looking_in::redacted;
use crate::verb_queries::{a_run_of_alices_is_held, answer, however_delivered};
use crate::verb_review::handing_over;

/// What the agent makes of the file, wherever it finds it.
const FIX: &str = "printf '// fixed\\n' >> src/lib.rs";

/// The head of a branch as git sees it.
async fn head_of(world: &World, branch: &str) -> Option<String> {
    git_cli::remote_head(&world.pull_request(1).clone_url(), branch)
        .await
        .ok()
}

/// A file on a branch.
async fn file(world: &World, branch: &str, path: &str) -> String {
    let path = format!("/raw/{path}?at=refs/heads/{branch}");
    let answer = world.root().request(Method::GET, &path, Value::Null).await;
    answer.unwrap().text().await.unwrap()
}

/// What the pull request that the bot opened goes from and onto, and the commits on it.
async fn opened(world: &World) -> (String, String, Vec<Value>) {
    let opened = world.root().get("/pull-requests/2").await.unwrap();
    let commits = world.root().get_all("/pull-requests/2/commits").await.unwrap();
    assert!(
        world.root().get("/pull-requests/3").await.is_err(),
        "one is opened"
    );
    let end = |end: &str| opened[end]["displayId"].as_str().unwrap().to_owned();
    (end("fromRef"), end("toRef"), commits)
}

/// Whether the lane knows that the pull request has ended.
async fn is_heard(world: &World) -> Option<()> {
    const CHANGES_MAX: usize = 100;
    let nats = inside::connect(world).await.ok()?;
    let changes = nats
        .read_stream("KV_lanes", "$KV.lanes.>", ReadFrom::Start, CHANGES_MAX)
        .await
        .ok()?;
    let lane: Value = serde_json::from_slice(&changes.last()?.payload).ok()?;
    (lane["stopped_through"].as_u64()? > 0).then_some(())
}

#[tokio::test]
async fn a_question_about_a_merged_pull_request_is_answered_from_what_was_merged() {
    however_delivered(Setup::default(), async |world| {
        world.agent_runs("cat src/lib.rs", "It subtracts.");
        world.root().merges(1).await.unwrap();
        world.pull_request(1).someone_deletes_the_branch().await;
        let reply = answer(world, &world.bob(), "ask what does it do?").await;
        assert!(
            reply.starts_with("**Answered for @bob") && reply.contains("It subtracts."),
            "{reply}"
        );
        assert!(!reply.contains("The source branch is gone"), "{reply}");
        let turns = world.model.requests();
        let read = turns.last().unwrap().body.to_string();
        assert!(
            read.contains("a - b"),
            "the agent reads the pull request's last commit: {read}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_review_of_a_declined_pull_request_comments_on_its_lines() {
    however_delivered(Setup::default(), async |world| {
        let handed = json!({"findings": [{"path": FILE, "line": 2, "text": "This subtracts."}]});
        world.agent_runs("true", &handing_over("Looked.", &handed));
        world.alice().declines(1).await.unwrap();
        let reply = answer(world, &world.bob(), "review").await;
        assert!(
            reply.starts_with("**Answered for @bob") && reply.contains("1 finding on the diff"),
            "{reply}"
        );
    })
    .await;
}

#[tokio::test]
async fn what_would_push_is_refused_with_the_way_to_have_it() {
    however_delivered(Setup::default(), async |world| {
        let before = world.pull_request(1).head().await;
        world.alice().declines(1).await.unwrap();
        let reply = answer(world, &world.alice(), "fix the sign").await;
        allow_duplicates! {
            assert_snapshot!(redacted(&reply), @"
        **Refused for @alice** — The pull request is not open.

        > it was declined

        What to do: What changes nothing can be asked here all the same; what changes something takes an open pull request, or `--new-pr`.

        To have it on a new pull request, reply `@openhands fix … --new-pr`.

        `PULL_REQUEST_CLOSED` · run `<run>`
        ");
        }
        assert_eq!(world.pull_request(1).head().await, before);
        assert!(world.model.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn work_on_a_merged_pull_request_starts_from_the_target_branch_and_goes_onto_it() {
    however_delivered(Setup::default(), async |world| {
        world.agent_runs(FIX, "Fixed it.");
        world.root().merges(1).await.unwrap();
        let (main, source) = (
            head_of(world, "main").await.unwrap(),
            world.pull_request(1).head().await,
        );
        let reply = answer(world, &world.alice(), "fix the sign --new-pr").await;
        assert!(
            reply.starts_with("**Done for @alice")
                && reply.contains("The pull request was merged: this starts from `main`")
                && reply.contains("Opened pull request [#2]("),
            "{reply}"
        );
        let (from, onto, commits) = opened(world).await;
        assert!(
            from.starts_with("openhands/1-r-") && onto == "main",
            "{from} {onto}"
        );
        assert_eq!(commits.len(), 1);
        assert_eq!(commits[0]["parents"][0]["id"], main.as_str());
        let fixed = format!("{FILE_ON_BRANCH}// fixed\n");
        assert_eq!(file(world, &from, FILE).await, fixed);
        assert_eq!(head_of(world, "main").await.as_ref(), Some(&main));
        assert_eq!(world.pull_request(1).head().await, source);
        assert!(!reply.contains("undo: reply"), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn work_on_a_declined_pull_request_starts_from_its_source_branch_and_goes_onto_the_target() {
    however_delivered(Setup::default(), async |world| {
        world.agent_runs(FIX, "Fixed it.");
        let source = world.pull_request(1).head().await;
        world.alice().declines(1).await.unwrap();
        let reply = answer(world, &world.alice(), "fix --branch fix/it the sign").await;
        assert!(
            reply.starts_with("**Done for @alice")
                && reply.contains("The pull request was declined: this starts from `feature/1`")
                && reply.contains("Opened pull request [#2]("),
            "{reply}"
        );
        let (from, onto, commits) = opened(world).await;
        assert_eq!((from.as_str(), onto.as_str()), ("fix/it", "main"));
        assert_eq!(commits[0]["parents"][0]["id"], source.as_str());
        assert_eq!(world.pull_request(1).head().await, source);
    })
    .await;
}

#[tokio::test]
async fn work_on_a_declined_pull_request_without_its_branch_starts_from_the_target_branch() {
    however_delivered(Setup::default(), async |world| {
        world.agent_runs(FIX, "Fixed it.");
        world.alice().declines(1).await.unwrap();
        world.pull_request(1).someone_deletes_the_branch().await;
        let reply = answer(world, &world.alice(), "fix the sign --new-pr").await;
        assert!(
            reply.starts_with("**Done for @alice")
                && reply.contains("The source branch is gone: this starts from `main`"),
            "{reply}"
        );
        let (from, onto, commits) = opened(world).await;
        assert_eq!((onto.as_str(), commits.len()), ("main", 1));
        let fixed = format!("{FILE_ON_MAIN}// fixed\n");
        assert_eq!(file(world, &from, FILE).await, fixed);
    })
    .await;
}

#[tokio::test]
async fn what_was_stopped_by_the_end_is_had_beside_it() {
    however_delivered(Setup::default(), async |world| {
        let first = a_run_of_alices_is_held(world).await;
        world.alice().declines(1).await.unwrap();
        let stopped = world.pull_request(1).final_reply_to(first).await.text;
        assert!(
            stopped.starts_with("**Stopped") && stopped.contains("reply `@openhands retry --new-pr`"),
            "{stopped}"
        );
        world.model.release();
        world.agent_runs(FIX, "Fixed it.");
        let reply = answer(world, &world.alice(), "retry --new-pr").await;
        assert!(
            reply.starts_with("**Done for @alice") && reply.contains("Opened pull request [#2]("),
            "{reply}"
        );
        assert_eq!(opened(world).await.1, "main");
    })
    .await;
}

#[tokio::test]
async fn an_end_that_is_told_late_does_not_stop_what_was_asked_after_it() {
    scenario(async |world| {
        let work = works(FIX, "Fixed it.");
        world.script(json!([{"reply": {"hold": true, "then": work}}]));
        let hold = |hold: bool| json!({"hold": hold});
        // The webhook about the end is on its way while people go on.
        world
            .control("PUT", "/sim/v1/delivery-mode", hold(true))
            .await
            .unwrap();
        world.alice().declines(1).await.unwrap();
        world
            .control("PUT", "/sim/v1/delivery-mode", hold(false))
            .await
            .unwrap();
        let comment = world
            .alice()
            .comments(1, "@openhands fix the sign --new-pr")
            .await
            .unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        let heard = || async { is_heard(world).await };
        assert!(is_heard(world).await.is_none(), "it is held");
        world
            .control("POST", "/sim/v1/deliveries/release", Value::Null)
            .await
            .unwrap();
        until(WAIT_MAX, heard).await.expect("the end is heard of");
        let status = answer(world, &world.alice(), "status").await;
        assert!(status.contains("- Working for "), "{status}");
        world.model.release();
        let reply = world.pull_request(1).final_reply_to(comment).await.text;
        assert!(reply.starts_with("**Done for @alice"), "{reply}");
        assert_eq!(opened(world).await.1, "main");
    })
    .await;
}
