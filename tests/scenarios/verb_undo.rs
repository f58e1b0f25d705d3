//! `undo`: what a run pushed is reverted, and what people pushed since stays.

use tests::git_cli;
use tests::pull_request::PullRequest;
use tests::setup::{FILE, FILE_ON_BRANCH, Setup};
use tests::world::{World, scenario, scenario_in};

use crate::verb_queries::however_delivered;

/// Has the bot repair the sign; the run's id.
async fn a_run_repairs(world: &World) -> String {
    world.agent_runs(&format!("sed -i 's/a - b/a + b/' {FILE}"), "Repaired the sign.");
    let pr = world.pull_request(1);
    let comment = asks(world, "@openhands fix the sign").await;
    let reply = pr.final_reply_to(comment).await;
    assert!(reply.text.starts_with("**Done"), "{}", reply.text);
    assert!(pr.file(FILE).await.contains("a + b"));
    newest(&pr).await.1
}

async fn asks(world: &World, request: &str) -> u64 {
    world.alice().comments(1, request).await.unwrap()
}

/// The bot's newest commit: its message, and the run that its trailer names.
async fn newest(pr: &PullRequest<'_>) -> (String, String) {
    let commit = &pr.bots_commits().await[0];
    let message = commit["message"].as_str().unwrap().to_owned();
    let run = message
        .lines()
        .find_map(|line| line.strip_prefix("Run-Id: "))
        .unwrap()
        .to_owned();
    (message, run)
}

fn apart() -> Setup {
    Setup {
        separate_roles: true,
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_run_is_undone_once_and_a_persons_later_commit_stays() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            let run = a_run_repairs(world).await;
            let pr = world.pull_request(1);
            let theirs = pr.someone_pushes("notes.txt", "by a person\n").await;
            let asked = world.model.requests().len();
            let comment = asks(world, "@openhands undo").await;
            let reply = pr.final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{}", reply.text);
            assert!(
                reply
                    .text
                    .contains(&format!("of run `{run}`; later commits were kept")),
                "{}",
                reply.text
            );
            assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH);
            assert_eq!(pr.file("notes.txt").await, "by a person\n");
            let ours = pr.bots_commits().await;
            assert_eq!(ours.len(), 2);
            assert_eq!(ours[0]["parents"][0]["id"], theirs.as_str(), "history stays");
            let (message, undone_by) = newest(&pr).await;
            assert!(message.contains(&format!("\nReverts-Run: {run}\n")), "{message}");
            assert_ne!(undone_by, run);
            assert_eq!(world.model.requests().len(), asked, "no agent is asked");
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_undone_is_not_undone_again_and_an_undo_can_be_undone() {
    scenario(async |world| {
        let run = a_run_repairs(world).await;
        let pr = world.pull_request(1);
        let comment = asks(world, &format!("@openhands undo {run}")).await;
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        let (_, undo) = newest(&pr).await;
        let head = pr.head().await;

        let comment = asks(world, &format!("@openhands undo {run}")).await;
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.contains("NOTHING_TO_UNDO") && reply.text.contains("was taken back already"),
            "{}",
            reply.text
        );
        assert_eq!(pr.head().await, head);

        let comment = asks(world, &format!("@openhands undo {undo}")).await;
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert!(pr.file(FILE).await.contains("a + b"));
    })
    .await;
}

#[tokio::test]
async fn lines_that_people_changed_since_are_not_undone() {
    scenario(async |world| {
        let run = a_run_repairs(world).await;
        let pr = world.pull_request(1);
        let text = "fn add(a: i32, b: i32) -> i32 {\n    b + a\n}\n";
        let theirs = pr.someone_pushes(FILE, text).await;
        let comment = asks(world, &format!("@openhands undo {run}")).await;
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.contains("UNDO_CONFLICT")
                && reply.text.contains("in `src/lib.rs`")
                && reply.text.contains("git revert"),
            "{}",
            reply.text
        );
        assert_eq!(pr.head().await, theirs);
    })
    .await;
}

