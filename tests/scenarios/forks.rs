//! Pull requests from forks: the bot pushes there where it may, and to a branch of the target repository where not. And
//! repositories that are called otherwise than they were.

use pipeline::subject;
use serde_json::{Value, json};
use tests::setup::{FILE, Setup};
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario_in};
use tests::{git_cli, inside};

use crate::verb_queries::however_delivered;

/// Pull request 1 comes from alice's personal fork, in which the bot may do `bots_permission`.
fn from_fork(bots_permission: Option<&str>) -> Setup {
    let mut setup = Setup::default();
    let mut document = setup.document();
    let mut permissions = json!({});
    if let Some(permission) = bots_permission {
        permissions["openhands"] = json!(permission);
    }
    let fork = json!({
        "project": "~alice", "slug": "demo", "id": 85, "fork_of": "PROJ/demo", "permissions": permissions,
    });
    document["repositories"].as_array_mut().unwrap().push(fork);
    document["pull_requests"][0]["from_repository"] = json!("~alice/demo");
    setup.document = Some(document);
    setup
}

fn fork_url(world: &World) -> String {
    let url = world.pull_request(1).clone_url();
    url.replace("/scm/proj/", "/scm/~alice/")
}

async fn file(url: &str, branch: &str, path: &str) -> String {
    let clone = git_cli::clone(url, branch).await.unwrap();
    std::fs::read_to_string(clone.path().join(path)).unwrap()
}

async fn repairs(world: &World, request: &str) -> String {
    world.agent_runs(&format!("sed -i 's/a - b/a + b/' {FILE}"), "Repaired the sign.");
    let comment = world.alice().comments(1, request).await.unwrap();
    world.pull_request(1).final_reply_to(comment).await.text
}

#[tokio::test]
async fn a_fork_that_the_bot_may_write_to_gets_the_push() {
    however_delivered(from_fork(Some("REPO_WRITE")), async |world| {
        let reply = repairs(world, "@openhands fix the sign").await;
        assert!(reply.starts_with("**Done"), "{reply}");
        assert!(file(&fork_url(world), "feature/1", FILE).await.contains("a + b"));
        let target = world.pull_request(1).clone_url();
        assert!(file(&target, "feature/1", FILE).await.contains("a - b"));

        // A merge brings commits that the fork does not have.
        git_cli::commit_and_push(&target, "main", "notes.txt", "by a person\n")
            .await
            .unwrap();
        let comment = world
            .alice()
            .comments(1, "@openhands update branch")
            .await
            .unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(
            file(&fork_url(world), "feature/1", "notes.txt").await,
            "by a person\n"
        );
    })
    .await;
}

#[tokio::test]
async fn a_fork_that_is_closed_to_the_bot_gets_a_stacked_pull_request_in_the_target_repository() {
    for permission in [Some("REPO_READ"), None] {
        however_delivered(from_fork(permission), async |world| {
            let before = git_cli::remote_head(&fork_url(world), "feature/1").await.unwrap();
            let reply = repairs(world, "@openhands fix the sign").await;
            assert!(reply.starts_with("**Done"), "{reply}");
            assert!(reply.contains("The bot may not push to the fork"), "{reply}");
            let opened = world.root().get_all("/pull-requests").await.unwrap();
            let stacked: &Value = opened
                .iter()
                .find(|pull_request| pull_request["author"]["user"]["name"] == "openhands")
                .unwrap();
            let branch = stacked["fromRef"]["displayId"].as_str().unwrap();
            assert!(branch.starts_with("openhands/1-r-"), "{branch}");
            assert_eq!(stacked["fromRef"]["repository"]["id"], 84);
            assert_eq!(stacked["toRef"]["displayId"], "main");
            let target = world.pull_request(1).clone_url();
            assert!(file(&target, branch, FILE).await.contains("a + b"));
            let after = git_cli::remote_head(&fork_url(world), "feature/1").await.unwrap();
            assert_eq!(after, before, "the fork is untouched");

            let comment = world
                .alice()
                .comments(1, "@openhands update branch")
                .await
                .unwrap();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert!(
                reply.text.contains("PUSH_FORBIDDEN") && reply.text.contains("`~ALICE/demo`"),
                "{}",
                reply.text
            );
        })
        .await;
    }
}

#[tokio::test]
async fn a_resolver_killed_after_it_made_the_branch_makes_no_other_and_does_not_work_again() {
    let setup = Setup {
        separate_roles: true,
        ..from_fork(None)
    };
    scenario_in(setup, async |world| {
        world.agent_runs(&format!("sed -i 's/a - b/a + b/' {FILE}"), "Repaired the sign.");
        let hold = world
            .holds_next("POST", "*/git-receive-pack", "after")
            .await
            .unwrap();
        let alice = world.alice();
        let comment = alice.comments(1, "@openhands fix the sign").await.unwrap();
        world.held(hold).await.unwrap();
        let asked = world.model.requests().len();
        world.dies_and_comes_back("resolver", hold).await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(world.model.requests().len(), asked, "the agent did not run again");
        let opened = world.root().get_all("/pull-requests").await.unwrap();
        let bots = opened
            .iter()
            .filter(|pull_request| pull_request["author"]["user"]["name"] == "openhands");
        assert_eq!(bots.count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_repository_that_was_renamed_before_the_job_was_taken_is_found() {
    let setup = Setup {
        separate_roles: true,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        world.agent_runs(&format!("sed -i 's/a - b/a + b/' {FILE}"), "Repaired the sign.");
        world.kill("resolver").await.unwrap();
        let alice = world.alice();
        let comment = alice.comments(1, "@openhands fix the sign").await.unwrap();
        world.pull_request(1).reply_to(comment).await;
        let nats = inside::connect(world).await.unwrap();
        let published = until(WAIT_MAX, || async {
            let jobs = inside::messages(&nats, subject::JOBS).await.ok()?;
            (jobs > 0).then_some(())
        });
        published.await.unwrap();
        let renamed = json!({"name": "renamed"});
        let answer = world.root().send(reqwest::Method::PUT, "", renamed).await;
        answer.unwrap();
        // Git finds nothing under the old name.
        world
            .faults(json!([{"path": "*/scm/proj/demo.git/*", "status": 404}]))
            .await
            .unwrap();
        world.start_role("resolver").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        world.faults(json!([])).await.unwrap();
    })
    .await;
}
