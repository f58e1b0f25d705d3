//! Repositories change their names, and names are given again: what counts is the number that stays.

use pipeline::failure_code::FailureCode;
use pipeline::run::Run;
use reqwest::Method;
use serde_json::{Value, json};
use tests::setup::{FILE, FILE_ON_BRANCH, FILE_ON_MAIN, Setup};
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario_in, works};
use tests::{git_cli, inside};

use crate::verb_queries::however_delivered;

const FIX: &str = "sed -i 's/a - b/a + b/' src/lib.rs";

/// The agent waits for `release`.
async fn alice_has_it_fixed(world: &World) -> u64 {
    world.script(json!([{"reply": {"hold": true, "then": works(FIX, "Add instead.")}}]));
    let comment = world
        .alice()
        .comments(1, "@openhands fix the sign")
        .await
        .unwrap();
    world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
    world.pull_request(1).reply_to(comment).await;
    comment
}

/// A world with a second project, whose `root` may make repositories.
fn two_projects() -> Setup {
    let mut setup = Setup::default();
    let mut document = setup.document();
    document["projects"] = json!([{"key": "PROJ"}, {"key": "NEW"}]);
    let users = document["users"].as_array_mut().unwrap();
    let root = users.iter_mut().find(|user| user["name"] == "root").unwrap();
    root["password"] = json!("pw");
    setup.document = Some(document);
    setup
}

/// What an administrator does outside of the repository.
async fn administers(world: &World, method: Method, path: &str, body: Value) -> Value {
    let url = format!("{}/rest/api/latest{path}", world.bitbucket.base_url());
    let request = world.http.request(method, url).basic_auth("root", Some("pw"));
    let answer = request.json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {answer:?}");
    answer.json().await.unwrap_or(Value::Null)
}

/// Another repository takes the name, with a branch and a pull request that are called the same, too.
async fn the_name_is_given_again(world: &World) -> u64 {
    let repository = "/projects/PROJ/repos/demo";
    administers(world, Method::PUT, repository, json!({"name": "former"})).await;
    let made = administers(
        world,
        Method::POST,
        "/projects/PROJ/repos",
        json!({"name": "demo"}),
    )
    .await;
    assert_ne!(made["id"], 84);
    for (person, permission) in [("alice", "REPO_WRITE"), ("openhands", "REPO_WRITE")] {
        let path = format!("{repository}/permissions/users?name={person}&permission={permission}");
        administers(world, Method::PUT, &path, Value::Null).await;
    }
    let url = world.pull_request(1).clone_url();
    let clone = tempfile::tempdir().unwrap();
    let git = async |arguments: &[&str]| git_cli::git(clone.path(), arguments).await.unwrap();
    git(&["init", "--quiet", "--initial-branch", "main"]).await;
    std::fs::create_dir(clone.path().join("src")).unwrap();
    for (branch, text) in [("main", FILE_ON_MAIN), ("feature/1", FILE_ON_BRANCH)] {
        std::fs::write(clone.path().join(FILE), text).unwrap();
        git(&["checkout", "--quiet", "-B", branch]).await;
        git(&["add", "."]).await;
        git(&["commit", "--quiet", "--message", "Another repository's"]).await;
        git(&["push", "--quiet", &url, branch]).await;
    }
    let end = |branch: &str| {
        json!({"id": format!("refs/heads/{branch}"),
            "repository": {"slug": "demo", "project": {"key": "PROJ"}}})
    };
    let opened = json!({"title": "Another one", "fromRef": end("feature/1"), "toRef": end("main")});
    let opened = world
        .alice()
        .send(Method::POST, "/pull-requests", opened)
        .await
        .unwrap();
    assert_eq!(opened["id"], 1);
    let comment = world.alice().comments(1, "What is this?").await.unwrap();
    assert!(comment > 0);
    made["id"].as_u64().unwrap()
}

async fn ended(world: &World) -> Run {
    let nats = &inside::connect(world).await.unwrap();
    let run = until(WAIT_MAX, || async move {
        let runs = inside::runs(nats).await.ok()?;
        runs.into_iter()
            .find(|run| run.state.is_terminal() && run.reply.closing_reaction)
    });
    run.await
        .unwrap_or_else(|| panic!("the run ends\n{}", world.logs()))
}

