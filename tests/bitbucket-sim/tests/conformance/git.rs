//! Item 14: git over HTTP, with git's own client.

use bitbucket_sim::Payloads;
use serde_json::json;

use crate::scene::{JANE, READER, ROOT, Scene, world};

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_push_moves_the_pull_request_but_not_its_version() {
    let scene = Scene::start().await;
    let before = scene.pr(JANE, "GET", "", None).await.json();
    let clone = scene.cloned("jane-t", "feature/retry", "clone").await;
    assert!(
        scene
            .push_file("jane-t", &clone, "new.txt")
            .await
            .status
            .success()
    );
    let head = scene.git("jane-t", &clone, &["rev-parse", "HEAD"]).await.stdout;
    let head = String::from_utf8(head).unwrap().trim().to_owned();
    let after = scene.pr(JANE, "GET", "", None).await.json();
    assert_eq!(after["fromRef"]["latestCommit"], head);
    assert_eq!(after["version"], before["version"]);
    assert!(after["updatedDate"].as_i64() >= before["updatedDate"].as_i64());
    let rescoped = scene.pr(JANE, "GET", "/activities", None).await.json()["values"][0].clone();
    assert_eq!(
        (rescoped["action"].as_str(), rescoped["added"]["total"].as_u64()),
        (Some("RESCOPED"), Some(1))
    );
    assert_eq!(rescoped["previousFromHash"], before["fromRef"]["latestCommit"]);
    let refs = scene
        .git(
            "jane-t",
            &clone,
            &["ls-remote", "origin", "refs/pull-requests/7/from"],
        )
        .await;
    assert!(String::from_utf8_lossy(&refs.stdout).starts_with(&head));
}

#[tokio::test]
async fn a_second_push_from_an_old_head_is_rejected_as_non_fast_forward() {
    let scene = Scene::start().await;
    let one = scene.cloned("jane-t", "feature/retry", "one").await;
    let two = scene.cloned("bot-t", "feature/retry", "two").await;
    assert!(scene.push_file("jane-t", &one, "one.txt").await.status.success());
    let refused = scene.push_file("bot-t", &two, "two.txt").await;
    assert!(
        !refused.status.success() && said(&refused).contains("[rejected]"),
        "{}",
        said(&refused)
    );
}

#[tokio::test]
async fn a_hook_refuses_a_push_with_its_text_below_the_banner() {
    let scene = Scene::start().await;
    let text = "Branch refs/heads/feature/retry can only be modified through pull requests.";
    scene
        .control("PUT", "faults", Some(json!([{"push_reject": text, "count": 1}])))
        .await
        .is(200);
    let clone = scene.cloned("jane-t", "feature/retry", "clone").await;
    let refused = scene.push_file("jane-t", &clone, "new.txt").await;
    let said = said(&refused);
    assert!(!refused.status.success());
    assert!(said.contains(&format!("remote: {text}")), "{said}");
    assert!(
        said.contains("remote: -----") && said.contains("(pre-receive hook declined)"),
        "{said}"
    );
    let again = scene
        .git("jane-t", &clone, &["push", "-q", "origin", "HEAD"])
        .await;
    assert!(again.status.success());
}

#[tokio::test]
async fn pull_request_refs_can_be_fetched_but_not_pushed() {
    let scene = Scene::start().await;
    let clone = scene.cloned("jane-t", "main", "clone").await;
    let fetched = scene
        .git(
            "jane-t",
            &clone,
            &[
                "fetch",
                "-q",
                "origin",
                "refs/pull-requests/7/from:pr",
                "refs/pull-requests/7/merge:merged",
            ],
        )
        .await;
    assert!(fetched.status.success(), "{}", said(&fetched));
    let merged = scene
        .git("jane-t", &clone, &["show", "merged:src/upload.rs"])
        .await;
    assert!(String::from_utf8_lossy(&merged.stdout).contains("Ok(())"));
    let pushed = scene
        .git(
            "jane-t",
            &clone,
            &["push", "-q", "origin", "main:refs/pull-requests/7/from"],
        )
        .await;
    assert!(!pushed.status.success());
}

