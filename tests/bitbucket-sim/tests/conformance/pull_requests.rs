//! Items 2, 13, 16: pull requests, their versions and transitions.

use bitbucket_sim::Payloads;
use serde_json::{Value, json};

use crate::scene::{BOT, JANE, READER, ROOT, Scene, world};
use crate::shape::assert_like;

fn create(from: &str) -> Value {
    json!({"title": "New", "fromRef": {"id": format!("refs/heads/{from}"), "repository": {"slug": "demo", "project": {"key": "PROJ"}}},
           "toRef": {"id": "refs/heads/main"}, "reviewers": [{"user": {"name": "openhands"}}]})
}

#[tokio::test]
async fn a_pull_request_looks_as_bitbucket_shows_it() {
    let scene = Scene::start().await;
    let answer = scene.pr(BOT, "GET", "", None).await.is(200);
    assert_like(
        include_str!("../../fixtures/rest_pull_request.json"),
        &answer.text,
    );
    let clone = answer.json()["fromRef"]["repository"]["links"]["clone"][0]["href"].clone();
    assert_eq!(clone, scene.clone_url());
}

#[tokio::test]
async fn a_stale_version_is_409_with_both_versions() {
    let scene = Scene::start().await;
    let body = |version: u64| Some(json!({"title": "Other", "version": version}));
    let changed = scene.pr(JANE, "PUT", "", body(0)).await.is(200).json();
    assert_eq!(
        (changed["version"].as_u64(), changed.get("description")),
        (Some(1), None)
    );
    let stale = scene.pr(JANE, "PUT", "", body(0)).await.is(409);
    assert_eq!(stale.exception(), "pull.PullRequestOutOfDateException");
    assert_like(
        include_str!("../../fixtures/rest_error_409_pr_version.json"),
        &stale.text,
    );
    scene
        .pr(BOT, "POST", "/decline?version=0", Some(json!({})))
        .await
        .is(409);
    scene
        .pr(BOT, "POST", "/merge", Some(json!({"version": 0})))
        .await
        .is(409);
    scene.pr(READER, "PUT", "", body(1)).await.is(401);
}

#[tokio::test]
async fn there_is_one_open_pull_request_from_a_branch_to_another() {
    let scene = Scene::start().await;
    let made = scene
        .repo(READER, "POST", "/pull-requests", Some(create("other")))
        .await
        .is(201)
        .json();
    assert_eq!(
        (made["id"].as_u64(), made["reviewers"][0]["user"]["name"].as_str()),
        (Some(8), Some("openhands"))
    );
    let again = scene
        .repo(JANE, "POST", "/pull-requests", Some(create("other")))
        .await
        .is(409);
    assert_eq!(again.exception(), "pull.DuplicatePullRequestException");
    let empty = scene
        .repo(JANE, "POST", "/pull-requests", Some(create("main")))
        .await
        .is(409);
    assert_eq!(empty.exception(), "pull.EmptyPullRequestException");
    let mut unknown = create("feature/retry");
    unknown["reviewers"][0]["user"]["name"] = "nobody".into();
    unknown["toRef"]["id"] = "refs/heads/other".into();
    let refused = scene
        .repo(JANE, "POST", "/pull-requests", Some(unknown))
        .await
        .is(409);
    assert_eq!(refused.exception(), "pull.InvalidPullRequestReviewersException");
    scene
        .repo(JANE, "POST", "/pull-requests", Some(create("nope")))
        .await
        .is(404);
}

#[tokio::test]
async fn merging_makes_a_merge_commit_and_closes() {
    let scene = Scene::start().await;
    scene
        .pr(READER, "POST", "/merge?version=0", Some(json!({})))
        .await
        .is(401);
    let merged = scene
        .pr(BOT, "POST", "/merge?version=0", Some(json!({})))
        .await
        .is(200)
        .json();
    assert_eq!(
        (merged["state"].as_str(), merged["version"].as_u64()),
        (Some("MERGED"), Some(1))
    );
    let commit = merged["properties"]["mergeCommit"]["id"].as_str().unwrap();
    let branch = scene
        .repo(BOT, "GET", "/branches?filterText=main", None)
        .await
        .json();
    assert_eq!(branch["values"][0]["latestCommit"], commit);
    let again = scene
        .pr(BOT, "POST", "/merge?version=1", Some(json!({})))
        .await
        .is(409);
    assert_eq!(again.exception(), "pull.IllegalPullRequestStateException");
    let commits = scene.pr(BOT, "GET", "/commits", None).await.is(200).json();
    assert_eq!(commits["size"], 1);
}

