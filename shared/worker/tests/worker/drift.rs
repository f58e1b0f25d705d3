//! The live streams against what this build needs.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use futures::StreamExt;
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
    assert_eq!(world.nats.check().await, Ok(()));
}

#[tokio::test]
async fn streams_that_need_nothing_are_not_touched() {
    let world = World::start().await;
    let raw = world.raw().await;
    // What a later build may have made of them.
    let live = async |name: &str| raw.get_stream(name).await.unwrap().cached_info().config.clone();
    raw.update_stream(Config {
        max_messages_per_subject: 5,
        ..live("KV_runs").await
    })
    .await
    .unwrap();
    raw.update_stream(Config {
        discard: DiscardPolicy::New,
        ..live(subject::MENTIONS).await
    })
    .await
    .unwrap();
    let mut updated = raw
        .client()
        .subscribe("$JS.EVENT.ADVISORY.STREAM.UPDATED.>")
        .await
        .unwrap();
    raw.client().flush().await.unwrap();
    assert_eq!(world.nats.ensure().await, Ok(()));
    assert_eq!(world.nats.check().await, Ok(()));
    // The first update the server tells of is this one.
    raw.update_stream(Config {
        description: Some("touched".into()),
        ..live(subject::DEAD).await
    })
    .await
    .unwrap();
    let first = tokio::time::timeout(PATIENCE, updated.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.subject.as_str(), "$JS.EVENT.ADVISORY.STREAM.UPDATED.DEAD");
    assert_eq!(live("KV_runs").await.max_messages_per_subject, 5);
}

#[tokio::test]
async fn jobs_keep_one_message_each_and_refuse_a_second() {
    let world = World::start().await;
    let raw = world.raw().await;
    let live = async || {
        raw.get_stream(subject::JOBS)
            .await
            .unwrap()
            .cached_info()
            .config
            .clone()
    };
    raw.update_stream(Config {
        max_messages_per_subject: 2,
        discard_new_per_subject: false,
        discard: DiscardPolicy::Old,
        ..live().await
    })
    .await
    .unwrap();
    assert!(
        world
            .nats
            .check()
            .await
            .unwrap_err()
            .contains("max_msgs_per_subject is 2")
    );
    assert_eq!(world.nats.ensure().await, Ok(()));
    let jobs = live().await;
    assert_eq!(
        (
            jobs.max_messages_per_subject,
            jobs.discard,
            jobs.discard_new_per_subject
        ),
        (1, DiscardPolicy::New, true)
    );
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
