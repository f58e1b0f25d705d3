//! Pull requests, diffs, branches and builds.

use http::Method;
use serde_json::json;

use crate::world::{PR, World, demo, sandbox};

#[tokio::test]
async fn a_pull_request_is_read_from_a_project_and_from_a_person() {
    let world = World::start().await;
    for repository in [demo(), sandbox()] {
        let pull_request = world.bot().pull_request(&repository, PR).await.unwrap();
        assert!(pull_request.open && !pull_request.is_from_fork());
        assert_eq!(pull_request.to_ref.repository.id, repository.id);
        assert_eq!(pull_request.from_ref.id, "refs/heads/feature/x");
        assert_eq!(
            pull_request.author.map(|author| author.name),
            Some("alice".to_owned())
        );
    }
}

#[tokio::test]
async fn the_diff_and_the_changed_files_agree() {
    let world = World::start().await;
    let bot = world.bot();
    let diff = bot.diff(&demo(), PR, 1 << 20).await.unwrap();
    assert!(
        diff.text.contains("-fn two() {}") && diff.text.contains("+fn three() {}"),
        "{}",
        diff.text
    );
    assert!(!diff.truncated);
    let cut = bot.diff(&demo(), PR, 40).await.unwrap();
    assert!(
        cut.truncated && diff.text.starts_with(&cut.text) && cut.text.len() <= 40,
        "{cut:?}"
    );
    let changes = bot.changes(&demo(), PR).await.unwrap();
    let files: Vec<_> = changes
        .files
        .iter()
        .map(|file| (file.kind.as_str(), file.path.as_str()))
        .collect();
    assert_eq!(files, [("MODIFY", "a.rs"), ("ADD", "b.rs")]);
}

#[tokio::test]
async fn a_file_is_read_at_a_commit_as_far_as_asked_for() {
    let world = World::start().await;
    let bot = world.bot();
    let pull_request = bot.pull_request(&demo(), PR).await.unwrap();
    let (source, target) = (
        &pull_request.from_ref.latest_commit,
        &pull_request.to_ref.latest_commit,
    );
    let read = |commit, path: &'static str, bytes_max| {
        let bot = bot.clone();
        async move { bot.file(&demo(), commit, path, bytes_max).await.unwrap() }
    };
    let file = read(source, "b.rs", 1_000).await.unwrap();
    assert!(!file.truncated && !file.bytes.is_empty());
    assert_eq!(read(target, "b.rs", 1_000).await, None, "only the source has it");
    assert_eq!(read(source, "folder/none at all.rs", 1_000).await, None);
    let cut = read(source, "b.rs", 3).await.unwrap();
    assert!(cut.truncated && cut.bytes == file.bytes[..3]);
}

#[tokio::test]
async fn the_head_of_a_branch_is_found_until_the_branch_is_gone() {
    let world = World::start().await;
    let bot = world.bot();
    let pull_request = bot.pull_request(&demo(), PR).await.unwrap();
    let head = bot.branch_head(&demo(), "refs/heads/feature/x").await.unwrap();
    assert_eq!(head, Some(pull_request.from_ref.latest_commit));
    assert_eq!(
        bot.branch_head(&demo(), "refs/heads/feature").await.unwrap(),
        None
    );
}

#[tokio::test]
async fn builds_of_a_commit_are_listed() {
    let world = World::start().await;
    let bot = world.bot();
    let commit = bot
        .pull_request(&demo(), PR)
        .await
        .unwrap()
        .from_ref
        .latest_commit;
    assert_eq!(bot.build_statuses(&commit).await.unwrap(), []);
    let build = json!({"key": "CI-1", "state": "FAILED", "url": "https://ci.example.test/1", "name": "unit"});
    world
        .rest(
            "alice-t",
            Method::POST,
            &format!("commits/{commit}/builds"),
            &build,
        )
        .await;
    let [build] = bot.build_statuses(&commit).await.unwrap().try_into().unwrap();
    assert_eq!((build.key.as_str(), build.state.as_str()), ("CI-1", "FAILED"));
    assert_eq!(build.name.as_deref(), Some("unit"));
}

#[tokio::test]
async fn a_declined_pull_request_is_not_open() {
    let world = World::start().await;
    let version = world.bot().pull_request(&demo(), PR).await.unwrap().version;
    let path = format!("pull-requests/1/decline?version={version}");
    world.rest("alice-t", Method::POST, &path, &json!({})).await;
    let declined = world.bot().pull_request(&demo(), PR).await.unwrap();
    assert!(!declined.open);
    assert_eq!(declined.state, "DECLINED");
}
