//! Who may not.

use pipeline::failure_code::FailureCode;
use pipeline::run::RunState;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_refused_once_an_hour() {
    let world = World::start().await;
    let first = world.comment("bob", "@openhands one", None).await;
    let first = world.mention("bob", first, 0, Some("one")).await;
    let refused = world
        .until(&first, "it should be refused", |run| {
            run.state == RunState::Refused
        })
        .await;
    let report = refused.outcome.unwrap().failure.unwrap();
    assert_eq!(
        (report.code, report.detail.as_deref()),
        (
            FailureCode::PermissionDenied,
            Some("REPO_WRITE on PROJ/demo is needed")
        )
    );
    let second = world.comment("bob", "@openhands two", None).await;
    let second = world.mention("bob", second, 0, Some("two")).await;
    world.until_decided("Not said again within the hour").await;
    assert_eq!(world.run(&second).await, None);
    assert!(world.taken().is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_user_is_refused_and_the_bot_never_answers_itself() {
    let world = World::start().await;
    let denied = world.comment("mallory", "@openhands one", None).await;
    let denied = world.mention("mallory", denied, 0, Some("one")).await;
    world
        .until(&denied, "it should be refused", |run| {
            run.state == RunState::Refused
        })
        .await;
    let own = world.comment("openhands", "@openhands two", None).await;
    let own = world.mention("openhands", own, 0, Some("two")).await;
    world.until_decided("the bot's own comment").await;
    assert_eq!(world.run(&own).await, None);
    assert!(world.taken().is_empty());
    world.end().await;
}
