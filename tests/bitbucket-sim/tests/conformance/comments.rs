//! Items 2, 3, 15, 16: comments, tasks, reactions, their limits and versions.

use serde_json::{Value, json};

use crate::scene::{BOT, By, JANE, READER, ROOT, Scene, world};
use crate::shape::assert_like;

const INLINE: &str = r#"{"path":"src/upload.rs","line":3,"lineType":"ADDED","fileType":"TO"}"#;

fn inline() -> Value {
    serde_json::from_str(INLINE).expect("JSON")
}

#[tokio::test]
async fn a_comment_is_created_as_bitbucket_answers_it() {
    let scene = Scene::start().await;
    let answer = scene
        .pr(BOT, "POST", "/comments", Some(json!({"text": "Working on it."})))
        .await
        .is(201);
    assert_like(
        include_str!("../../fixtures/rest_comment_created.json"),
        &answer.text,
    );
}

#[tokio::test]
async fn an_inline_comment_has_its_anchor_on_the_root_and_its_replies_inside() {
    let scene = Scene::start().await;
    let root = scene
        .comment(
            JANE,
            json!({"text": "This swallows the error.", "anchor": inline()}),
        )
        .await;
    let reply = scene
        .comment(
            BOT,
            json!({"text": "+1", "parent": {"id": root["id"]}, "anchor": inline()}),
        )
        .await;
    assert!(reply.get("anchor").is_none());
    let got = scene
        .pr(JANE, "GET", &format!("/comments/{}", root["id"]), None)
        .await
        .is(200);
    assert_like(include_str!("../../fixtures/rest_comment_inline.json"), &got.text);
    assert_eq!(got.json()["comments"][0]["id"], reply["id"]);
    let listed = scene
        .pr(JANE, "GET", "/comments?path=src/upload.rs", None)
        .await
        .is(200)
        .json();
    assert_eq!(
        (listed["size"].as_u64(), &listed["values"][0]["id"]),
        (Some(1), &root["id"])
    );
}

#[tokio::test]
async fn listing_comments_without_a_path_is_400() {
    let scene = Scene::start().await;
    scene.pr(JANE, "GET", "/comments", None).await.is(400);
}

#[tokio::test]
async fn an_anchor_must_be_a_line_of_the_diff_with_its_type() {
    let scene = Scene::start().await;
    let anchor = |line: u64, kind: &str, path: &str| json!({"text": "x", "anchor": {"path": path, "line": line, "lineType": kind}});
    for (line, kind, path) in [
        (3, "CONTEXT", "src/upload.rs"),
        (2, "ADDED", "src/upload.rs"),
        (99, "ADDED", "src/upload.rs"),
        (1, "ADDED", "README"),
    ] {
        scene
            .pr(JANE, "POST", "/comments", Some(anchor(line, kind, path)))
            .await
            .is(400);
    }
    for (line, kind) in [(2, "CONTEXT"), (3, "REMOVED"), (4, "ADDED")] {
        scene
            .pr(
                JANE,
                "POST",
                "/comments",
                Some(anchor(line, kind, "src/upload.rs")),
            )
            .await
            .is(201);
    }
    let of_file = scene
        .comment(JANE, json!({"text": "x", "anchor": {"path": "src/upload.rs"}}))
        .await;
    assert!(of_file["anchor"].get("line").is_none());
    let range = json!({"text": "x", "anchor": {"path": "src/upload.rs", "diffType": "RANGE"}});
    scene.pr(JANE, "POST", "/comments", Some(range)).await.is(400);
}

#[tokio::test]
async fn a_stale_comment_version_is_409_with_both_versions() {
    let scene = Scene::start().await;
    let comment = scene.comment(JANE, json!({"text": "one"})).await;
    let path = format!("/comments/{}", comment["id"]);
    let edited = scene
        .pr(JANE, "PUT", &path, Some(json!({"text": "two", "version": 0})))
        .await
        .is(200)
        .json();
    assert_eq!(
        (edited["version"].as_u64(), edited["text"].as_str()),
        (Some(1), Some("two"))
    );
    let stale = scene
        .pr(JANE, "PUT", &path, Some(json!({"text": "three", "version": 0})))
        .await
        .is(409);
    assert_eq!(stale.exception(), "comment.CommentOutOfDateException");
    let error = &stale.json()["errors"][0];
    assert_eq!(
        (
            error["currentVersion"].as_u64(),
            error["expectedVersion"].as_u64()
        ),
        (Some(1), Some(0))
    );
    scene
        .pr(JANE, "PUT", &path, Some(json!({"text": "three"})))
        .await
        .is(409);
    scene
        .pr(JANE, "DELETE", &format!("{path}?version=0"), None)
        .await
        .is(409);
    scene
        .pr(JANE, "DELETE", &format!("{path}?version=1"), None)
        .await
        .is(204);
    scene.pr(JANE, "GET", &path, None).await.is(404);
}

