//! Item 4: the payloads of both flavours.

use bitbucket_sim::Payloads;
use serde_json::{Value, json};

use crate::scene::{BOT, JANE, Receiver, Scene, world};
use crate::shape::assert_like;

const ALL: [&str; 13] = [
    "pr:comment:added",
    "pr:comment:edited",
    "pr:comment:deleted",
    "pr:opened",
    "pr:modified",
    "pr:from_ref_updated",
    "pr:merged",
    "pr:declined",
    "pr:deleted",
    "pr:reviewer:updated",
    "pr:reviewer:needs_work",
    "repo:refs_changed",
    "repo:modified",
];

macro_rules! fixture {
    ($flavour:literal, $name:literal) => {
        include_str!(concat!("../../fixtures/webhook_", $flavour, "_", $name, ".json"))
    };
}

/// Does what there is an event for, and compares each payload with its fixture.
struct Comparison<'f> {
    scene: Scene,
    receiver: Receiver,
    fixtures: std::slice::Iter<'f, (&'static str, &'static str)>,
}

async fn compare(payloads: Payloads, fixtures: &[(&'static str, &'static str)]) {
    let scene = Scene::with(world(), "", payloads).await;
    let receiver = Receiver::start().await;
    scene.webhook(&receiver, &ALL).await;
    let mut comparison = Comparison {
        scene,
        receiver,
        fixtures: fixtures.iter(),
    };
    comparison.comments().await;
    comparison.branches().await;
    comparison.reviewers().await;
    comparison.transitions().await;
    assert_eq!(comparison.fixtures.len(), 0, "every fixture was compared");
}

impl Comparison<'_> {
    /// The next payload, which looks like the next fixture.
    async fn next(&mut self) -> Value {
        self.next_where(|_| true).await
    }

    /// The next payload of the next fixture's event that is the one meant: io threads keep no order.
    async fn next_where(&mut self, is_meant: impl Fn(&Value) -> bool) -> Value {
        let (key, fixture) = self.fixtures.next().expect("a fixture for every step");
        loop {
            let delivery = self.receiver.next_of(key).await;
            if is_meant(&delivery.json()) {
                assert_like(fixture, &delivery.body);
                return delivery.json();
            }
        }
    }

    async fn comments(&mut self) {
        let root = self
            .scene
            .comment(JANE, json!({"text": "@openhands please add a test"}))
            .await;
        assert!(self.next().await.get("commentParentId").is_none());
        let anchor = json!({"path": "src/upload.rs", "line": 3, "lineType": "ADDED"});
        self.scene
            .comment(JANE, json!({"text": "inline", "anchor": anchor}))
            .await;
        let inline = self.next().await;
        assert!(
            !inline.to_string().contains("nchor"),
            "a payload has no anchor: {inline}"
        );
        self.scene
            .comment(BOT, json!({"text": "yes", "parent": {"id": root["id"]}}))
            .await;
        assert_eq!(self.next().await["commentParentId"], root["id"]);
        let path = format!("/comments/{}", root["id"]);
        self.scene
            .pr(
                JANE,
                "PUT",
                &path,
                Some(json!({"text": "two tests", "version": 0})),
            )
            .await
            .is(200);
        assert_eq!(
            self.next().await["previousComment"],
            "@openhands please add a test"
        );
        self.scene
            .pr(
                BOT,
                "PUT",
                &path,
                Some(json!({"threadResolved": true, "version": 1})),
            )
            .await
            .is(200);
        let resolved = self.next().await;
        assert_eq!(
            (&resolved["previousComment"], &resolved["comment"]["text"]),
            (&json!("two tests"), &json!("two tests"))
        );
        let path = format!("/comments/{}?version=0", inline["comment"]["id"]);
        self.scene.pr(JANE, "DELETE", &path, None).await.is(204);
        self.next().await;
    }

    async fn branches(&mut self) {
        let clone = self.scene.cloned("jane-t", "feature/retry", "clone").await;
        assert!(
            self.scene
                .push_file("jane-t", &clone, "new.txt")
                .await
                .status
                .success()
        );
        self.next().await;
        let deleted = self
            .scene
            .git("jane-t", &clone, &["push", "-q", "origin", ":other"])
            .await;
        assert!(deleted.status.success());
        let told = self
            .next_where(|payload| payload["changes"][0]["type"] == "DELETE")
            .await;
        assert_eq!(told["changes"][0]["toHash"], "0".repeat(40));
    }

    async fn reviewers(&mut self) {
        let opinion = json!({"status": "NEEDS_WORK"});
        self.scene
            .pr(BOT, "PUT", "/participants/openhands", Some(opinion))
            .await
            .is(200);
        assert_eq!(self.next().await["previousStatus"], "UNAPPROVED");
        let update = json!({"title": "Better", "description": "d", "version": 0, "reviewers": [{"user": {"name": "openhands"}}]});
        self.scene.pr(JANE, "PUT", "", Some(update)).await.is(200);
        assert_eq!(self.next().await["previousTitle"], "Add retry to the uploader");
        let other = json!({"description": "d", "version": 1, "reviewers": [{"user": {"name": "reader"}}]});
        self.scene.pr(JANE, "PUT", "", Some(other)).await.is(200);
        let told = self.next().await;
        assert_eq!(
            (
                &told["addedReviewers"][0]["name"],
                &told["removedReviewers"][0]["name"]
            ),
            (&json!("reader"), &json!("openhands"))
        );
    }

    async fn transitions(&mut self) {
        self.scene
            .pr(JANE, "POST", "/decline?version=2", Some(json!({})))
            .await
            .is(200);
        self.next().await;
        self.scene
            .pr(JANE, "POST", "/reopen?version=3", Some(json!({})))
            .await
            .is(200);
        self.scene
            .pr(JANE, "POST", "/merge?version=4", Some(json!({})))
            .await
            .is(200);
        assert!(self.next().await["pullRequest"]["properties"]["mergeCommit"]["id"].is_string());
    }
}

