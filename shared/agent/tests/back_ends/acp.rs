//! Agents of the Agent Client Protocol.

use std::time::Duration;

use agent::{Ended, Error};
use sandbox::How;
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_well_behaved_agent_does_its_task_and_ends_by_itself() {
    let world = World::new().await;
    let report = world.acp("well-behaved").await.unwrap();
    assert_eq!(
        (report.ended, report.summary.as_str()),
        (Ended::Finished, "Made it.")
    );
    assert!(world.is_made());
    assert_eq!(world.steps(), ["write made.txt"]);
    assert_eq!((report.usage.turns, report.model_errors), (1, 0));
    assert!(report.usage.tokens() > 0);
    let cell = report.cell.unwrap();
    assert_eq!(cell.how, How::Exited(0));
    let asked = world.requests().remove(0).body.to_string();
    assert!(
        asked.contains("The word is plum.") && asked.contains("Do not commit"),
        "{asked}"
    );
}

#[tokio::test]
async fn the_agent_never_sees_the_real_key() {
    let world = World::new().await;
    world.acp("well-behaved").await.unwrap();
    let request = world.requests().remove(0);
    let sent = format!("{:?}", request.headers);
    assert!(sent.contains("the-real-key"), "the control: the endpoint gets it");
    let written = world.written();
    assert!(
        written.contains("The word is plum."),
        "the control: its home is among them"
    );
    assert!(!written.contains("the-real-key"));
}

#[tokio::test]
async fn an_agent_that_offers_it_is_told_rules_and_model_over_the_protocol() {
    let world = World::new().await;
    // It asks the model nowhere unless it is told where, and fails without rules of its own.
    let report = world.acp("offering").await.unwrap();
    assert_eq!(
        (report.ended, report.summary.as_str(), report.usage.turns),
        (Ended::Finished, "Made it.", 1)
    );
    assert!(world.is_made());
    let asked = world.requests().remove(0).body.to_string();
    let (rules, task) = asked.split_once("TASK: ").expect("both came");
    assert!(
        rules.contains("Do not commit") && !rules.contains("The word is plum."),
        "{asked}"
    );
    assert!(
        task.contains("The word is plum.") && !task.contains("Do not commit"),
        "{asked}"
    );
}

#[tokio::test]
async fn oddities_of_agents_are_borne() {
    for behaviour in ["version-2", "garbled", "disorderly", "curious"] {
        let world = World::new().await;
        let report = world.acp(behaviour).await.unwrap();
        assert_eq!(report.ended, Ended::Finished, "{behaviour}: {}", report.summary);
        assert!(
            world.is_made() && report.summary.ends_with("Made it."),
            "{behaviour}: {}",
            report.summary
        );
    }
}

#[tokio::test]
async fn an_agent_that_never_exits_is_killed_with_all_it_left() {
    let world = World::new().await;
    let report = world.acp("lingering").await.unwrap();
    assert_eq!(
        (report.ended, report.summary.as_str()),
        (Ended::Finished, "Made it.")
    );
    assert_eq!(report.cell.unwrap().how, How::Cancelled);
    assert!(world.is_made() && world.nobody_is_left());
}

#[tokio::test]
async fn an_agent_that_breaks_off_has_crashed() {
    for (behaviour, said) in [
        ("dying", "I begin."),
        ("crashing", ""),
        ("babbling", ""),
        ("refusing", "Authentication required"),
    ] {
        let world = World::new().await;
        let report = world.acp(behaviour).await.unwrap();
        assert_eq!(report.ended, Ended::Crashed, "{behaviour}");
        assert!(report.summary.contains(said), "{behaviour}: {}", report.summary);
        assert!(!world.is_made());
    }
}

#[tokio::test]
async fn a_cancelled_agent_is_asked_first() {
    let world = World::new().await;
    let (report, ()) = tokio::join!(world.acp("slow"), async {
        assert_eq!(world.step().await, "thinking");
        world.cancel.cancel();
    });
    let report = report.unwrap();
    assert_eq!(
        (report.ended, report.summary.as_str()),
        (Ended::Cancelled, "I was stopped.")
    );
    assert!(world.is_made(), "it had time to end");
}

#[tokio::test]
async fn an_agent_that_does_not_hear_is_killed_soon() {
    let mut world = World::new().await;
    world.limits.wall = Duration::from_secs(3);
    let report = world.acp("deaf").await.unwrap();
    assert_eq!(report.ended, Ended::TimeLimit);
    assert!(report.cell.unwrap().wall < Duration::from_secs(6));
    assert!(world.is_made() && world.nobody_is_left());
}

#[tokio::test]
async fn an_agent_that_says_nothing_runs_into_its_time() {
    let mut world = World::new().await;
    world.limits.wall = Duration::from_secs(1);
    assert_eq!(world.acp("silent").await.unwrap().ended, Ended::TimeLimit);
}

#[tokio::test]
async fn an_agent_that_floods_is_stopped_at_its_output() {
    let mut world = World::new().await;
    world.limits.cell.output_bytes = 30_000_000;
    assert_eq!(world.acp("flooding").await.unwrap().ended, Ended::OutputLimit);
}

#[tokio::test]
async fn what_the_model_refused_is_told_whatever_the_agent_says() {
    let world = World::with(json!([{"when": "", "reply": {"status": 401}}])).await;
    let error = world.acp("lying").await.unwrap_err();
    assert!(matches!(error, Error::ModelUnauthorized), "{error:?}");
    // The control: the same agent with a model that answers.
    let world = World::new().await;
    let report = world.acp("lying").await.unwrap();
    assert_eq!(
        (report.ended, report.summary.as_str()),
        (Ended::Finished, "Done.")
    );
}
