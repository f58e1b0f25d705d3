//! nats-server is killed with -9 in the middle of things.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pipeline::subject;
use tokio::sync::Notify;
use worker::{ConsumerSpec, ReadFrom};

use crate::world::*;

#[tokio::test]
async fn every_message_is_handled_and_every_output_stored_once() {
    const NOTES: usize = 60;
    let world = World::start().await;
    let spec = ConsumerSpec {
        ack_wait: Duration::from_secs(2),
        attempts_max: 20,
        ..spec()
    };
    let script = told(|_, _| vec![Act::Sleep(Duration::from_millis(20)), Act::Publish]);
    let mut consumer = script.consume(&world.nats, spec);
    for i in 0..NOTES {
        world.publish(&Note::new(i.to_string())).await;
    }
    let mut handled = BTreeSet::new();
    while handled.len() < NOTES {
        if !handled.insert(consumer.next().await.text) {
            continue;
        }
        if handled.len() == NOTES / 3 || handled.len() == NOTES * 2 / 3 {
            world.kill_server();
        }
    }
    world.until_all_is_settled().await;
    let outputs = "resolver.v1.mentions.output.>";
    let outputs = world
        .nats
        .read_stream(subject::MENTIONS, outputs, ReadFrom::Start, 1000)
        .await
        .unwrap();
    assert_eq!(outputs.len(), NOTES);
    assert_eq!(world.dead_letters().await, []);
}

#[tokio::test]
async fn work_in_progress_goes_on_over_a_restart_of_the_server() {
    let world = World::start().await;
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let spec = ConsumerSpec {
        ack_wait: Duration::from_secs(1),
        ..spec()
    };
    let script = told(move |_, _| vec![Act::WaitFor(Arc::clone(&wait)), Act::Publish]);
    let mut consumer = script.consume(&world.nats, spec);
    let note = Note::new("a");
    world.publish(&note).await;
    consumer.next().await;
    let before = world.server.pid();
    world.kill_server();
    until("the server is back", async || {
        world.server.pid() != before && world.nats.check().await.is_ok()
    })
    .await;
    // Longer than ack_wait: without signs of life on the new connection it would be delivered again and again.
    tokio::time::sleep(Duration::from_secs(2)).await; // the work takes time
    go_on.notify_one();
    world.until_all_is_settled().await;
    assert!(
        world
            .nats
            .last_on_subject(subject::MENTIONS, &note.output())
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(consumer.stop().await, [], "it was not started a second time");
}

#[tokio::test]
async fn pulling_resumes_without_waiting_for_a_time_out() {
    let world = World::start().await;
    let mut consumer = told(|_, _| vec![]).consume(&world.nats, spec());
    world.publish(&Note::new("before")).await;
    consumer.next().await;
    let before = world.server.pid();
    world.kill_server();
    until("the server is back", async || {
        world.server.pid() != before && world.nats.check().await.is_ok()
    })
    .await;
    world.publish(&Note::new("after")).await;
    let started = std::time::Instant::now();
    while consumer.next().await.text != "after" {}
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
}
