//! NATS dies under the roles: they say so while it is away, and go on where they were when it is back.

use serde_json::json;
use tests::setup::Setup;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario, scenario_in, works};
use tests::{child, inside};

/// What a role answers on `/readyz`.
async fn readiness(world: &World, health: &str) -> Option<(u16, String)> {
    let url = format!("http://{health}/readyz");
    let answer = world.http.get(url).send().await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

#[tokio::test]
async fn every_role_says_that_it_is_not_ready_while_nats_is_away() {
    let setup = Setup {
        separate_roles: true,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        world.nats.as_mut().unwrap().kill().await.unwrap();
        for (role, child) in world.children.iter() {
            let health = child.says["health"].as_str().unwrap();
            let not_ready = until(WAIT_MAX, || async {
                let (status, text) = readiness(world, health).await?;
                (status == 503).then_some(text)
            });
            let text = not_ready.await.unwrap_or_else(|| panic!("{role} stays ready"));
            let said: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(said["ready"], false, "{role}: {text}");
            assert!(text.contains("nats"), "{role} names what is missing: {text}");
        }
        world.nats.as_mut().unwrap().restart().await.unwrap();
        world.ready().await.unwrap();
        let comment = world
            .alice()
            .comments(1, "@openhands still there?")
            .await
            .unwrap();
        world.pull_request(1).final_reply_to(comment).await;
    })
    .await;
}

#[tokio::test]
async fn a_nats_server_of_ups_own_that_is_killed_in_the_middle_of_a_run_is_started_again() {
    scenario(async |world| {
        world.script(json!([{"reply": {"hold": true, "then": works("echo done >> work.txt", "Done.")}}]));
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        let killed = inside::managed_nats_pid(world).unwrap();
        child::signal(killed, child::Signal::KILL).unwrap();
        let restarted = until(WAIT_MAX, || async {
            inside::managed_nats_pid(world).ok().filter(|pid| *pid != killed)
        });
        restarted.await.expect("another nats-server");
        let pr = world.pull_request(1);
        let reply = pr.final_reply_releasing_the_model(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pr.bots_commits().await.len(), 1);
        assert_eq!(pr.file("work.txt").await, "done\n");
    })
    .await;
}
