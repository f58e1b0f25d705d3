//! Shutdown loses nothing, and what it interrupts does not count.

use std::sync::Arc;

use tokio::sync::Notify;
use worker::ConsumerSpec;

use crate::world::*;

#[tokio::test]
async fn soft_shutdown_finishes_what_was_begun_and_begins_nothing() {
    let world = World::start().await;
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let one_hand = ConsumerSpec {
        concurrency: 1,
        ..spec()
    };
    let script = told(move |_, _| vec![Act::WaitFor(Arc::clone(&wait)), Act::Publish]);
    let mut consumer = script.consume(&world.nats, one_hand.clone());
    world.publish(&Note::new("a")).await;
    consumer.next().await;
    world.publish(&Note::new("b")).await;
    consumer.shutdown.soft.cancel();
    go_on.notify_one();
    assert_eq!(consumer.stop().await, []);
    assert_eq!((world.unsettled().await, world.waiting().await), (0, 1));
    let mut next = told(|_, _| vec![]).consume(&world.nats, one_hand);
    assert_eq!(
        next.next().await,
        Seen {
            text: "b".into(),
            attempt: 1,
            delivered: 1
        }
    );
    world.until_all_is_settled().await;
    assert_eq!(next.stop().await, []);
}

#[tokio::test]
async fn idle_consumers_stop_at_once() {
    let world = World::start().await;
    let consumer = told(|_, _| vec![]).consume(&world.nats, spec());
    until("it pulls", async || {
        world
            .raw()
            .await
            .get_stream("MENTIONS")
            .await
            .unwrap()
            .cached_info()
            .state
            .consumer_count
            == 1
    })
    .await;
    let started = std::time::Instant::now();
    assert_eq!(consumer.stop().await, []);
    assert!(
        started.elapsed() < std::time::Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn hard_shutdown_hands_the_message_to_the_next_worker_at_once() {
    let world = World::start().await;
    let mut stuck = told(|_, _| vec![Act::Sleep(PATIENCE * 10)]).consume(&world.nats, spec());
    world.publish(&Note::new("a")).await;
    stuck.next().await;
    stuck.shutdown.hard.cancel();
    stuck.ended().await;
    // With an ack_wait of 30 s only a nak brings it back within the test's patience; it is still the first attempt.
    let mut next = told(|_, _| vec![]).consume(&world.nats, spec());
    assert_eq!(
        next.next().await,
        Seen {
            text: "a".into(),
            attempt: 1,
            delivered: 2
        }
    );
    world.until_all_is_settled().await;
    assert_eq!(next.stop().await, []);
}