#[tokio::test]
async fn declining_and_reopening_count_the_version_up() {
    let scene = Scene::start().await;
    let declined = scene
        .pr(JANE, "POST", "/decline?version=0", Some(json!({})))
        .await
        .is(200)
        .json();
    assert_eq!(
        (declined["state"].as_str(), declined["closed"].as_bool()),
        (Some("DECLINED"), Some(true))
    );
    assert_eq!(
        scene.repo(JANE, "GET", "/pull-requests", None).await.json()["size"],
        0
    );
    assert_eq!(
        scene
            .repo(JANE, "GET", "/pull-requests?state=ALL", None)
            .await
            .json()["size"],
        1
    );
    let open = scene
        .pr(JANE, "POST", "/reopen", Some(json!({"version": 1})))
        .await
        .is(200)
        .json();
    assert_eq!(
        (
            open["state"].as_str(),
            open["version"].as_u64(),
            open.get("closedDate")
        ),
        (Some("OPEN"), Some(2), None)
    );
    scene
        .pr(READER, "DELETE", "", Some(json!({"version": 2})))
        .await
        .is(401);
    scene
        .pr(JANE, "DELETE", "", Some(json!({"version": 2})))
        .await
        .is(204);
    let gone = scene.pr(JANE, "GET", "", None).await.is(404);
    assert_eq!(
        gone.json()["errors"][0]["message"],
        "Pull request 7 does not exist in PROJ/demo."
    );
    assert_like(include_str!("../../fixtures/rest_error_404_pr.json"), &gone.text);
}

#[tokio::test]
async fn the_merge_check_tells_conflicts() {
    let mut world = world();
    world["repositories"][0]["branches"]["clash"] =
        json!({"from": "main", "files": {"src/upload.rs": "other\n"}});
    world["pull_requests"].as_array_mut().unwrap().push(
        json!({"repository": "PROJ/demo", "id": 9, "from": "clash", "to": "feature/retry", "author": "jcitizen", "title": "Clash"}));
    let scene = Scene::with(world, "", Payloads::V9).await;
    let clean = scene.pr(BOT, "GET", "/merge", None).await.is(200);
    assert_eq!(
        (
            clean.json()["canMerge"].as_bool(),
            clean.json()["outcome"].as_str()
        ),
        (Some(true), Some("CLEAN"))
    );
    assert_like(include_str!("../../fixtures/rest_merge_check.json"), &clean.text);
    let clash = scene
        .repo(BOT, "GET", "/pull-requests/9/merge", None)
        .await
        .is(200)
        .json();
    assert_eq!(
        (clash["conflicted"].as_bool(), clash["outcome"].as_str()),
        (Some(true), Some("CONFLICTED"))
    );
    scene
        .repo(BOT, "POST", "/pull-requests/9/merge?version=0", Some(json!({})))
        .await
        .is(409);
}

#[tokio::test]
async fn the_diff_comes_as_json_and_as_text() {
    let scene = Scene::start().await;
    let comment = json!({"text": "?", "anchor": {"path": "src/upload.rs", "line": 3, "lineType": "ADDED"}});
    let id = scene.comment(JANE, comment).await["id"].clone();
    let answer = scene.pr(BOT, "GET", "/diff", None).await.is(200);
    assert_like(include_str!("../../fixtures/rest_pr_diff.json"), &answer.text);
    let segments = &answer.json()["diffs"][0]["hunks"][0]["segments"];
    assert_eq!(
        (
            segments[2]["type"].as_str(),
            &segments[2]["lines"][0]["commentIds"]
        ),
        (Some("ADDED"), &json!([id]))
    );
    let text = scene.pr(BOT, "GET", ".diff", None).await.is(200);
    assert!(
        text.text.contains("+    Ok(())\n")
            && text.headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/plain")
    );
    let changes = scene.pr(BOT, "GET", "/changes", None).await.is(200).json();
    assert_eq!(
        (
            changes["values"][0]["type"].as_str(),
            changes["values"][0]["path"]["toString"].as_str()
        ),
        (Some("MODIFY"), Some("src/upload.rs"))
    );
    let patch = scene.pr(BOT, "GET", ".patch", None).await.is(200);
    assert!(patch.text.contains("Subject: [PATCH] Retry uploads"));
}

