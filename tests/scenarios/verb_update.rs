//! `update branch`, `rebase`, `resolve conflicts`: the target branch merged into the source branch by an ordinary push.

use serde_json::{Value, json};
use tests::git_cli;
use tests::pull_request::PullRequest;
use tests::setup::{FILE, FILE_ON_BRANCH, Setup};
use tests::world::{World, scenario, scenario_in};

/// Someone commits a file to the target branch; its new head.
async fn main_gets(pr: &PullRequest<'_>, path: &str, text: &str) -> String {
    let pushed = git_cli::commit_and_push(&pr.clone_url(), "main", path, text).await;
    pushed.unwrap()
}

async fn asks(world: &World, request: &str) -> u64 {
    world.alice().comments(1, request).await.unwrap()
}

fn parents(commit: &Value) -> Vec<&str> {
    let parents = commit["parents"].as_array().into_iter().flatten();
    parents.filter_map(|parent| parent["id"].as_str()).collect()
}

fn unruly(unruly: bool) -> Setup {
    Setup {
        unruly,
        ..Setup::default()
    }
}

fn apart() -> Setup {
    Setup {
        separate_roles: true,
        ..Setup::default()
    }
}

#[tokio::test]
async fn the_target_branch_is_merged_in_once_and_no_agent_is_asked() {
    for is_unruly in [false, true] {
        scenario_in(unruly(is_unruly), async |world| {
            let pr = world.pull_request(1);
            let (before, main) = (
                pr.head().await,
                main_gets(&pr, "notes.txt", "by a person\n").await,
            );
            let comment = asks(world, "@openhands update branch").await;
            let reply = pr.final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{}", reply.text);
            assert!(
                reply
                    .text
                    .contains(&format!("`main` at `{}` was merged in", &main[..11])),
                "{}",
                reply.text
            );
            let ours = pr.bots_commits().await;
            assert_eq!(ours.len(), 1);
            assert_eq!(parents(&ours[0]), [before.as_str(), main.as_str()]);
            assert_eq!(ours[0]["id"], pr.head().await);
            let message = ours[0]["message"].as_str().unwrap();
            assert!(message.starts_with("Merge main into feature/1\n\n"), "{message}");
            assert_eq!(pr.file("notes.txt").await, "by a person\n");
            assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH);
            assert_eq!(world.model.requests().len(), 0);
        })
        .await;
    }
}

#[tokio::test]
async fn a_branch_that_has_everything_stays_as_it_is_and_rebase_is_told_apart() {
    scenario(async |world| {
        let pr = world.pull_request(1);
        let before = pr.head().await;
        let comment = asks(world, "@openhands rebase").await;
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.contains("there is nothing to merge"), "{}", reply.text);
        assert_eq!(pr.head().await, before);

        main_gets(&pr, "notes.txt", "by a person\n").await;
        let comment = asks(world, "@openhands rebase").await;
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.contains("history is never rewritten"),
            "{}",
            reply.text
        );
        let ours = pr.bots_commits().await;
        assert_eq!(parents(&ours[0])[0], before, "a fast-forward");
    })
    .await;
}

#[tokio::test]
async fn conflicts_go_to_the_agent_and_only_they_are_taken_from_it() {
    for is_unruly in [false, true] {
        scenario_in(unruly(is_unruly), async |world| {
            let pr = world.pull_request(1);
            let before = pr.head().await;
            let theirs = "fn add(a: i32, b: i32) -> i32 {\n    a * b\n}\n";
            main_gets(&pr, "notes.txt", "by a person\n").await;
            let main = main_gets(&pr, FILE, theirs).await;
            let resolved = "fn add(a: i32, b: i32) -> i32 {\n    a - b * b\n}\n";
            let command =
                format!("grep -c '<<<<<<<' {FILE}; printf '{resolved}' > {FILE}; echo x > README.md");
            world.agent_runs(&command, "Kept both meanings.");
            let comment = asks(world, "@openhands resolve conflicts").await;
            let reply = pr.final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{}", reply.text);
            assert!(
                reply
                    .text
                    .contains("Left out, as it had no conflict: `README.md`"),
                "{}",
                reply.text
            );
            let asked = world.model.requests()[0].body.to_string();
            assert!(
                asked.contains("# Files with conflicts") && asked.contains("- `src/lib.rs`"),
                "{asked}"
            );
            let ours = pr.bots_commits().await;
            assert_eq!(ours.len(), 1);
            assert_eq!(parents(&ours[0]), [before.as_str(), main.as_str()]);
            assert_eq!(pr.file(FILE).await, resolved);
            assert_eq!(pr.file("notes.txt").await, "by a person\n");
            assert_eq!(pr.file("README.md").await, "# Demo\n");
        })
        .await;
    }
}

