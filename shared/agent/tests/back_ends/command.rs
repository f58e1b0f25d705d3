//! Programs that are given their task on the command line.

use std::time::Duration;

use agent::{Ended, Error, Kind};
use sandbox::How;
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_well_behaved_program_does_its_task() {
    let world = World::new().await;
    let report = world.command("well-behaved", "{prompt}").await.unwrap();
    assert_eq!(report.ended, Ended::Finished);
    assert!(report.summary.ends_with("Made it."), "{}", report.summary);
    assert!(world.is_made());
    assert_eq!(
        (report.usage.turns, report.cell.unwrap().how),
        (1, How::Exited(0))
    );
    let asked = world.requests().remove(0).body.to_string();
    assert!(asked.contains("The word is plum."), "{asked}");
    let transcript = String::from_utf8(report.transcript).unwrap();
    assert!(transcript.contains("The word is plum."), "{transcript}");
}

#[tokio::test]
async fn the_task_can_be_read_from_a_file() {
    let world = World::new().await;
    let report = world.command("reading", "{prompt_file}").await.unwrap();
    assert_eq!(report.summary, "The task ends with \"plum.\".");
    assert!(world.is_made());
}

#[tokio::test]
async fn a_program_that_did_nothing_has_ended_and_no_more() {
    let world = World::new().await;
    let report = world.command("idle", "{prompt}").await.unwrap();
    assert_eq!((report.ended, report.summary.as_str()), (Ended::Finished, ""));
    assert!(!world.is_made());
}

#[tokio::test]
async fn a_program_that_fails_before_it_asks_anything_has_crashed() {
    for (behaviour, how, said) in [
        ("failing", How::Exited(1), "there is no configuration"),
        ("crashing", How::Signalled(6), ""),
    ] {
        let world = World::new().await;
        let report = world.command(behaviour, "{prompt}").await.unwrap();
        assert_eq!(report.ended, Ended::Crashed, "{behaviour}");
        assert!(report.summary.contains(said), "{behaviour}: {}", report.summary);
        assert_eq!(report.cell.unwrap().how, how);
    }
}

#[tokio::test]
async fn an_exit_code_of_zero_is_not_believed() {
    let world = World::with(json!([{"when": "", "reply": {"status": 401}}])).await;
    let error = world.command("lying", "{prompt}").await.unwrap_err();
    assert!(matches!(error, Error::ModelUnauthorized), "{error:?}");
}

#[tokio::test]
async fn what_a_program_leaves_running_is_gone() {
    let world = World::new().await;
    let report = world.command("leaving", "{prompt}").await.unwrap();
    assert_eq!(report.ended, Ended::Finished);
    assert!(world.is_made() && world.nobody_is_left());
    assert!(report.cell.unwrap().left_behind > 0, "it was there to be killed");
}

#[tokio::test]
async fn a_program_that_never_ends_is_killed_at_its_time() {
    let mut world = World::new().await;
    world.limits.wall = Duration::from_secs(2);
    let report = world.command("never-ending", "{prompt}").await.unwrap();
    assert_eq!(report.ended, Ended::TimeLimit);
    assert!(report.cell.unwrap().wall < Duration::from_secs(5));
    assert!(world.is_made() && world.nobody_is_left());
}

#[tokio::test]
async fn a_program_that_floods_is_killed_at_its_output() {
    let mut world = World::new().await;
    world.limits.cell.output_bytes = 30_000_000;
    let report = world.command("flooding", "{prompt}").await.unwrap();
    assert_eq!(report.ended, Ended::OutputLimit);
    assert!(report.summary.len() < 20_000);
}

#[tokio::test]
async fn a_program_that_asks_on_is_killed_at_its_budget() {
    let mut world = World::new().await;
    world.limits.turns = 3;
    let report = world.command("insatiable", "{prompt}").await.unwrap();
    assert_eq!((report.ended, report.usage.turns), (Ended::TurnLimit, 3));
    assert_eq!(world.requests().len(), 3);
    let mut world = World::new().await;
    world.limits.tokens = 0;
    let report = world.command("insatiable", "{prompt}").await.unwrap();
    assert_eq!((report.ended, report.usage.turns), (Ended::TokenLimit, 0));
    assert!(world.requests().is_empty(), "with no budget nothing is sent");
}

#[tokio::test]
async fn a_program_that_asks_on_into_refusals_is_given_up() {
    let world = World::with(json!([{"when": "", "reply": {"status": 500}}])).await;
    let error = world.command("insatiable", "{prompt}").await.unwrap_err();
    assert!(
        matches!(error, Error::ModelServer { status: 500, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn cancelling_kills_what_does_not_listen() {
    let world = World::with(json!([{"when": "", "reply": {"hold": true, "then": {"text": "late"}}}])).await;
    let (report, ()) = tokio::join!(world.command("well-behaved", "{prompt}"), async {
        let asked = world.model.wait_for_requests(1, Duration::from_secs(30)).await;
        asked.expect("it asks");
        world.cancel.cancel();
    });
    let report = report.unwrap();
    assert_eq!(
        (report.ended, report.cell.unwrap().how),
        (Ended::Cancelled, How::Cancelled)
    );
    assert!(!world.is_made());
    // Cancelled before it starts, nothing is started.
    let report = world
        .run(Kind::Command, vec!["/bin/true".into(), "{prompt}".into()])
        .await;
    assert_eq!(report.unwrap().cell, None);
}
