//! Items 3 and 12: activities and paging.

use serde_json::{Value, json};

use crate::scene::{BOT, JANE, Scene};
use crate::shape::assert_like;

#[tokio::test]
async fn activities_look_as_bitbucket_shows_them() {
    let scene = Scene::start().await;
    let clone = scene.cloned("jane-t", "feature/retry", "clone").await;
    assert!(
        scene
            .push_file("jane-t", &clone, "new.txt")
            .await
            .status
            .success()
    );
    let anchor = json!({"path": "src/upload.rs", "line": 3, "lineType": "ADDED", "fileType": "TO"});
    let root = scene
        .comment(JANE, json!({"text": "Why?", "anchor": anchor}))
        .await;
    scene
        .comment(BOT, json!({"text": "+1", "parent": {"id": root["id"]}}))
        .await;
    let page = scene
        .pr(
            JANE,
            "GET",
            &format!("/activities?fromType=COMMENT&fromId={}", root["id"]),
            None,
        )
        .await
        .is(200);
    let fixture: Value =
        serde_json::from_str(include_str!("../../fixtures/rest_activities_page.json")).unwrap();
    let found = page.json();
    for (expected, actual) in fixture["values"]
        .as_array()
        .unwrap()
        .iter()
        .zip(found["values"].as_array().unwrap())
    {
        assert_like(&expected.to_string(), &actual.to_string());
    }
    assert_eq!(found["values"][0]["diff"]["properties"]["current"], true);
    let marked = found.to_string().matches("\"commentIds\"").count();
    assert_eq!(marked, 1);
}

#[tokio::test]
async fn the_same_comment_repeats_and_replies_are_nested() {
    let scene = Scene::start().await;
    let root = scene.comment(JANE, json!({"text": "one"})).await;
    let reply = scene
        .comment(BOT, json!({"text": "two", "parent": {"id": root["id"]}}))
        .await;
    scene
        .pr(
            JANE,
            "PUT",
            &format!("/comments/{}", root["id"]),
            Some(json!({"text": "ONE", "version": 0})),
        )
        .await
        .is(200);
    let page = scene.pr(JANE, "GET", "/activities", None).await.is(200).json();
    let seen: Vec<(String, u64)> = page["values"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|activity| activity["action"] == "COMMENTED")
        .map(|activity| {
            (
                activity["commentAction"].as_str().unwrap().to_owned(),
                activity["comment"]["id"].as_u64().unwrap(),
            )
        })
        .collect();
    let (root, reply) = (root["id"].as_u64().unwrap(), reply["id"].as_u64().unwrap());
    assert_eq!(
        seen,
        [
            ("EDITED".into(), root),
            ("REPLIED".into(), reply),
            ("ADDED".into(), root)
        ]
    );
    assert_eq!(page["values"][2]["comment"]["comments"][0]["id"], reply);
    assert_eq!(page["values"][2]["comment"]["text"], "ONE");
    scene
        .pr(BOT, "DELETE", &format!("/comments/{reply}?version=0"), None)
        .await
        .is(204);
    let page = scene.pr(JANE, "GET", "/activities", None).await.json();
    assert_eq!(
        (
            page["values"][0]["commentAction"].as_str(),
            page["values"][0]["comment"]["text"].as_str()
        ),
        (Some("DELETED"), Some("two"))
    );
}

#[tokio::test]
async fn pages_are_clamped_and_the_next_start_jumps_over_what_is_hidden() {
    let scene = Scene::start().await;
    for number in 0..4 {
        let state = if number % 2 == 0 { "OPEN" } else { "PENDING" };
        scene
            .comment(JANE, json!({"text": format!("{number}"), "state": state}))
            .await;
    }
    let page = scene
        .pr(BOT, "GET", "/activities?limit=100000", None)
        .await
        .json();
    assert_eq!(
        (
            page["limit"].as_u64(),
            page["size"].as_u64(),
            page["isLastPage"].as_bool()
        ),
        (Some(500), Some(3), Some(true))
    );
    assert!(page.get("nextPageStart").is_none());
    // Newest first: a pending comment, one that can be seen, a pending one, one that can be seen, the opening.
    let page = scene.pr(BOT, "GET", "/activities?limit=1", None).await.json();
    assert_eq!(
        (
            page["values"][0]["comment"]["text"].as_str(),
            page["nextPageStart"].as_u64()
        ),
        (Some("2"), Some(3))
    );
    let page = scene
        .pr(BOT, "GET", "/activities?limit=1&start=3", None)
        .await
        .json();
    assert_eq!(
        (
            page["values"][0]["comment"]["text"].as_str(),
            page["nextPageStart"].as_u64()
        ),
        (Some("0"), Some(4))
    );
    let commits = scene.pr(BOT, "GET", "/commits?limit=5000", None).await.json();
    assert_eq!(commits["limit"], 100);
    let users = scene.api(BOT, "GET", "/users?limit=5000", None).await.json();
    assert_eq!(users["limit"], 1000);
}
