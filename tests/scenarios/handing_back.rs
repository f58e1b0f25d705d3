//! What an agent may leave in a work tree, and what of it reaches the branch.

use tests::inside;
use tests::setup::Setup;
use tests::world::{World, scenario, scenario_in};

/// The reply to a request that an agent meets by `command`, and the diff of the branch's head.
async fn handed_back(world: &World, command: &str) -> (String, String) {
    world.agent_runs(command, "Did it.");
    let pr = world.pull_request(1);
    let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
    let reply = pr.final_reply_to(comment).await.text;
    (reply, pr.last_diff().await)
}

#[tokio::test]
async fn a_tree_made_to_stop_whoever_reads_it_is_read_and_pushed() {
    scenario(async |world| {
        let (reply, diff) = handed_back(
            world,
            "mkfifo .gitignore .gitattributes pipe && mkdir -p .git/x nested/.git && mkfifo .git/HEAD nested/.git/HEAD \
             && echo kept > nested/kept.txt && mkdir closed && echo kept > closed/kept.txt && chmod 000 closed/kept.txt closed \
             && ln -s /proc/self/environ environ && printf x > 'back\\slash' && printf x > CON && echo work > work.txt \
             && for i in $(seq 300); do mkdir d && cd d || break; done",
        )
        .await;
        assert!(reply.starts_with("**Done"), "{reply}\n{}", world.logs());
        for path in ["nested/kept.txt", "closed/kept.txt", "environ", "work.txt"] {
            assert!(diff.contains(&format!("+++ b/{path}")), "{path}: {diff}");
        }
        assert!(diff.contains("+/proc/self/environ"), "the link, not what it leads to: {diff}");
        for path in ["slash", "CON", "pipe", ".git/", "160000", "BOT"] {
            assert!(!diff.contains(path), "{path}: {diff}");
        }
        for named in ["nested/.git", "pipe", "CON"] {
            assert!(reply.contains(named), "{named}: {reply}");
        }
    })
    .await;
}

#[tokio::test]
async fn protected_paths_are_left_out_of_the_commit_and_named() {
    scenario(async |world| {
        let (reply, diff) = handed_back(
            world,
            "mkdir -p .github/workflows ci && echo evil > .github/workflows/ci.yml && echo evil > Jenkinsfile \
             && echo evil > ci/bitbucket-pipelines.yml && echo evil > CodeOwners && echo work > work.txt",
        )
        .await;
        assert!(reply.starts_with("**Done"), "{reply}\n{}", world.logs());
        assert!(diff.contains("work.txt") && !diff.contains("evil"), "{diff}");
        for path in [".github/workflows/ci.yml", "Jenkinsfile", "CodeOwners", "allow_protected_paths"] {
            assert!(reply.contains(path), "{path}: {reply}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_operator_can_allow_protected_paths() {
    let setup = Setup {
        config: "[policy]\nallow_protected_paths = [\".github/workflows/**\"]\n".to_owned(),
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let (reply, diff) = handed_back(
            world,
            "mkdir -p .github/workflows && echo allowed > .github/workflows/ci.yml && echo evil > .github/CODEOWNERS",
        )
        .await;
        assert!(reply.starts_with("**Done") && reply.contains(".github/CODEOWNERS"), "{reply}\n{}", world.logs());
        assert!(diff.contains("+allowed") && !diff.contains("evil"), "{diff}");
    })
    .await;
}

#[tokio::test]
async fn a_secret_in_a_change_stops_the_push_and_is_kept_nowhere() {
    // Put together by the shell: neither this file nor the script has it whole.
    let body = "aB3dE5gH7jK9mN1pQ3sT";
    scenario(async |world| {
        let pr = world.pull_request(1);
        let before = pr.head().await;
        let (reply, _) = handed_back(
            world,
            &format!("printf 'x = 1\\nkey = \"gl%s-{body}\"\\n' pat > settings.py"),
        )
        .await;
        assert!(
            reply.starts_with("**Failed") && reply.contains("SECRET_IN_CHANGE"),
            "{reply}\n{}",
            world.logs()
        );
        assert!(
            reply.contains("settings.py") && reply.contains("line 2") && reply.contains("a GitLab token"),
            "{reply}"
        );
        assert_eq!(pr.head().await, before);
        let run = inside::runs(&inside::connect(world).await.unwrap())
            .await
            .unwrap()
            .pop()
            .unwrap();
        assert!(run.patch.is_none(), "{run:?}");
        assert!(
            !reply.contains(body) && !format!("{run:?}").contains(&format!("glpat-{body}")),
            "{reply} {run:?}"
        );
    })
    .await;
}
