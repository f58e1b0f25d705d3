//! A scenario that fails, and a demo that is told to end, leave no process behind.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::Stdio;

use futures::FutureExt;
use serde_json::json;
use tests::child::{Signal, program, signal};
use tests::children::processes_of;
use tests::setup::Setup;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario_in, works};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Has a scenario panic after `story`; what of it still runs then.
async fn left_after_a_panic(setup: Setup, story: impl AsyncFnOnce(&mut World)) -> Vec<String> {
    let mut directory = None;
    let panics = scenario_in(setup, async |world| {
        story(world).await;
        directory = Some(world.directory.path().to_owned());
        panic!("as a scenario does that has found something");
    });
    let ended = AssertUnwindSafe(panics).catch_unwind().await;
    assert!(ended.is_err(), "the scenario has panicked");
    commands(&directory.expect("the story was told to its end"))
}

fn commands(directory: &Path) -> Vec<String> {
    let left = processes_of(directory).unwrap();
    left.into_iter().map(|process| process.command).collect()
}

#[tokio::test]
async fn a_scenario_that_panics_while_an_agent_works_leaves_no_process() {
    let left = left_after_a_panic(Setup::default(), async |world| {
        world.script(json!([{"reply": works("tail -f /dev/null", "Never.")}]));
        world
            .alice()
            .comments(1, "@openhands run for ever")
            .await
            .unwrap();
        let tool = until(WAIT_MAX, || async {
            let running = commands(world.directory.path());
            running.iter().any(|c| c.starts_with("tail")).then_some(())
        });
        tool.await.expect("the agent's tool runs");
    });
    assert_eq!(left.await, Vec::<String>::new());
}

#[tokio::test]
async fn a_scenario_that_panics_after_it_killed_up_leaves_no_process() {
    let left = left_after_a_panic(Setup::default(), async |world| {
        world.kill("up").await.unwrap();
        let orphans = commands(world.directory.path());
        assert!(
            orphans.iter().any(|command| command.contains("nats-server")),
            "the server outlives its up: {orphans:?}"
        );
    });
    assert_eq!(left.await, Vec::<String>::new());
}

#[tokio::test]
async fn a_scenario_of_separate_roles_that_panics_leaves_no_process() {
    let setup = Setup {
        separate_roles: true,
        ..Setup::default()
    };
    let left = left_after_a_panic(setup, async |_| {});
    assert_eq!(left.await, Vec::<String>::new());
}

#[tokio::test]
async fn a_demo_that_is_told_to_end_leaves_no_process() {
    let directory = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "people run the demo")]
    let mut demo = tokio::process::Command::new(program("demo").unwrap())
        .env("TMPDIR", directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let running = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("run r-") {
                return true;
            }
        }
        false
    };
    let running = tokio::time::timeout(WAIT_MAX, running).await;
    assert!(running.expect("the demo runs"), "a run is told of");
    assert!(
        !commands(directory.path()).is_empty(),
        "there is something to end"
    );
    signal(demo.id().unwrap(), Signal::TERM).unwrap();
    let reading = async { while let Ok(Some(_)) = lines.next_line().await {} };
    let (ended, ()) = tokio::join!(tokio::time::timeout(WAIT_MAX, demo.wait()), reading);
    ended.expect("the demo ends").unwrap();
    assert_eq!(commands(directory.path()), Vec::<String>::new());
}