#[tokio::test]
async fn a_commit_of_somebody_elses_that_names_a_run_is_not_undone() {
    scenario(async |world| {
        world.expected.extra_commits += 1;
        let pr = world.pull_request(1);
        let comment = asks(world, "@openhands undo").await;
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.contains("NOTHING_TO_UNDO"), "{}", reply.text);

        let run = a_run_repairs(world).await;
        pr.someone_forges_a_commit_of(&run).await;
        let comment = asks(world, &format!("@openhands undo {run}")).await;
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH, "the run's own commit");
        assert!(
            !pr.file("README.md").await.contains("# Demo"),
            "not the other one"
        );
    })
    .await;
}

#[tokio::test]
async fn a_merge_of_the_target_branch_is_left_to_people() {
    scenario(async |world| {
        let pr = world.pull_request(1);
        git_cli::commit_and_push(&pr.clone_url(), "main", "CODEOWNERS", "* @security\n")
            .await
            .unwrap();
        let comment = asks(world, "@openhands update branch").await;
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Done") && !reply.text.contains("undo: reply"),
            "{}",
            reply.text
        );
        let (_, run) = newest(&pr).await;
        let head = pr.head().await;
        let comment = asks(world, &format!("@openhands undo {run}")).await;
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.contains("UNDO_CONFLICT")
                && reply.text.contains("is a merge")
                && reply.text.contains(&format!("git revert -m 1 {}", &head[..11])),
            "{}",
            reply.text
        );
        assert_eq!(pr.head().await, head);
        assert_eq!(pr.file("CODEOWNERS").await, "* @security\n");
    })
    .await;
}

#[tokio::test]
async fn a_resolver_killed_before_or_after_the_push_reverts_once() {
    for when in ["before", "after"] {
        scenario_in(apart(), async |world| {
            a_run_repairs(world).await;
            let hold = world
                .holds_next("POST", "*/git-receive-pack", when)
                .await
                .unwrap();
            let comment = asks(world, "@openhands undo").await;
            world.held(hold).await.unwrap();
            world.dies_and_comes_back("resolver", hold).await.unwrap();
            let pr = world.pull_request(1);
            let reply = pr.final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{when}: {}", reply.text);
            assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH);
            assert_eq!(pr.bots_commits().await.len(), 2, "{when}");
        })
        .await;
    }
}

#[tokio::test]
async fn one_of_several_runs_is_undone_and_the_others_and_what_people_pushed_stay() {
    however_delivered(Setup::default(), async |world| {
        let run = a_run_repairs(world).await;
        let pr = world.pull_request(1);
        pr.someone_pushes("first.txt", "by a person\n").await;
        world.agent_runs("echo by the bot > second.txt", "Wrote it down.");
        let comment = asks(world, "@openhands write it down").await;
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        let (_, later) = newest(&pr).await;
        let theirs = pr.someone_pushes("third.txt", "by a person\n").await;

        let comment = asks(world, &format!("@openhands undo {run}")).await;
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Done")
                && reply
                    .text
                    .contains(&format!("of run `{run}`; later commits were kept"))
                && reply.text.contains("What changed: 1 file, +1 −1"),
            "{}",
            reply.text
        );
        assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH);
        for (path, text) in [
            ("first.txt", "by a person\n"),
            ("second.txt", "by the bot\n"),
            ("third.txt", "by a person\n"),
        ] {
            assert_eq!(pr.file(path).await, text, "{path}");
        }
        let ours = pr.bots_commits().await;
        assert_eq!(ours.len(), 3);
        assert_eq!(ours[0]["parents"][0]["id"], theirs.as_str(), "history stays");

        let comment = asks(world, &format!("@openhands undo {later}")).await;
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pr.file("third.txt").await, "by a person\n");
        assert_eq!(pr.bots_commits().await.len(), 4);
    })
    .await;
}
