//! A run that may push shows as a build of what it starts from and of what it pushed.

use serde_json::Value;
use tests::setup::Setup;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario, scenario_in, works};

/// State and link of each of the bot's builds of a commit.
async fn builds(world: &World, commit: &str) -> Vec<(String, String)> {
    let url = format!(
        "{}/rest/build-status/latest/commits/{commit}",
        world.bitbucket.base_url()
    );
    let request = world.http.get(url).bearer_auth(&world.setup.tokens.root);
    let page: Value = request.send().await.unwrap().json().await.unwrap();
    let text = |build: &Value, key: &str| build[key].as_str().unwrap().to_owned();
    let values = page["values"].as_array().unwrap();
    values
        .iter()
        .map(|build| (text(build, "state"), text(build, "url")))
        .collect()
}

async fn is_set(world: &World, commit: &str, state: &str) {
    let found = until(WAIT_MAX, || async {
        let builds = builds(world, commit).await;
        builds.iter().any(|(set, _)| set == state).then_some(())
    });
    assert!(
        found.await.is_some(),
        "{:?}\n{}",
        builds(world, commit).await,
        world.logs()
    );
}

#[tokio::test]
async fn a_run_is_in_progress_and_then_successful_on_what_it_pushed() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            let pr = world.pull_request(1);
            let base = pr.head().await;
            world.script(
                serde_json::json!([{"reply": {"hold": true, "then": works("echo x >> x.txt", "Done.")}}]),
            );
            let asked = world.alice().comments(1, "@openhands do it").await.unwrap();
            is_set(world, &base, "INPROGRESS").await;
            world.model.release();
            let reply = pr.final_reply_to(asked).await;
            let head = pr.head().await;
            assert_ne!(base, head);
            is_set(world, &head, "SUCCESSFUL").await;
            is_set(world, &base, "SUCCESSFUL").await;
            let shown = builds(world, &head).await;
            assert_eq!(shown.len(), 1, "{shown:?}");
            assert!(
                shown[0].1.ends_with(&format!("commentId={}", reply.id)),
                "{shown:?}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn a_run_that_failed_is_a_failed_build_and_a_question_is_none() {
    scenario(async |world| {
        let pr = world.pull_request(1);
        let base = pr.head().await;
        world.agent_runs("true", "It subtracts.");
        let asked = world
            .alice()
            .comments(1, "@openhands ask what is it?")
            .await
            .unwrap();
        pr.final_reply_to(asked).await;
        assert!(builds(world, &base).await.is_empty());
        world.agent_runs("printf 'key = \"AKIA%s\"\\n' IOSFODNN7QXAMPLR > k.py", "Added.");
        let asked = world.alice().comments(1, "@openhands add the key").await.unwrap();
        let reply = pr.final_reply_to(asked).await;
        assert!(reply.text.starts_with("**Failed"), "{}", reply.text);
        is_set(world, &base, "FAILED").await;
    })
    .await;
}

#[tokio::test]
async fn an_operator_can_switch_it_off() {
    let setup = Setup {
        config: "[reply]\nbuild_status = false\n".to_owned(),
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let pr = world.pull_request(1);
        let base = pr.head().await;
        let asked = world.alice().comments(1, "@openhands do it").await.unwrap();
        pr.final_reply_to(asked).await;
        pr.reaction_to(asked, "white_check_mark").await;
        assert!(builds(world, &base).await.is_empty());
        assert!(builds(world, &pr.head().await).await.is_empty());
    })
    .await;
}