#[tokio::test]
async fn a_reviewers_opinion_is_theirs_and_not_the_authors() {
    let scene = Scene::start().await;
    let body = Some(json!({"status": "NEEDS_WORK"}));
    let opinion = scene
        .pr(BOT, "PUT", "/participants/openhands", body.clone())
        .await
        .is(200)
        .json();
    assert_eq!(
        (opinion["role"].as_str(), opinion["status"].as_str()),
        (Some("REVIEWER"), Some("NEEDS_WORK"))
    );
    let refused = scene
        .pr(JANE, "PUT", "/participants/jcitizen", body.clone())
        .await
        .is(400);
    assert_eq!(refused.exception(), "pull.InvalidPullRequestRoleException");
    scene
        .pr(JANE, "PUT", "/participants/openhands", body)
        .await
        .is(401);
    scene.pr(BOT, "POST", "/approve", None).await.is(200);
    assert_eq!(
        scene.pr(JANE, "GET", "/participants", None).await.json()["size"],
        2
    );
}

#[tokio::test]
async fn a_context_path_is_part_of_every_url() {
    let scene = Scene::with(world(), "/bitbucket", Payloads::V9).await;
    let pr = scene.pr(BOT, "GET", "", None).await.is(200).json();
    let page = pr["links"]["self"][0]["href"].as_str().unwrap();
    assert!(
        page.ends_with("/bitbucket/projects/PROJ/repos/demo/pull-requests/7"),
        "{page}"
    );
    let outside = format!(
        "http://{}/rest/api/latest/application-properties",
        scene.simulator.addr()
    );
    assert_eq!(scene.client.get(outside).send().await.unwrap().status(), 404);
    scene.cloned("bot-t", "main", "clone").await;
}

#[tokio::test]
async fn a_renamed_repository_redirects_and_git_follows() {
    let scene = Scene::start().await;
    let renamed = scene
        .repo(ROOT, "PUT", "", Some(json!({"name": "moved"})))
        .await
        .is(201)
        .json();
    assert_eq!(renamed["slug"], "moved");
    let moved = scene.pr(BOT, "GET", "/activities?limit=3", None).await.is(307);
    let location = moved.headers["location"].to_str().unwrap();
    assert_eq!(
        location,
        format!(
            "{}/rest/api/latest/projects/PROJ/repos/moved/pull-requests/7/activities?limit=3",
            scene.simulator.base_url()
        )
    );
    scene.cloned("bot-t", "main", "clone").await;
}

#[tokio::test]
async fn clone_links_can_have_a_user_name_or_be_missing() {
    let mut world = world();
    world["repositories"][0]["http_clone"] = "user-info".into();
    world["repositories"].as_array_mut().unwrap().push(
        json!({"project": "PROJ", "slug": "sshonly", "http_clone": "missing", "branches": {"main": {"files": {"a": "b"}}}, "permissions": {"openhands": "REPO_READ"}}));
    let scene = Scene::with(world, "", Payloads::V9).await;
    let links = |answer: crate::scene::Answer| answer.json()["links"]["clone"].clone();
    let with_user = links(scene.repo(BOT, "GET", "", None).await);
    assert!(
        with_user[0]["href"]
            .as_str()
            .unwrap()
            .starts_with("http://openhands@127.0.0.1:")
    );
    let without = links(scene.api(BOT, "GET", "/projects/PROJ/repos/sshonly", None).await);
    assert_eq!(
        (without[0]["name"].as_str(), without.as_array().unwrap().len()),
        (Some("ssh"), 1)
    );
}

#[tokio::test]
async fn personal_repositories_live_below_their_owner() {
    let mut world = world();
    world["repositories"].as_array_mut().unwrap().push(
        json!({"project": "~jcitizen", "slug": "sandbox", "id": 999, "branches": {"main": {"files": {"a": "b"}}}}));
    let scene = Scene::with(world, "", Payloads::V9).await;
    let answer = scene
        .api(JANE, "GET", "/projects/~jcitizen/repos/sandbox", None)
        .await
        .is(200);
    assert_like(
        include_str!("../../fixtures/repository_personal.json"),
        &answer.text,
    );
    let repository = answer.json();
    assert_eq!(repository["project"]["key"], "~JCITIZEN");
    let base = scene.simulator.base_url();
    assert_eq!(
        repository["links"]["clone"][0]["href"],
        format!("{base}/scm/~jcitizen/sandbox.git")
    );
    assert_eq!(
        repository["links"]["self"][0]["href"],
        format!("{base}/users/jcitizen/repos/sandbox/browse")
    );
    scene
        .api(BOT, "GET", "/projects/~JCITIZEN/repos/sandbox", None)
        .await
        .is(401);
}
