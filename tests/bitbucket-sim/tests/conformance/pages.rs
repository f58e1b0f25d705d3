//! The page and the view it reads.

use serde_json::json;

use crate::scene::{By, JANE, Scene, world};

#[tokio::test]
async fn the_page_is_one_document_without_foreign_resources() {
    let scene = Scene::with(world(), "/bitbucket", bitbucket_sim::Payloads::V9).await;
    for path in [
        "/",
        "/projects/PROJ/repos/demo/pull-requests/7",
        "/users/jcitizen/repos/demo/pull-requests/1/overview",
        "/projects/PROJ/repos/demo/commits/0123456789ab",
    ] {
        let page = scene.send(By::Nobody, "GET", path, None).await.is(200).text;
        let foreign = page.matches("http").count();
        assert_eq!(foreign, 0, "{page}");
    }
    for asset in ["/sim-page.css", "/sim-page.js"] {
        assert!(
            scene
                .send(By::Nobody, "GET", asset, None)
                .await
                .is(200)
                .text
                .len()
                > 1000
        );
    }
    scene
        .send(By::Nobody, "GET", "/projects/PROJ", None)
        .await
        .is(302);
}

#[tokio::test]
async fn the_view_shows_what_people_wrote_as_bitbucket_renders_it() {
    let scene = Scene::start().await;
    let anchor = json!({"path": "src/upload.rs", "line": 3, "lineType": "ADDED"});
    let text = "**Why** <script>x</script>\n\n[//]: # (openhands-resolver run=r n=1)";
    let root = scene.comment(JANE, json!({"text": text, "anchor": anchor})).await;
    scene
        .comment(JANE, json!({"text": "reply", "parent": {"id": root["id"]}}))
        .await;
    let path = "pull-request-view?project=proj&repo=demo&id=7";
    let view = scene.control("GET", path, None).await.is(200).json();
    let thread = &view["threads"][0];
    assert_eq!(
        thread["html"],
        "<p><strong>Why</strong> &lt;script&gt;x&lt;/script&gt;</p>\n"
    );
    assert_eq!(
        (
            thread["anchor"]["line"].as_u64(),
            thread["replies"][0]["text"].as_str()
        ),
        (Some(3), Some("reply"))
    );
    assert_eq!(
        (
            view["files"][0]["path"].as_str(),
            view["commits"].as_array().unwrap().len()
        ),
        (Some("src/upload.rs"), 1)
    );
    assert!(
        view["users"]
            .as_array()
            .unwrap()
            .iter()
            .any(|user| user["token"] == "jane-t")
    );
    let version = view["version"].as_u64().unwrap();
    let later_path = format!("{path}&after={version}&wait_ms=10000");
    let later = scene.control("GET", &later_path, None);
    let (later, _) = tokio::join!(later, scene.comment(JANE, json!({"text": "new"})));
    assert!(later.json()["version"].as_u64().unwrap() > version);
    scene
        .control("GET", "pull-request-view?project=proj&repo=demo&id=99", None)
        .await
        .is(404);
}

#[tokio::test]
async fn the_view_of_a_commit_shows_what_it_changed() {
    let scene = Scene::start().await;
    let pull_request = "pull-request-view?project=proj&repo=demo&id=7";
    let newest = scene.control("GET", pull_request, None).await.is(200).json()["commits"][0].clone();
    let id = newest["id"].as_str().unwrap();
    let path = format!("commit-view?project=proj&repo=demo&commit={id}");
    let view = scene.control("GET", &path, None).await.is(200).json();
    assert_eq!(view["commit"], newest);
    assert_eq!(view["files"][0]["path"], "src/upload.rs");
    let parent = newest["parents"][0]["id"].as_str().unwrap();
    let path = format!("commit-view?project=proj&repo=demo&commit={parent}");
    let first = scene.control("GET", &path, None).await.is(200).json();
    assert_eq!(first["commit"]["parents"].as_array().unwrap().len(), 0);
    assert_ne!(first["files"], json!([]), "a first commit adds all its files");
    for nowhere in ["repo=demo&commit=0000", "repo=none&commit=main"] {
        let path = format!("commit-view?project=proj&{nowhere}");
        scene.control("GET", &path, None).await.is(404);
    }
}
