//! World documents: additive, all or nothing.

use serde_json::{Value, json};

use crate::scene::{BOT, JANE, Scene, world};

#[tokio::test]
async fn a_wrong_document_changes_nothing_and_lists_every_problem() {
    let scene = Scene::start().await;
    let before = scene.control("GET", "world", None).await.json();
    let wrong = json!({
        "users": [{"name": "new", "tokens": [{"token": "x", "permission": "EVERYTHING"}]}],
        "groups": [{"name": "g", "members": ["nobody"]}],
        "repositories": [{"project": "NOPE", "slug": "s"}, {"project": "PROJ", "slug": "t", "id": 84}],
        "pull_requests": [{"repository": "PROJ/demo", "from": "nope", "to": "main", "author": "jcitizen", "title": "T"}],
    });
    let problems = scene.control("POST", "world", Some(wrong)).await.is(400).json();
    assert_eq!(problems["problems"].as_array().unwrap().len(), 5, "{problems}");
    assert_eq!(scene.control("GET", "world", None).await.json(), before);
    scene
        .control("POST", "world", Some(json!({"user": []})))
        .await
        .is(400);
}

#[tokio::test]
async fn a_problem_that_only_git_finds_leaves_no_repository_behind() {
    let scene = Scene::start().await;
    std::fs::write(scene.path("no.bundle"), "this is no bundle").unwrap();
    let wrong = json!({"users": [{"name": "new"}],
        "repositories": [{"project": "PROJ", "slug": "b", "bundle": scene.path("no.bundle")}]});
    scene.control("POST", "world", Some(wrong)).await.is(400);
    let names: Value = scene.control("GET", "world", None).await.json();
    assert!(!names.to_string().contains("\"new\"") && !names.to_string().contains("\"b\""));
    let left = std::fs::read_dir(scene.path("data/repositories"))
        .unwrap()
        .count();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn documents_add_to_the_world() {
    let scene = Scene::start().await;
    let more = json!({
        "users": [{"name": "carol", "tokens": [{"token": "carol-t", "permission": "REPO_READ"}]}],
        "groups": [{"name": "dev", "members": ["carol"]}],
        "repositories": [{"project": "PROJ", "slug": "demo", "branches": {"later": {"from": "main", "files": {"l": "l"}}}}],
        "pull_requests": [{"repository": "PROJ/demo", "from": "later", "to": "main", "author": "carol", "title": "Later"}],
    });
    let added = scene.control("POST", "world", Some(more)).await.is(201).json();
    assert_eq!(
        (
            added["users"][0]["id"].as_u64(),
            added["pull_requests"][0]["id"].as_u64()
        ),
        (Some(4), Some(8))
    );
    assert_eq!(added["repositories"][0]["clone_url"], scene.clone_url());
    scene
        .repo(
            crate::scene::By::Token("carol-t"),
            "GET",
            "/pull-requests/8",
            None,
        )
        .await
        .is(200);
    scene.pr(JANE, "GET", "", None).await.is(200);
}

#[tokio::test]
async fn the_same_document_gives_the_same_commits() {
    let commits = async || {
        let scene = Scene::start().await;
        scene.repo(BOT, "GET", "/branches", None).await.json()["values"].clone()
    };
    assert_eq!(commits().await, commits().await);
}

#[tokio::test]
async fn a_directory_or_a_bundle_can_be_a_repository() {
    let scene = Scene::start().await;
    let clone = scene.cloned("jane-t", "main", "clone").await;
    let bundle = scene.path("demo.bundle");
    let made = scene
        .git(
            "jane-t",
            &clone,
            &["bundle", "create", "-q", bundle.to_str().unwrap(), "--branches"],
        )
        .await;
    assert!(made.status.success());
    std::fs::create_dir_all(scene.path("plain/sub")).unwrap();
    std::fs::write(scene.path("plain/sub/file"), "content\n").unwrap();
    let more = json!({"repositories": [
        {"project": "PROJ", "slug": "bundled", "bundle": bundle},
        {"project": "PROJ", "slug": "plain", "directory": scene.path("plain")},
    ]});
    scene.control("POST", "world", Some(more)).await.is(201);
    let raw = scene
        .api(JANE, "GET", "/projects/PROJ/repos/bundled/raw/README", None)
        .await
        .is(200);
    assert_eq!(raw.text, "demo\n");
    let files = scene
        .api(JANE, "GET", "/projects/PROJ/repos/plain/files", None)
        .await
        .is(200)
        .json();
    assert_eq!(files["values"], json!(["sub/file"]));
}

#[tokio::test]
async fn a_reset_world_can_be_loaded_again() {
    let scene = Scene::start().await;
    scene.comment(JANE, json!({"text": "hi"})).await;
    scene.control("DELETE", "world", None).await.is(204);
    scene.pr(JANE, "GET", "", None).await.is(401);
    scene.control("POST", "world", Some(world())).await.is(201);
    assert_eq!(scene.pr(JANE, "GET", "/activities", None).await.json()["size"], 1);
    let shown = scene.control("GET", "world", None).await.json();
    assert_eq!(
        (
            shown["repositories"][0]["slug"].as_str(),
            shown["pull_requests"][0]["id"].as_u64()
        ),
        (Some("demo"), Some(7))
    );
}