#[tokio::test]
async fn the_merge_ref_is_missing_while_there_are_conflicts() {
    let scene = Scene::start().await;
    let clone = scene.cloned("jane-t", "main", "clone").await;
    std::fs::write(clone.join("src/upload.rs"), "other\n").unwrap();
    assert!(
        scene
            .git("jane-t", &clone, &["commit", "-qam", "clash"])
            .await
            .status
            .success()
    );
    assert!(
        scene
            .git("jane-t", &clone, &["push", "-q", "origin", "main"])
            .await
            .status
            .success()
    );
    // The check brings the ref up to date, as in Bitbucket; until then it may lag.
    let check = scene.pr(JANE, "GET", "/merge", None).await.is(200).json();
    assert_eq!(check["conflicted"], true);
    let refs = scene
        .git("jane-t", &clone, &["ls-remote", "origin", "refs/pull-requests/*"])
        .await;
    let refs = String::from_utf8_lossy(&refs.stdout).into_owned();
    assert!(
        refs.contains("refs/pull-requests/7/from") && !refs.contains("/merge"),
        "{refs}"
    );
}

#[tokio::test]
async fn a_pull_request_from_a_fork_has_its_source_in_the_target() {
    let mut world = world();
    world["repositories"]
        .as_array_mut()
        .unwrap()
        .push(json!({"project": "~reader", "slug": "demo", "fork_of": "PROJ/demo"}));
    world["pull_requests"].as_array_mut().unwrap().push(
        json!({"repository": "PROJ/demo", "from_repository": "~reader/demo",
        "from": "other", "to": "main", "author": "reader", "title": "From my fork"}),
    );
    let scene = Scene::with(world, "", Payloads::V9).await;
    let pr = scene
        .repo(JANE, "GET", "/pull-requests/8", None)
        .await
        .is(200)
        .json();
    assert_eq!(pr["fromRef"]["repository"]["project"]["key"], "~READER");
    assert_eq!(pr["fromRef"]["repository"]["origin"]["slug"], "demo");
    let url = scene.clone_url().replace("/scm/proj/", "/scm/~reader/");
    let clone = scene.path("fork");
    let cloned = scene
        .git(
            "reader-t",
            clone.parent().unwrap(),
            &["clone", "-q", "-b", "other", &url, "fork"],
        )
        .await;
    assert!(cloned.status.success(), "{}", said(&cloned));
    assert!(
        scene
            .push_file("reader-t", &clone, "new.txt")
            .await
            .status
            .success()
    );
    let target = scene.cloned("jane-t", "main", "target").await;
    let fetched = scene
        .git(
            "jane-t",
            &target,
            &["fetch", "-q", "origin", "refs/pull-requests/8/from:pr"],
        )
        .await;
    assert!(fetched.status.success(), "{}", said(&fetched));
    let refused = scene
        .git("jane-t", &target, &["push", "-q", &url, "main:new"])
        .await;
    assert!(
        !refused.status.success(),
        "whoever cannot write to the fork cannot push to it"
    );
}

#[tokio::test]
async fn reading_is_not_enough_to_push() {
    let scene = Scene::start().await;
    let clone = scene.cloned("reader-t", "feature/retry", "clone").await;
    let refused = scene.push_file("reader-t", &clone, "new.txt").await;
    assert!(said(&refused).contains("403"), "{}", said(&refused));
    let hidden = scene.git("stranger-t", &clone, &["ls-remote", "origin"]).await;
    assert!(said(&hidden).contains("not found"), "{}", said(&hidden));
    let unknown = scene.git("wrong", &clone, &["ls-remote", "origin"]).await;
    assert!(
        said(&unknown).contains("Authentication failed"),
        "{}",
        said(&unknown)
    );
}