#[tokio::test]
async fn conflicts_that_the_agent_leaves_are_not_pushed() {
    scenario(async |world| {
        let pr = world.pull_request(1);
        let before = pr.head().await;
        main_gets(&pr, FILE, "fn add(a: i32, b: i32) -> i32 {\n    a * b\n}\n").await;
        for command in [
            format!("sed -i '/^=======/d' {FILE}"),
            format!("rm {FILE}"),
            "true".to_owned(),
        ] {
            world.agent_runs(&command, "All conflicts are resolved.");
            let comment = asks(world, "@openhands resolve conflicts").await;
            let reply = pr.final_reply_to(comment).await;
            assert!(
                reply.text.contains("MERGE_CONFLICT") && reply.text.contains("left in `src/lib.rs`"),
                "{command}: {}",
                reply.text
            );
            assert_eq!(pr.head().await, before, "{command}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_conflict_that_no_text_can_show_is_left_to_people() {
    scenario(async |world| {
        let pr = world.pull_request(1);
        let before = pr.head().await;
        let clone = git_cli::clone(&pr.clone_url(), "main").await.unwrap();
        for arguments in [
            &["rm", "--quiet", FILE][..],
            &["commit", "--quiet", "--message", "Remove it"],
            &["push", "--quiet", "origin", "HEAD:main"],
        ] {
            git_cli::git(clone.path(), arguments).await.unwrap();
        }
        let comment = asks(world, "@openhands update branch").await;
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.contains("MERGE_CONFLICT") && reply.text.contains("`src/lib.rs`"),
            "{}",
            reply.text
        );
        assert_eq!(pr.head().await, before);
        assert_eq!(
            world.model.requests().len(),
            0,
            "there is nothing to ask an agent"
        );
    })
    .await;
}

#[tokio::test]
async fn a_commit_pushed_meanwhile_stays_below_the_merge() {
    scenario(async |world| {
        let pr = world.pull_request(1);
        let main = main_gets(&pr, "notes.txt", "by a person\n").await;
        let push = world
            .holds_next("POST", "*/git-receive-pack", "before")
            .await
            .unwrap();
        let comment = asks(world, "@openhands update branch").await;
        world.held(push).await.unwrap();
        let theirs = pr.someone_pushes("more.txt", "by a person\n").await;
        world.lets_go(push).await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        let ours = pr.bots_commits().await;
        assert_eq!(ours.len(), 1);
        assert_eq!(parents(&ours[0]), [theirs.as_str(), main.as_str()]);
        for file in ["notes.txt", "more.txt"] {
            assert_eq!(pr.file(file).await, "by a person\n");
        }
    })
    .await;
}

#[tokio::test]
async fn a_resolver_killed_before_or_after_the_push_merges_once() {
    for when in ["before", "after"] {
        scenario_in(apart(), async |world| {
            main_gets(&world.pull_request(1), "notes.txt", "by a person\n").await;
            let hold = world
                .holds_next("POST", "*/git-receive-pack", when)
                .await
                .unwrap();
            let comment = asks(world, "@openhands update branch").await;
            world.held(hold).await.unwrap();
            world.dies_and_comes_back("resolver", hold).await.unwrap();
            let pr = world.pull_request(1);
            let reply = pr.final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{when}: {}", reply.text);
            assert_eq!(pr.bots_commits().await.len(), 1, "{when}");
            assert_eq!(pr.file("notes.txt").await, "by a person\n");
        })
        .await;
    }
}

#[tokio::test]
async fn a_target_branch_that_is_gone_is_told() {
    let mut setup = Setup::default();
    let mut document = setup.document();
    document["repositories"][0]["branches"]["develop"] = json!({"from": "main"});
    document["pull_requests"][0]["to"] = json!("develop");
    setup.document = Some(document);
    scenario_in(setup, async |world| {
        let pr = world.pull_request(1);
        git_cli::delete_branch(&pr.clone_url(), "develop").await.unwrap();
        let comment = asks(world, "@openhands update branch").await;
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.contains("TARGET_BRANCH_GONE") && reply.text.contains("`develop`"),
            "{}",
            reply.text
        );
    })
    .await;
}