#[tokio::test]
async fn another_repository_that_got_the_name_meanwhile_gets_nothing() {
    however_delivered(two_projects(), async |world| {
        // There is no place any more where its end could be told.
        world.expected.deleted = vec![1];
        alice_has_it_fixed(world).await;
        let pr = world.pull_request(1);
        let before = pr.head().await;
        the_name_is_given_again(world).await;
        let others = pr.head().await;
        assert_ne!(others, before);
        world.model.release();

        let run = ended(world).await;
        let report = run.outcome.and_then(|outcome| outcome.failure).unwrap();
        assert_eq!(report.code, FailureCode::BitbucketNotFound, "{report:#?}");
        assert!(
            report
                .detail
                .as_ref()
                .is_some_and(|detail| detail.contains("PROJ/demo is another repository now")),
            "{report:#?}"
        );
        assert_eq!(pr.head().await, others, "nothing is pushed to the other one");
        let comments = pr.comments().await;
        assert!(
            !comments.iter().any(tests::thread::Comment::is_bots),
            "nothing is told to other people: {comments:#?}"
        );
        let former = pr.clone_url().replace("/demo.git", "/former.git");
        let head = git_cli::remote_head(&former, &pr.branch()).await.unwrap();
        assert_eq!(head, before);
    })
    .await;
}

#[tokio::test]
async fn a_repository_renamed_or_moved_while_the_agent_works_gets_the_push_and_the_reply() {
    for elsewhere in [json!({"name": "renamed"}), json!({"project": {"key": "NEW"}})] {
        however_delivered(two_projects(), async |world| {
            let comment = alice_has_it_fixed(world).await;
            let pr = world.pull_request(1);
            administers(world, Method::PUT, "/projects/PROJ/repos/demo", elsewhere.clone()).await;
            world.model.release();
            let reply = pr.final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done for @alice"), "{}", reply.text);
            assert!(pr.file(FILE).await.contains("a + b"));
            assert_eq!(pr.bots_commits().await.len(), 1);
            assert_eq!(pr.bots_comments().await.len(), 1);
            assert_eq!(world.model.requests().len(), 1, "the agent ran once");
        })
        .await;
    }
}

#[tokio::test]
async fn where_git_does_not_follow_a_new_name_the_work_is_done_again_under_it() {
    however_delivered(two_projects(), async |world| {
        let comment = alice_has_it_fixed(world).await;
        let pr = world.pull_request(1);
        world
            .faults(json!([{"path": "*/scm/proj/demo.git/*", "user": "openhands", "status": 404}]))
            .await
            .unwrap();
        let renamed = json!({"name": "renamed"});
        administers(world, Method::PUT, "/projects/PROJ/repos/demo", renamed).await;
        let reply = pr.final_reply_releasing_the_model(comment).await;
        assert!(reply.text.starts_with("**Done for @alice"), "{}", reply.text);
        assert!(pr.file(FILE).await.contains("a + b"));
        assert_eq!(pr.bots_commits().await.len(), 1);
        assert_eq!(pr.bots_comments().await.len(), 1);
        let faults = world.control("GET", "/sim/v1/faults", Value::Null).await.unwrap();
        assert!(
            faults[0]["used"].as_u64().unwrap() > 0,
            "git was refused: {faults}"
        );
    })
    .await;
}

#[tokio::test]
async fn what_was_pushed_before_the_new_name_is_found_under_it_and_not_done_again() {
    let setup = Setup {
        separate_roles: true,
        ..two_projects()
    };
    scenario_in(setup, async |world| {
        world.script(json!([{"reply": works(FIX, "Add instead.")}]));
        let hold = world
            .holds_next("POST", "*/git-receive-pack", "after")
            .await
            .unwrap();
        let asked = world.alice().comments(1, "@openhands fix the sign").await;
        world.held(hold).await.unwrap();
        let renamed = json!({"name": "renamed"});
        administers(world, Method::PUT, "/projects/PROJ/repos/demo", renamed).await;
        // The answer to the push arrives, and what it did cannot be read back under the former name.
        world
            .faults(json!([{"path": "*/scm/proj/demo.git/*", "user": "openhands", "status": 404}]))
            .await
            .unwrap();
        let pr = world.pull_request(1);
        let reply = pr.final_reply_to(asked.unwrap()).await;
        assert!(reply.text.starts_with("**Done for @alice"), "{}", reply.text);
        assert!(pr.file(FILE).await.contains("a + b"));
        assert_eq!(pr.bots_commits().await.len(), 1);
        assert_eq!(world.model.requests().len(), 1, "the agent ran once");
        let faults = world.control("GET", "/sim/v1/faults", Value::Null).await.unwrap();
        assert!(
            faults[0]["used"].as_u64().unwrap() > 0,
            "git was refused: {faults}"
        );
    })
    .await;
}