#[tokio::test]
async fn only_the_author_edits_text_and_only_a_leaf_is_deleted() {
    let scene = Scene::start().await;
    let root = scene.comment(JANE, json!({"text": "root"})).await;
    let path = format!("/comments/{}", root["id"]);
    scene
        .pr(BOT, "PUT", &path, Some(json!({"text": "mine", "version": 0})))
        .await
        .is(401);
    scene
        .pr(READER, "DELETE", &format!("{path}?version=0"), None)
        .await
        .is(401);
    let reply = scene
        .comment(READER, json!({"text": "reply", "parent": {"id": root["id"]}}))
        .await;
    scene
        .pr(JANE, "DELETE", &format!("{path}?version=0"), None)
        .await
        .is(409);
    scene
        .pr(
            ROOT,
            "DELETE",
            &format!("/comments/{}?version=0", reply["id"]),
            None,
        )
        .await
        .is(204);
    scene
        .pr(JANE, "DELETE", &format!("{path}?version=0"), None)
        .await
        .is(204);
}

#[tokio::test]
async fn a_text_over_the_limit_is_400() {
    let scene = Scene::start().await;
    scene
        .pr(
            JANE,
            "POST",
            "/comments",
            Some(json!({"text": "x".repeat(32_768)})),
        )
        .await
        .is(201);
    scene
        .pr(
            JANE,
            "POST",
            "/comments",
            Some(json!({"text": "x".repeat(32_769)})),
        )
        .await
        .is(400);
    scene
        .pr(JANE, "POST", "/comments", Some(json!({"text": " "})))
        .await
        .is(400);
}

#[tokio::test]
async fn a_database_without_four_byte_characters_fails_on_them() {
    let mut world = world();
    world["server"] = json!({"four_byte_characters": false});
    let scene = Scene::with(world, "", bitbucket_sim::Payloads::V9).await;
    scene
        .pr(JANE, "POST", "/comments", Some(json!({"text": "👀"})))
        .await
        .is(500);
    scene
        .pr(JANE, "POST", "/comments", Some(json!({"text": ":eyes: é"})))
        .await
        .is(201);
}

#[tokio::test]
async fn a_database_may_store_question_marks_instead_of_four_byte_characters() {
    let mut world = world();
    world["server"] = json!({"four_byte_characters": false, "four_byte_replaced": true});
    let scene = Scene::with(world, "", bitbucket_sim::Payloads::V9).await;
    let stored = scene
        .pr(JANE, "POST", "/comments", Some(json!({"text": "é 👀"})))
        .await
        .is(201);
    assert_eq!(stored.json()["text"], "é ????");
}

#[tokio::test]
async fn an_archived_repository_answers_409() {
    let scene = Scene::start().await;
    scene
        .repo(ROOT, "PUT", "", Some(json!({"archived": true})))
        .await
        .is(201);
    scene
        .pr(JANE, "POST", "/comments", Some(json!({"text": "x"})))
        .await
        .is(409);
}

#[tokio::test]
async fn tasks_are_blocker_comments_that_can_be_completed() {
    let scene = Scene::start().await;
    let task = scene
        .comment(JANE, json!({"text": "Add a test", "severity": "BLOCKER"}))
        .await;
    let other = scene
        .pr(
            JANE,
            "POST",
            "/blocker-comments",
            Some(json!({"text": "And docs"})),
        )
        .await
        .is(201)
        .json();
    assert_eq!(
        (task["severity"].as_str(), other["severity"].as_str()),
        (Some("BLOCKER"), Some("BLOCKER"))
    );
    let path = format!("/blocker-comments/{}", task["id"]);
    let done = scene
        .pr(
            BOT,
            "PUT",
            &path,
            Some(json!({"state": "RESOLVED", "version": 0})),
        )
        .await
        .is(200)
        .json();
    assert_eq!(
        (done["state"].as_str(), done["resolver"]["name"].as_str()),
        (Some("RESOLVED"), Some("openhands"))
    );
    let count = scene
        .pr(JANE, "GET", "/blocker-comments?count=true", None)
        .await
        .is(200)
        .json();
    assert_eq!(
        (count["OPEN"].as_u64(), count["RESOLVED"].as_u64()),
        (Some(1), Some(1))
    );
    let check = scene.pr(JANE, "GET", "/merge", None).await.is(200);
    assert_eq!(
        (
            check.json()["canMerge"].as_bool(),
            check.json()["conflicted"].as_bool()
        ),
        (Some(false), Some(false))
    );
}

