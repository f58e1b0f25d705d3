//! The resources around pull requests: files, commits, builds, insights, projects, what is not there.

use serde_json::json;

use crate::scene::{BOT, JANE, READER, ROOT, STRANGER, Scene};
use crate::shape::assert_like;

#[tokio::test]
async fn what_does_not_exist_says_so() {
    let scene = Scene::start().await;
    let unrouted = scene.api(BOT, "GET", "/nope", None).await.is(404);
    assert_like(
        include_str!("../../fixtures/rest_error_404_unrouted.json"),
        &unrouted.text,
    );
    let url = format!("{}/rest/api/latest/nope", scene.simulator.base_url());
    let xml = scene.client.get(url).send().await.unwrap();
    assert_eq!(xml.headers()["content-type"], "application/xml");
    let project = scene
        .api(BOT, "GET", "/projects/NOPE/repos/demo", None)
        .await
        .is(404);
    assert_like(
        include_str!("../../fixtures/rest_error_404_project.json"),
        &project.text,
    );
    let repository = scene
        .api(BOT, "GET", "/projects/proj/repos/nope", None)
        .await
        .is(404);
    assert_eq!(
        repository.json()["errors"][0]["message"],
        "Repository PROJ/nope does not exist."
    );
    assert_like(
        include_str!("../../fixtures/rest_error_404_repo.json"),
        &repository.text,
    );
    let commit = scene.repo(BOT, "GET", "/commits/1234", None).await.is(404);
    assert_eq!(commit.exception(), "commit.NoSuchCommitException");
    scene.repo(BOT, "PATCH", "", None).await.is(405);
    scene
        .send(BOT, "GET", "/rest/api/1.0/application-properties", None)
        .await
        .is(200);
}

#[tokio::test]
async fn files_commits_and_branches_are_read() {
    let scene = Scene::start().await;
    let branches = scene.repo(READER, "GET", "/branches", None).await.is(200);
    assert_like(
        include_str!("../../fixtures/rest_branches_page.json"),
        &branches.text,
    );
    assert_eq!(
        (
            branches.json()["size"].as_u64(),
            branches.json()["values"][0]["isDefault"].as_bool()
        ),
        (Some(3), Some(true))
    );
    let commit = scene
        .repo(READER, "GET", "/commits/feature%2Fretry", None)
        .await
        .is(200);
    assert_like(include_str!("../../fixtures/rest_commit.json"), &commit.text);
    let browse = scene
        .repo(READER, "GET", "/browse/src/upload.rs?at=main&limit=2", None)
        .await
        .is(200)
        .json();
    assert_eq!(
        (
            browse["lines"][0]["text"].as_str(),
            browse["nextPageStart"].as_u64()
        ),
        (Some("fn upload() {"), Some(2))
    );
    let root = scene.repo(READER, "GET", "/browse", None).await.is(200).json();
    assert_eq!(root["children"]["size"], 2);
    scene.repo(READER, "GET", "/raw/nope?at=main", None).await.is(404);
    let changes = scene
        .repo(READER, "GET", "/commits/other/changes", None)
        .await
        .is(200);
    assert_like(include_str!("../../fixtures/rest_pr_changes.json"), &changes.text);
    assert_eq!(
        scene
            .repo(READER, "GET", "/default-branch", None)
            .await
            .is(200)
            .json()["displayId"],
        "main"
    );
    let page = scene
        .repo(READER, "GET", "/commits?until=feature/retry&limit=1", None)
        .await
        .is(200)
        .json();
    assert_eq!(
        (page["isLastPage"].as_bool(), page["nextPageStart"].as_u64()),
        (Some(false), Some(1))
    );
}

