//! The whole point: a mention ends in a pushed commit and a reply.

use insta::assert_snapshot;
use tests::git_cli;
use tests::setup::{FILE, Setup};
use tests::world::{World, scenario, scenario_in};

use crate::looking_in::redacted;

#[tokio::test]
async fn a_mention_ends_in_a_pushed_commit_and_a_reply() {
    scenario(async |world| {
        world.agent_runs(
            "sed -i 's/a - b/a + b/' src/lib.rs",
            "Add instead of subtract\n\n- `add` adds again",
        );
        let pr = world.pull_request(1);

        let comment = world
            .alice()
            .comments(1, "@openhands this subtracts, please fix")
            .await
            .unwrap();

        pr.reaction_to(comment, "eyes").await;
        let reply = pr.final_reply_to(comment).await;
        assert_snapshot!(redacted(&reply.text), @"
        **Done for @alice in <time>** · pushed `<commit>` to `feature/1` · [commit](http://<bitbucket>/projects/PROJ/repos/demo/pull-requests/1/commits/<commit>) · [diff](http://<bitbucket>/projects/PROJ/repos/demo/pull-requests/1/diff) · undo: reply `@openhands undo`

        What changed: 1 file, +1 −1 (from git)

        In the agent's words:

        Add instead of subtract

        - `add` adds again

        Model `default` · 1 model call · 2k tokens · `builtin`, sandbox level 2 (leaves open: the shared kernel) · run `<run>`
        ");
        assert_snapshot!(pr.last_diff().await, @"
        diff --git a/src/lib.rs b/src/lib.rs
        index 4db8e43..a9f352f 100644
        --- a/src/lib.rs
        +++ b/src/lib.rs
        @@ -1,3 +1,3 @@
         fn add(a: i32, b: i32) -> i32 {
        -    a - b
        +    a + b
         }
        ");
        let commits = pr.bots_commits().await;
        assert_snapshot!(redacted(commits[0]["message"].as_str().unwrap()), @"
        Add instead of subtract

        Asked for in a pull request comment: this subtracts, please fix

        Co-authored-by: alice <alice@example.test>
        Requested-by: alice (PR #1, comment 1)
        Run-Id: <run>
        ");
        assert_eq!(commits[0]["author"]["emailAddress"], "bot@example.test");
        assert_eq!(commits[0]["committer"]["emailAddress"], "bot@example.test");
        pr.reaction_to(comment, "white_check_mark").await;
    })
    .await;
}

#[tokio::test]
async fn a_mention_on_a_line_on_a_file_and_in_a_nested_reply_is_answered_in_its_thread() {
    scenario(async |world| {
        let (alice, pr) = (world.alice(), world.pull_request(1));

        let on_line = alice
            .comments_on(1, FILE, Some(2), "@openhands wrong operator")
            .await
            .unwrap();
        pr.final_reply_to(on_line).await;

        let on_file = alice
            .comments_on(1, FILE, None, "@openhands a comment on top, please")
            .await
            .unwrap();
        pr.final_reply_to(on_file).await;

        let root = alice.comments_on(1, FILE, Some(2), "why minus?").await.unwrap();
        let reply = alice.replies(1, root, "no idea").await.unwrap();
        let nested = alice
            .replies(1, reply, "@openhands can you fix this?")
            .await
            .unwrap();
        pr.final_reply_to(nested).await;

        assert_eq!(pr.bots_commits().await.len(), 3);
        let briefs = briefs(world);
        assert!(
            briefs[0].contains(FILE) && briefs[0].contains("a - b"),
            "the anchor's hunk is in:\n{}",
            briefs[0]
        );
        assert!(
            briefs[2].contains("why minus?") && briefs[2].contains("no idea"),
            "the thread is in:\n{}",
            briefs[2]
        );
        assert!(
            briefs[2].contains(FILE),
            "the anchor is the root's:\n{}",
            briefs[2]
        );
    })
    .await;
}

#[tokio::test]
async fn payloads_of_bitbucket_10_a_context_path_and_a_personal_repository_work_alike() {
    for (payloads, context_path, project) in [("10", "", "PROJ"), ("mixed", "/bitbucket", "~alice")] {
        let setup = Setup {
            payloads,
            context_path,
            project,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            let comment = world
                .alice()
                .comments(1, "@openhands please look at this")
                .await
                .unwrap();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert!(
                reply.text.starts_with("**Done"),
                "{payloads} {context_path} {project}: {}",
                reply.text
            );
            assert_eq!(world.pull_request(1).bots_commits().await.len(), 1);
        })
        .await;
    }
}

#[tokio::test]
async fn an_agent_that_changes_nothing_is_answered_without_a_commit() {
    scenario(async |world| {
        world.agent_runs("true", "The code is right as it is: the sign is intended.");
        let before = world.pull_request(1).head().await;

        let comment = world
            .alice()
            .comments(1, "@openhands is this right?")
            .await
            .unwrap();

        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert_snapshot!(redacted(&reply.text), @"
        **No change needed for @alice** — the agent left every file as it was.

        In the agent's words:

        The code is right as it is: the sign is intended.

        Model `default` · 1 model call · 2k tokens · `builtin`, sandbox level 2 (leaves open: the shared kernel) · run `<run>`
        ");
        assert_eq!(world.pull_request(1).head().await, before);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_asks_back_is_answered_with_its_question() {
    scenario(async |world| {
        world.script(
            serde_json::json!([{"reply": {"tool_calls": [{"name": "finish", "arguments": {
                "summary": "", "not_done": [], "questions": ["Should an overflow wrap or panic?"],
            }}]}}]),
        );
        let comment = world
            .alice()
            .comments(1, "@openhands handle the overflow")
            .await
            .unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(
            reply.text.contains("Should an overflow wrap or panic?"),
            "{}",
            reply.text
        );
        assert!(reply.text.starts_with("**I need an answer"), "{}", reply.text);
    })
    .await;
}

#[tokio::test]
async fn a_plain_run_needs_few_calls_to_bitbucket() {
    /// Without those that set build statuses, which an option turns off.
    const CALLS_MAX: usize = 12;
    /// On what it starts from: in progress, then ended; and on what it pushed.
    const BUILDS_MAX: usize = 3;
    let setup = Setup {
        pull_requests: 2,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let (alice, pr) = (world.alice(), world.pull_request(1));
        // Elsewhere, so that the run that is counted need not wait for its turn.
        let warm_up = alice
            .comments(2, "@openhands once, so that what is cached is cached")
            .await
            .unwrap();
        world
            .pull_request(2)
            .reaction_to(warm_up, "white_check_mark")
            .await;
        let before = bots_rest_calls(world).await.len();

        let comment = alice.comments(1, "@openhands and again").await.unwrap();
        pr.reaction_to(comment, "white_check_mark").await;

        let calls = bots_rest_calls(world).await.split_off(before);
        let is_build = |call: &String| call.starts_with("\"POST\"") && call.ends_with("/builds\"");
        let (builds, calls): (Vec<_>, Vec<_>) = calls.into_iter().partition(is_build);
        assert!((1..=BUILDS_MAX).contains(&builds.len()), "{builds:?}");
        assert!(
            calls.len() <= CALLS_MAX,
            "{} calls:\n{}",
            calls.len(),
            calls.join("\n")
        );
    })
    .await;
}

#[tokio::test]
async fn the_model_is_shown_what_people_called_their_commits_and_its_first_line_follows_them() {
    scenario(async |world| {
        world.agent_runs(
            "sed -i 's/a - b/a + b/' src/lib.rs",
            "fix(demo): add instead of subtract\n\nMore.",
        );
        let (alice, pr) = (world.alice(), world.pull_request(1));
        someone_commits(world, "docs(demo): say `it`\n\nRun-Id of no commit of ours").await;

        let fix = alice.comments(1, "@openhands fix the sign").await.unwrap();
        pr.final_reply_to(fix).await;
        let commits = pr.bots_commits().await;
        let message = commits[0]["message"].as_str().unwrap();
        assert!(
            message.starts_with("fix(demo): add instead of subtract\n\n"),
            "{message}"
        );
        let ask = alice.comments(1, "@openhands ask why a minus?").await.unwrap();
        pr.final_reply_to(ask).await;

        let briefs = briefs(world);
        let (fixing, asking) = (&briefs[0], briefs.last().unwrap());
        assert!(
            fixing.contains("# The commit's subject") && fixing.contains("~~~~\\ndocs(demo): say `it`\\n"),
            "{fixing}"
        );
        assert!(
            !fixing.contains("Run-Id of no commit"),
            "the subject alone:\n{fixing}"
        );
        assert!(
            !asking.contains("# The commit's subject"),
            "an answer becomes no commit:\n{asking}"
        );
    })
    .await;
}

/// A person pushes an empty commit with this message to the first pull request.
async fn someone_commits(world: &World, message: &str) {
    let pr = world.pull_request(1);
    let directory = git_cli::clone(&pr.clone_url(), &pr.branch()).await.unwrap();
    let into = format!("HEAD:refs/heads/{}", pr.branch());
    for arguments in [
        ["commit", "--quiet", "--allow-empty", "--message", message].as_slice(),
        &["push", "--quiet", "origin", &into],
    ] {
        git_cli::git(directory.path(), arguments).await.unwrap();
    }
}

/// The bot's calls to the REST API so far.
async fn bots_rest_calls(world: &World) -> Vec<String> {
    let requests = world
        .control("GET", "/sim/v1/requests", serde_json::Value::Null)
        .await
        .unwrap();
    let requests = requests
        .as_array()
        .or_else(|| requests["values"].as_array())
        .expect("a list of requests");
    requests
        .iter()
        .filter(|request| request["user"] == "openhands")
        .filter(|request| {
            request["path"]
                .as_str()
                .is_some_and(|path| path.contains("/rest/"))
        })
        .map(|request| format!("{} {}", request["method"], request["path"]))
        .collect()
}

/// The briefs the model was given, in order.
fn briefs(world: &World) -> Vec<String> {
    let requests = world.model.requests();
    requests.iter().map(|request| request.body.to_string()).collect()
}
