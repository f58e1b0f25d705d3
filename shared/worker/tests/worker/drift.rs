//! The live streams against what this build needs.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, RetentionPolicy};
use pipeline::subject;

use crate::world::*;

fn mentions(config: Config) -> Config {
    Config {
        name: subject::MENTIONS.into(),
        subjects: vec![subject::MENTIONS_ALL.into()],
        ..config
    }
}

#[tokio::test]
async fn streams_are_created_once_and_then_left_alone() {
    let world = World::bare().await;
    let missing = world.nats.check().await.unwrap_err();
    assert!(
        missing.contains("JOBS: missing") && missing.contains("KV_runs: missing"),
        "{missing}"
    );
    // Roles start at the same moment.
    let other = world.another_connection().await;
    let (one, two) = tokio::join!(world.nats.ensure(), other.ensure());
    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(world.nats.ensure().await, Ok(()));
    assert_eq!(world.nats.check().await, Ok(()));
}

#[tokio::test]
async fn a_narrower_stream_is_widened_and_a_wider_one_is_kept() {
    let world = World::bare().await;
    let raw = world.raw().await;
    let hour = Duration::from_secs(3600);
    raw.create_stream(mentions(Config {
        max_age: hour,
        allow_direct: true,
        ..Config::default()
    }))
    .await
    .unwrap();
    let year = Duration::from_secs(365 * 86400);
    let decisions = Config {
        name: subject::DECISIONS.into(),
        subjects: vec![subject::DECISIONS_ALL.into(), "more.>".into()],
        max_age: year,
        allow_direct: true,
        ..Config::default()
    };
    raw.create_stream(decisions).await.unwrap();
    assert_eq!(world.nats.ensure().await, Ok(()));
    let live = async |name: &str| raw.get_stream(name).await.unwrap().cached_info().config.clone();
    assert_eq!(
        live(subject::MENTIONS).await.max_age,
        Duration::from_secs(30 * 86400)
    );
    let decisions = live(subject::DECISIONS).await;
    assert_eq!((decisions.max_age, decisions.subjects.len()), (year, 2));
}

#[tokio::test]
async fn what_cannot_be_widened_is_printed() {
    let world = World::bare().await;
    let raw = world.raw().await;
    let queue = Config {
        retention: RetentionPolicy::WorkQueue,
        allow_direct: true,
        ..Config::default()
    };
    raw.create_stream(mentions(queue)).await.unwrap();
    let drift = world.nats.ensure().await.unwrap_err();
    assert_eq!(
        drift.to_string(),
        "MENTIONS: retention is WorkQueue, needed: Limits"
    );
    assert_eq!(world.nats.check().await, Err(drift.to_string()));
}

#[tokio::test]
async fn a_stream_that_was_narrowed_later_is_not_ready() {
    let world = World::start().await;
    let raw = world.raw().await;
    let mut config = raw
        .get_stream("KV_runs")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.max_age = Duration::from_secs(3600);
    raw.update_stream(config).await.unwrap();
    let told = world.nats.check().await.unwrap_err();
    assert_eq!(told, "KV_runs: max_age is 3600s, needed: 2592000s");
    assert_eq!(world.nats.ensure().await, Ok(()));
    assert_eq!(world.nats.check().await, Ok(()));
}
