//! `--new-pr` and `--branch`: the work on a branch of its own, with a pull request onto the source branch.

use tests::setup::{FILE, FILE_ON_BRANCH, Setup};
use tests::world::{scenario, scenario_in};

const FIX: &str = "sed -i 's/a - b/a + b/' src/lib.rs";

#[tokio::test]
async fn the_work_goes_to_a_new_branch_and_a_pull_request_is_opened_once() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            world.agent_runs(FIX, "Add instead, @bob.");
            let pr = world.pull_request(1);
            let before = pr.head().await;
            let asked = world
                .alice()
                .comments(1, "@openhands fix --branch fix/add it")
                .await
                .unwrap();
            let reply = pr.final_reply_to(asked).await;
            assert!(
                reply.text.starts_with("**Done for @alice")
                    && reply.text.contains("Opened pull request [#2]("),
                "{}",
                reply.text
            );
            assert_eq!(
                (pr.head().await, pr.file(FILE).await),
                (before, FILE_ON_BRANCH.to_owned())
            );
            let opened = world.root().get("/pull-requests/2").await.unwrap();
            assert_eq!(opened["fromRef"]["displayId"], "fix/add");
            assert_eq!(opened["toRef"]["displayId"], pr.branch());
            assert!(
                !opened["description"].as_str().unwrap().contains(" @bob"),
                "{opened:#}"
            );
            assert!(
                world.root().get("/pull-requests/3").await.is_err(),
                "one is opened"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn a_branch_that_is_there_is_left_alone() {
    scenario(async |world| {
        world.agent_runs(FIX, "Add instead.");
        let pr = world.pull_request(1);
        let asked = world
            .alice()
            .comments(1, "@openhands fix --branch main it")
            .await
            .unwrap();
        let reply = pr.final_reply_to(asked).await;
        assert!(
            reply.text.starts_with("**Refused") && reply.text.contains("BRANCH_EXISTS"),
            "{}",
            reply.text
        );
        assert!(pr.bots_commits().await.is_empty());
        assert!(
            world.model.requests().is_empty(),
            "found out before the agent started"
        );
    })
    .await;
}

#[tokio::test]
async fn a_reply_killed_after_it_opened_the_pull_request_finds_it() {
    let setup = Setup {
        separate_roles: true,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        world.agent_runs(FIX, "Add instead.");
        let hold = world
            .holds_next("POST", "/rest/api/*/pull-requests", "after")
            .await
            .unwrap();
        let asked = world
            .alice()
            .comments(1, "@openhands fix --new-pr it")
            .await
            .unwrap();
        world.held(hold).await.unwrap();
        world.dies_and_comes_back("reply", hold).await.unwrap();
        let reply = world.pull_request(1).final_reply_to(asked).await;
        assert!(reply.text.contains("Opened pull request [#2]("), "{}", reply.text);
        assert!(
            world.root().get("/pull-requests/3").await.is_err(),
            "one is opened"
        );
    })
    .await;
}