#[tokio::test]
async fn shallow_and_partial_clones_and_large_pushes_work() {
    let scene = Scene::start().await;
    let url = scene.clone_url();
    let directory = scene.path("");
    let args = [
        "clone",
        "-q",
        "--depth",
        "1",
        "--filter=blob:none",
        "-b",
        "feature/retry",
        &url,
        "small",
    ];
    let cloned = scene.git("jane-t", &directory, &args).await;
    assert!(cloned.status.success(), "{}", said(&cloned));
    let clone = scene.cloned("jane-t", "feature/retry", "clone").await;
    // Incompressible, larger than git's post buffer: sent chunked.
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    })
    .take(3 << 20)
    .collect();
    std::fs::write(clone.join("noise.bin"), noise).unwrap();
    let pushed = scene.push_file("jane-t", &clone, "new.txt").await;
    assert!(pushed.status.success(), "{}", said(&pushed));
}

#[tokio::test]
async fn deleting_the_source_branch_leaves_the_pull_request_open() {
    let scene = Scene::start().await;
    let before = scene.pr(JANE, "GET", "", None).await.json();
    let clone = scene.cloned("jane-t", "main", "clone").await;
    assert!(
        scene
            .git("jane-t", &clone, &["push", "-q", "origin", ":feature/retry"])
            .await
            .status
            .success()
    );
    let after = scene.pr(JANE, "GET", "", None).await.is(200).json();
    assert_eq!(
        (&after["state"], &after["fromRef"]["latestCommit"]),
        (&json!("OPEN"), &before["fromRef"]["latestCommit"])
    );
    let branches = scene
        .repo(JANE, "GET", "/branches?filterText=retry", None)
        .await
        .json();
    assert_eq!(branches["size"], 0);
}

#[tokio::test]
async fn pushing_the_source_to_the_target_merges_from_outside() {
    let scene = Scene::start().await;
    let clone = scene.cloned("jane-t", "feature/retry", "clone").await;
    assert!(
        scene
            .git("jane-t", &clone, &["push", "-q", "origin", "HEAD:main"])
            .await
            .status
            .success()
    );
    let pr = scene.pr(JANE, "GET", "", None).await.json();
    assert_eq!(
        (pr["state"].as_str(), pr.get("properties")),
        (Some("MERGED"), None)
    );
}

#[tokio::test]
async fn an_archived_repository_refuses_pushes() {
    let scene = Scene::start().await;
    let clone = scene.cloned("jane-t", "feature/retry", "clone").await;
    scene
        .repo(ROOT, "PUT", "", Some(json!({"archived": true})))
        .await
        .is(201);
    let refused = scene.push_file("jane-t", &clone, "new.txt").await;
    assert!(said(&refused).contains("archived"), "{}", said(&refused));
}

#[tokio::test]
async fn branches_are_made_and_deleted_by_rest_too() {
    let scene = Scene::start().await;
    let path = "/rest/branch-utils/latest/projects/PROJ/repos/demo/branches";
    let body = |name: &str| Some(json!({"name": name, "startPoint": "refs/heads/main"}));
    scene.send(READER, "POST", path, body("new")).await.is(401);
    let made = scene.send(JANE, "POST", path, body("new")).await.is(201).json();
    assert_eq!(made["displayId"], "new");
    let again = scene.send(JANE, "POST", path, body("new")).await.is(400);
    assert_eq!(again.exception(), "repository.DuplicateRefException");
    scene
        .send(
            JANE,
            "DELETE",
            path,
            Some(json!({"name": "refs/heads/new", "endPoint": "0".repeat(40)})),
        )
        .await
        .is(400);
    scene
        .send(JANE, "DELETE", path, Some(json!({"name": "refs/heads/new"})))
        .await
        .is(204);
    scene.repo(JANE, "GET", "/commits/new", None).await.is(404);
}