#[tokio::test]
async fn builds_are_set_by_key_and_listed_by_commit() {
    let scene = Scene::start().await;
    let head = scene.pr(BOT, "GET", "", None).await.json()["fromRef"]["latestCommit"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/commits/{head}/builds");
    let body = json!({"key": "CI-1", "state": "INPROGRESS", "url": "https://ci.example.com/1", "name": "CI", "description": "ok",
                      "ref": "refs/heads/feature/retry"});
    scene
        .repo(READER, "POST", &path, Some(body.clone()))
        .await
        .is(204);
    let mut done = body;
    done["state"] = "SUCCESSFUL".into();
    scene
        .repo(READER, "POST", &path, Some(done.clone()))
        .await
        .is(204);
    let got = scene
        .repo(BOT, "GET", &format!("{path}?key=CI-1"), None)
        .await
        .is(200);
    assert_like(include_str!("../../fixtures/rest_build_status.json"), &got.text);
    scene.repo(BOT, "GET", &path, None).await.is(400);
    done["state"] = "DONE".into();
    scene.repo(BOT, "POST", &path, Some(done.clone())).await.is(400);
    done["state"] = "FAILED".into();
    scene
        .repo(BOT, "POST", "/commits/1234/builds", Some(done))
        .await
        .is(400);
    let listed = scene
        .send(
            BOT,
            "GET",
            &format!("/rest/build-status/latest/commits/{head}"),
            None,
        )
        .await
        .is(200)
        .json();
    assert_eq!(
        (listed["size"].as_u64(), listed["values"][0]["state"].as_str()),
        (Some(1), Some("SUCCESSFUL"))
    );
    let statistics = scene
        .send(
            BOT,
            "GET",
            &format!("/rest/build-status/latest/commits/stats/{head}"),
            None,
        )
        .await
        .is(200);
    assert_like(
        include_str!("../../fixtures/rest_build_stats.json"),
        &statistics.text,
    );
    let hidden = scene
        .send(
            STRANGER,
            "GET",
            &format!("/rest/build-status/latest/commits/{head}"),
            None,
        )
        .await
        .is(200)
        .json();
    assert_eq!(hidden["size"], 0);
}

#[tokio::test]
async fn insight_reports_belong_to_their_creator() {
    let scene = Scene::start().await;
    let head = scene.pr(BOT, "GET", "", None).await.json()["fromRef"]["latestCommit"]
        .as_str()
        .unwrap()
        .to_owned();
    let report = format!("/rest/insights/latest/projects/PROJ/repos/demo/commits/{head}/reports/scan");
    let body = |title: String| Some(json!({"title": title, "result": "PASS", "data": []}));
    scene.send(BOT, "PUT", &report, body("Scan".into())).await.is(200);
    scene
        .send(BOT, "PUT", &report, body("x".repeat(451)))
        .await
        .is(400);
    scene
        .send(JANE, "PUT", &report, body("Mine".into()))
        .await
        .is(401);
    let annotation =
        json!({"message": "m", "severity": "LOW", "type": "BUG", "path": "src/upload.rs", "line": 3});
    let many = |count| Some(json!({"annotations": vec![annotation.clone(); count]}));
    scene
        .send(BOT, "POST", &format!("{report}/annotations"), many(2))
        .await
        .is(204);
    scene
        .send(BOT, "POST", &format!("{report}/annotations"), many(999))
        .await
        .is(400);
    let listed = scene
        .send(JANE, "GET", &format!("{report}/annotations"), None)
        .await
        .is(200)
        .json();
    assert_eq!(
        (
            listed["totalCount"].as_u64(),
            listed["annotations"][0]["reportKey"].as_str()
        ),
        (Some(2), Some("scan"))
    );
    scene.send(BOT, "DELETE", &report, None).await.is(204);
    scene.send(JANE, "GET", &report, None).await.is(404);
}

#[tokio::test]
async fn projects_and_repositories_are_made_listed_and_forked() {
    let scene = Scene::start().await;
    scene
        .api(JANE, "POST", "/projects", Some(json!({"key": "NEW"})))
        .await
        .is(401);
    scene
        .api(
            ROOT,
            "POST",
            "/projects",
            Some(json!({"key": "NEW", "name": "New"})),
        )
        .await
        .is(201);
    scene
        .api(ROOT, "POST", "/projects", Some(json!({"key": "new"})))
        .await
        .is(409);
    scene
        .api(
            ROOT,
            "POST",
            "/projects/NEW/repos",
            Some(json!({"name": "My App"})),
        )
        .await
        .is(201);
    let empty = scene
        .api(ROOT, "GET", "/projects/NEW/repos/my_app/default-branch", None)
        .await
        .is(404);
    assert_eq!(empty.exception(), "repository.NoSuchBranchException");
    let fork = scene
        .repo(JANE, "POST", "", Some(json!({"name": "demo"})))
        .await
        .is(201)
        .json();
    assert_eq!(
        (fork["project"]["key"].as_str(), fork["origin"]["id"].as_u64()),
        (Some("~JCITIZEN"), Some(84))
    );
    let writable = scene
        .api(
            BOT,
            "GET",
            "/repos?projectkey=PROJ&name=dem&permission=REPO_WRITE&archived=ALL",
            None,
        )
        .await
        .json();
    assert_eq!(
        (writable["size"].as_u64(), writable["values"][0]["id"].as_u64()),
        (Some(1), Some(84))
    );
    let read_only = scene
        .api(READER, "GET", "/repos?permission=REPO_WRITE", None)
        .await
        .json();
    assert_eq!(read_only["size"], 0);
    assert_eq!(scene.api(ROOT, "GET", "/projects", None).await.json()["size"], 3);
}

#[tokio::test]
async fn forms_need_the_xsrf_header() {
    let scene = Scene::start().await;
    let url = format!("{}/rest/api/latest/markup/preview", scene.simulator.base_url());
    let post = |kind: &'static str| {
        scene
            .client
            .post(&url)
            .bearer_auth("bot-t")
            .header("Content-Type", kind)
            .body("**x**")
    };
    assert_eq!(
        post("application/x-www-form-urlencoded")
            .send()
            .await
            .unwrap()
            .status(),
        403
    );
    let allowed = post("application/x-www-form-urlencoded")
        .header("X-Atlassian-Token", "no-check")
        .send()
        .await
        .unwrap();
    assert_eq!(
        allowed.json::<serde_json::Value>().await.unwrap()["html"],
        "<p><strong>x</strong></p>\n"
    );
    assert_eq!(post("text/plain").send().await.unwrap().status(), 200);
}
