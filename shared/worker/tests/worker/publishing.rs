//! Publishing: what is stored, how often, and what the caller is told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use pipeline::subject;
use worker::{Error, Publication, Published, ReadFrom};

use crate::world::*;

fn delivery(i: usize, bytes: usize) -> Publication {
    let subject = format!("resolver.v1.events.main.84.pr-{}.comment-added", i % 7);
    Publication {
        subject,
        payload: format!("{i}:{}", "x".repeat(bytes)).into_bytes(),
        unique: false,
    }
}

/// The numbers of the deliveries in `EVENTS`, in order, and how many came in a batch.
async fn stored(world: &World) -> (Vec<usize>, usize) {
    let messages = world
        .nats
        .read_stream(subject::EVENTS, subject::EVENTS_ALL, ReadFrom::Start, 10_000)
        .await
        .unwrap();
    let batched = messages
        .iter()
        .filter(|message| message.headers.get("Nats-Batch-Id").is_some())
        .count();
    let number = |payload: &[u8]| {
        String::from_utf8_lossy(payload)
            .split(':')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    let mut numbers: Vec<usize> = messages.iter().map(|message| number(&message.payload)).collect();
    numbers.sort_unstable();
    (numbers, batched)
}

#[tokio::test]
async fn a_unique_message_is_stored_once() {
    let world = World::start().await;
    let note = Note::new("a");
    let publication = Publication::message(note.subject(), &note);
    assert!(matches!(
        world.nats.publish(publication.clone()).await.unwrap(),
        Published::New { .. }
    ));
    assert_eq!(world.nats.publish(publication).await.unwrap(), Published::Exists);
}

#[tokio::test]
async fn a_lane_has_one_job_and_a_taken_slot_is_no_success() {
    let world = World::start().await;
    let job = |lane: &str| Publication {
        subject: format!("resolver.v1.jobs.0123456789ab.84.{lane}"),
        payload: b"{}".to_vec(),
        unique: true,
    };
    assert!(matches!(
        world.nats.publish(job("pr-1")).await.unwrap(),
        Published::New { .. }
    ));
    let refused = world.nats.publish(job("pr-1")).await;
    assert!(matches!(refused, Err(Error::SlotTaken { .. })), "{refused:?}");
    assert!(matches!(
        world.nats.publish(job("pr-2")).await.unwrap(),
        Published::New { .. }
    ));
}

#[tokio::test]
async fn a_full_store_is_told_apart_and_nothing_is_dropped() {
    let world = World::start().await;
    let raw = world.raw().await;
    let mut config = raw
        .get_stream(subject::EVENTS)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.max_bytes = 4096;
    raw.update_stream(config).await.unwrap();
    world.nats.publish(delivery(0, 3000)).await.unwrap();
    let refused = world.nats.ingest_publisher().publish(delivery(1, 3000)).await;
    assert!(matches!(refused, Err(Error::StoreFull { .. })), "{refused:?}");
    assert_eq!(stored(&world).await.0, [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_deliveries_share_batches_and_none_is_lost_or_doubled() {
    const DELIVERIES: usize = 1_000;
    let world = World::start().await;
    let publisher = world.nats.ingest_publisher();
    let all = (0..DELIVERIES).map(|i| {
        let publisher = publisher.clone();
        tokio::spawn(async move { publisher.publish(delivery(i, 500)).await.unwrap() })
    });
    let sequences: BTreeSet<u64> = join_all(all)
        .await
        .into_iter()
        .map(|published| match published.unwrap() {
            Published::New { sequence } => sequence,
            Published::Exists => panic!("EVENTS promises no uniqueness"),
        })
        .collect();
    assert_eq!(
        sequences,
        (1..=DELIVERIES as u64).collect(),
        "each caller got the sequence of its own delivery"
    );
    let (numbers, batched) = stored(&world).await;
    assert_eq!(numbers, (0..DELIVERIES).collect::<Vec<_>>());
    assert!(batched > DELIVERIES / 2, "{batched} came in batches");
}

#[tokio::test]
async fn a_delivery_that_spoils_its_batch_fails_alone() {
    const DELIVERIES: usize = 60;
    let world = World::start().await;
    let publisher = world.nats.ingest_publisher();
    // Larger than the server's 1 MiB: refused before the batch can be committed.
    let bytes = |i| if i == 30 { 2 * 1024 * 1024 } else { 100 };
    let results = join_all((0..DELIVERIES).map(|i| publisher.publish(delivery(i, bytes(i))))).await;
    for (i, result) in results.iter().enumerate() {
        match result {
            Err(Error::TooLarge { .. }) if i == 30 => {}
            Ok(Published::New { .. }) if i != 30 => {}
            other => panic!("delivery {i}: {other:?}"),
        }
    }
    assert_eq!(
        stored(&world).await.0,
        (0..DELIVERIES).filter(|i| *i != 30).collect::<Vec<_>>()
    );
}

/// The server refuses the commit (a stream without atomic publish): every delivery goes by itself.
#[tokio::test]
async fn a_refused_batch_is_published_one_by_one() {
    let world = World::start().await;
    let raw = world.raw().await;
    let mut config = raw
        .get_stream(subject::EVENTS)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.allow_atomic_publish = false;
    raw.update_stream(config).await.unwrap();
    let publisher = world.nats.ingest_publisher();
    let results = join_all((0..50).map(|i| publisher.publish(delivery(i, 100)))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(stored(&world).await, ((0..50).collect(), 0));
}

#[tokio::test]
async fn without_a_server_a_delivery_is_refused_within_its_budget() {
    let world = World::start().await;
    let publisher = world.nats.ingest_publisher();
    world.server.stop().await;
    let started = Instant::now();
    let results = join_all((0..10).map(|i| publisher.publish(delivery(i, 100)))).await;
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(Error::Unavailable(_)))),
        "{results:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_delivery_survives_a_server_that_dies_under_it() {
    const DELIVERIES: usize = 300;
    let world = World::start().await;
    let publisher = world.nats.ingest_publisher();
    let mut acknowledged = BTreeSet::new();
    for chunk in 0..10 {
        if chunk == 3 || chunk == 7 {
            world.kill_server();
        }
        let numbers = chunk * DELIVERIES / 10..(chunk + 1) * DELIVERIES / 10;
        let results = join_all(numbers.clone().map(|i| publisher.publish(delivery(i, 100)))).await;
        acknowledged.extend(
            numbers
                .zip(results)
                .filter(|(_, result)| result.is_ok())
                .map(|(i, _)| i),
        );
    }
    let stored: BTreeSet<usize> = stored(&world).await.0.into_iter().collect();
    let lost: Vec<&usize> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(
        acknowledged.len(),
        DELIVERIES,
        "a restart takes less than the budget"
    );
}