#[tokio::test]
async fn pending_comments_are_their_authors_until_published() {
    let scene = Scene::start().await;
    let draft = scene
        .comment(BOT, json!({"text": "draft", "state": "PENDING"}))
        .await;
    let path = format!("/comments/{}", draft["id"]);
    scene.pr(JANE, "GET", &path, None).await.is(404);
    assert_eq!(
        scene.pr(BOT, "GET", "/review", None).await.is(200).json()["size"],
        1
    );
    scene
        .pr(
            BOT,
            "PUT",
            "/review",
            Some(json!({"participantStatus": "NEEDS_WORK"})),
        )
        .await
        .is(200);
    assert_eq!(
        scene.pr(JANE, "GET", &path, None).await.is(200).json()["state"],
        "OPEN"
    );
}

#[tokio::test]
async fn reactions_are_idempotent_and_shown_on_the_comment() {
    let scene = Scene::start().await;
    let comment = scene.comment(JANE, json!({"text": "@openhands please"})).await;
    let path = format!(
        "/rest/comment-likes/latest/projects/PROJ/repos/demo/pull-requests/7/comments/{}/reactions",
        comment["id"]
    );
    for _ in 0..2 {
        let answer = scene
            .send(BOT, "PUT", &format!("{path}/eyes"), None)
            .await
            .is(200);
        assert_like(include_str!("../../fixtures/rest_reaction.json"), &answer.text);
    }
    scene
        .send(BOT, "PUT", &format!("{path}/%2B1"), None)
        .await
        .is(200);
    let shown = |text: &str| -> Vec<String> {
        let json: Value = serde_json::from_str(text).unwrap();
        let list = json["properties"]["reactions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        list.iter()
            .map(|one| {
                format!(
                    "{}×{}",
                    one["emoticon"]["shortcut"].as_str().unwrap(),
                    one["users"].as_array().unwrap().len()
                )
            })
            .collect()
    };
    let get = || scene.pr(JANE, "GET", "/activities", None);
    assert_eq!(
        shown(&get().await.json()["values"][0]["comment"].to_string()),
        ["+1×1", "eyes×1"]
    );
    scene
        .send(BOT, "DELETE", &format!("{path}/eyes"), None)
        .await
        .is(204);
    assert_eq!(
        shown(&get().await.json()["values"][0]["comment"].to_string()),
        ["+1×1"]
    );
}

#[tokio::test]
async fn a_suggestion_becomes_a_commit_of_whoever_applies_it() {
    let scene = Scene::start().await;
    let text = "Use this:\n\n```suggestion\n    r.map_err(drop)?;\n```\n";
    let comment = scene
        .comment(BOT, json!({"text": text, "anchor": inline()}))
        .await;
    let path = format!("/comments/{}/apply-suggestion", comment["id"]);
    let body = |message: Value| {
        Some(json!({"commentVersion": 0, "pullRequestVersion": 0, "suggestionIndex": 0, "message": message}))
    };
    scene.pr(JANE, "POST", &path, body(Value::Null)).await.is(400);
    scene
        .pr(READER, "POST", &path, body("Apply".into()))
        .await
        .is(401);
    scene.pr(JANE, "POST", &path, body("Apply".into())).await.is(204);
    let raw = scene
        .repo(JANE, "GET", "/raw/src/upload.rs?at=feature/retry", None)
        .await
        .is(200);
    assert!(raw.text.contains("r.map_err(drop)?;"), "{}", raw.text);
    let commits = scene.pr(JANE, "GET", "/commits", None).await.is(200).json();
    assert_eq!(commits["values"][0]["author"]["name"], "Jane Citizen");
    scene.pr(JANE, "POST", &path, body("Again".into())).await.is(409);
}

#[tokio::test]
async fn a_deleted_users_comments_have_no_author() {
    let scene = Scene::start().await;
    let comment = scene.comment(READER, json!({"text": "bye"})).await;
    scene
        .api(
            By::Basic("root", "secret"),
            "DELETE",
            "/admin/users?name=reader",
            None,
        )
        .await
        .is(200);
    let got = scene
        .pr(JANE, "GET", &format!("/comments/{}", comment["id"]), None)
        .await
        .is(200)
        .json();
    assert!(got["author"].is_null());
    scene.pr(READER, "GET", "", None).await.is(401);
}
