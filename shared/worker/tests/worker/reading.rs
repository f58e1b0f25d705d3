//! Looking at streams and at consumers without taking anything.

use std::sync::Arc;

use async_nats::jetstream::stream::{Config, StorageType};
use tokio::sync::Notify;
use worker::ConsumerSpec;

use crate::world::*;

/// A stream in memory of `count` messages that say their place.
async fn filled(world: &World, count: u64) -> async_nats::jetstream::stream::Stream {
    let raw = world.raw().await;
    let config = Config {
        name: "PLACES".into(),
        subjects: vec!["places".into()],
        storage: StorageType::Memory,
        ..Config::default()
    };
    let stream = raw.create_stream(config).await.unwrap();
    for place in 1..=count {
        raw.client()
            .publish("places", place.to_string().into())
            .await
            .unwrap();
    }
    raw.client().flush().await.unwrap();
    until("all is stored", async || {
        stream.get_info().await.unwrap().state.messages == count
    })
    .await;
    stream
}

/// What a visit of the newest shows, and whether it says that there is more.
async fn newest(world: &World, messages_max: u64) -> (Vec<u64>, bool) {
    let mut shown = Vec::new();
    let more = world
        .nats
        .visit_newest("PLACES", messages_max, |message| {
            assert_eq!(message.payload, message.sequence.to_string());
            shown.push(message.sequence);
        })
        .await
        .unwrap();
    (shown, more)
}

#[tokio::test]
async fn the_newest_messages_are_shown_and_that_there_are_older_ones_is_said() {
    let world = World::start().await;
    filled(&world, 0).await;
    assert_eq!(newest(&world, 10).await, (vec![], false));
    let stream = filled(&world, 12).await;
    assert_eq!(newest(&world, 5).await, (vec![8, 9, 10, 11, 12], true));
    assert_eq!(newest(&world, 12).await, ((1..=12).collect(), false));
    stream.purge().sequence(10).await.unwrap();
    assert_eq!(newest(&world, 100).await, (vec![10, 11, 12], false));
    assert_eq!(newest(&world, 2).await, (vec![11, 12], true));
}

#[tokio::test]
async fn a_visit_of_several_pages_shows_each_message_once() {
    let world = World::start().await;
    let stream = filled(&world, 12_000).await;
    stream.delete_message(6_000).await.unwrap();
    let (mut shown, more) = newest(&world, 11_500).await;
    assert_eq!(shown.first(), Some(&7_001), "the newest page comes first");
    shown.sort_unstable();
    let expected: Vec<u64> = (501..=12_000).filter(|place| *place != 6_000).collect();
    assert!(shown == expected && more, "{} shown", shown.len());
}

#[tokio::test]
async fn the_depth_of_a_queue_is_measured_while_all_hands_are_busy() {
    const DURABLE: &str = "busy";
    let world = World::start().await;
    let go = Arc::new(Notify::new());
    let busy = ConsumerSpec {
        durable: DURABLE,
        concurrency: 1,
        ..spec()
    };
    let wait = Arc::clone(&go);
    let mut consumer = told(move |_, _| vec![Act::WaitFor(Arc::clone(&wait))]).consume(&world.nats, busy);
    world.publish(&Note::new("first")).await;
    consumer.next().await;
    for text in ["second", "third"] {
        world.publish(&Note::new(text)).await;
    }
    let depth = || telemetry::metrics::queue_depth(DURABLE).get();
    until("all three are counted", async || depth() == 3).await;
    for _ in 0..2 {
        go.notify_one();
        consumer.next().await;
    }
    go.notify_one();
    until("none is left", async || depth() == 0).await;
    assert_eq!(consumer.stop().await, []);
}