macro_rules! fixtures {
    ($flavour:literal) => {
        [
            ("pr:comment:added", fixture!($flavour, "pr_comment_added")),
            ("pr:comment:added", fixture!($flavour, "pr_comment_added")),
            ("pr:comment:added", fixture!($flavour, "pr_comment_added_reply")),
            ("pr:comment:edited", fixture!($flavour, "pr_comment_edited")),
            (
                "pr:comment:edited",
                fixture!($flavour, "pr_comment_edited_thread_resolved"),
            ),
            ("pr:comment:deleted", fixture!($flavour, "pr_comment_deleted")),
            ("pr:from_ref_updated", fixture!($flavour, "pr_from_ref_updated")),
            ("repo:refs_changed", REFS_DELETED),
            (
                "pr:reviewer:needs_work",
                fixture!($flavour, "pr_reviewer_needs_work"),
            ),
            ("pr:modified", fixture!($flavour, "pr_modified")),
            ("pr:reviewer:updated", fixture!($flavour, "pr_reviewer_updated")),
            ("pr:declined", fixture!($flavour, "pr_declined")),
            ("pr:merged", fixture!($flavour, "pr_merged")),
        ]
    };
}

#[tokio::test]
async fn payloads_of_9_x_have_the_fixtures_keys_order_and_types() {
    const REFS_DELETED: &str = fixture!("9x", "repo_refs_changed_delete");
    compare(Payloads::V9, &fixtures!("9x")).await;
}

#[tokio::test]
async fn payloads_of_10_x_have_the_fixtures_keys_order_and_types() {
    const REFS_DELETED: &str = r#"{"date":"","actor":null,"eventKey":"","changes":[],"repository":null}"#;
    compare(Payloads::V10, &fixtures!("10x")).await;
}

#[tokio::test]
async fn a_push_is_told_with_its_commits() {
    for (payloads, fixture) in [
        (Payloads::V9, fixture!("9x", "repo_refs_changed")),
        (Payloads::V10, fixture!("10x", "repo_refs_changed")),
    ] {
        let scene = Scene::with(world(), "", payloads).await;
        let receiver = Receiver::start().await;
        scene.webhook(&receiver, &["repo:refs_changed"]).await;
        let clone = scene.cloned("jane-t", "feature/retry", "clone").await;
        assert!(
            scene
                .push_file("jane-t", &clone, "new.txt")
                .await
                .status
                .success()
        );
        let delivery = receiver.next().await;
        assert_like(fixture, &delivery.body);
        let json = delivery.json();
        assert_eq!(json["commits"].as_array().unwrap().len(), 1);
        assert_eq!(json["toCommit"]["id"], json["changes"][0]["toHash"]);
        assert!(json["toCommit"]["parents"][0]["message"].is_string());
    }
}

#[tokio::test]
async fn mixed_payloads_alternate() {
    let scene = Scene::with(world(), "", Payloads::Mixed).await;
    let receiver = Receiver::start().await;
    scene.webhook(&receiver, &["pr:comment:added"]).await;
    let mut kinds = Vec::new();
    for text in ["a", "b"] {
        scene.comment(JANE, json!({"text": text})).await;
        kinds.push(receiver.next().await.json()["comment"]["createdDate"].is_string());
    }
    assert_eq!(kinds, [false, true]);
}
