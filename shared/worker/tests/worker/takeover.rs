//! One worker takes over from another; the one that was slow keeps still.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use pipeline::failure_code::FailureCode;
use pipeline::run::{Run, RunState};
use tokio::sync::Notify;
use worker::ConsumerSpec;

use crate::world::*;

fn short_wait() -> ConsumerSpec {
    ConsumerSpec {
        ack_wait: Duration::from_secs(1),
        concurrency: 1,
        ..spec()
    }
}

#[tokio::test]
async fn a_dead_workers_message_goes_to_another_after_ack_wait() {
    let world = World::start().await;
    let mut dead = told(|_, _| vec![Act::Sleep(PATIENCE)]).consume(&world.nats, short_wait());
    world.publish(&Note::new("a")).await;
    dead.next().await;
    dead.task.abort();
    let other = world.another_connection().await;
    let mut heir = told(|_, _| vec![]).consume(&other, short_wait());
    assert_eq!(
        heir.next().await,
        Seen {
            text: "a".into(),
            attempt: 2,
            delivered: 2
        }
    );
    world.until_all_is_settled().await;
    assert_eq!(heir.stop().await, []);
}

#[tokio::test]
async fn a_message_that_kills_its_workers_is_given_up_without_another_try() {
    let world = World::start().await;
    let once = ConsumerSpec {
        attempts_max: 1,
        ..short_wait()
    };
    let mut dead = told(|_, _| vec![Act::Sleep(PATIENCE)]).consume(&world.nats, once.clone());
    world.publish(&Note::new("a")).await;
    dead.next().await;
    dead.task.abort();
    let other = world.another_connection().await;
    let heir = told(|_, _| vec![]).with_run(run()).consume(&other, once);
    until("the dead letter", async || world.dead_letters().await.len() == 1).await;
    assert_eq!(world.dead_letters().await[0].code, FailureCode::WorkerLost);
    assert_eq!(
        world
            .nats
            .runs()
            .get(run().id.as_str())
            .await
            .unwrap()
            .unwrap()
            .state,
        RunState::Failed
    );
    world.until_all_is_settled().await;
    assert_eq!(heir.stop().await, []);
}

#[tokio::test]
async fn a_worker_that_died_after_its_run_had_ended_leaves_no_dead_letter() {
    let world = World::start().await;
    let once = ConsumerSpec {
        attempts_max: 1,
        ..short_wait()
    };
    let mut dead = told(|_, _| vec![Act::Sleep(PATIENCE)]).consume(&world.nats, once.clone());
    world.publish(&Note::new("a")).await;
    dead.next().await;
    let mut ended = run();
    let now = jiff::Timestamp::UNIX_EPOCH;
    ended
        .end(None, RunState::Done, pipeline::run::Outcome::default(), now)
        .unwrap();
    let runs = world.nats.runs();
    runs.create(run().id.as_str(), &ended).await.unwrap();
    dead.task.abort();
    let other = world.another_connection().await;
    let heir = told(|_, _| vec![]).with_run(run()).consume(&other, once);
    world.until_all_is_settled().await;
    assert_eq!(world.dead_letters().await.len(), 0);
    let state = runs.get(run().id.as_str()).await.unwrap().unwrap().state;
    assert_eq!(state, RunState::Done);
    assert_eq!(heir.stop().await, []);
}

#[tokio::test]
async fn a_live_worker_keeps_its_message_beyond_ack_wait() {
    let world = World::start().await;
    let slow = told(|_, _| vec![Act::Sleep(Duration::from_secs(3)), Act::Publish]);
    let mut slow = slow.consume(&world.nats, short_wait());
    world.publish(&Note::new("a")).await;
    slow.next().await;
    let idle = told(|_, _| vec![]).consume(&world.another_connection().await, short_wait());
    world.until_all_is_settled().await;
    assert_eq!(idle.stop().await, []);
    assert_eq!(slow.stop().await, []);
}

#[tokio::test]
async fn the_same_work_is_not_started_twice_in_one_process() {
    let world = World::start().await;
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let handler = told(move |_, _| vec![Act::WaitFor(Arc::clone(&wait))]).with_key(|_| Some("one".into()));
    let mut consumer = handler.consume(&world.nats, spec());
    world.publish(&Note::new("a")).await;
    consumer.next().await;
    world.publish(&Note::new("b")).await;
    until("both are delivered", async || world.unsettled().await == 2).await;
    go_on.notify_one();
    world.until_all_is_settled().await;
    assert_eq!(consumer.stop().await, [], "the second was adopted, not started");
}

/// A worker that freezes: its signs of life stop, another takes over, then it thaws and settles.
/// Returns how many messages are unsettled then, while the other still works on it.
async fn unsettled_after_a_late_word(fenced: bool) -> usize {
    let world = World::start().await;
    let runs = world.nats.runs();
    runs.create(run().id.as_str(), &run()).await.unwrap();
    let take = |run: &mut Run| run.take(jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::UNIX_EPOCH);
    let (thaw, frozen) = mpsc::channel();
    let frozen = std::sync::Mutex::new(Some(frozen));
    let late = told(move |_, _| {
        let fence = fenced.then(|| Act::Fence(run().id, 1));
        fence
            .into_iter()
            .chain([Act::Freeze(frozen.lock().unwrap().take().unwrap())])
            .collect()
    });
    // A runtime of its own, that stands still while the handler freezes.
    let settings = world.server.settings(&config::Nats::default());
    let (tell, begun) = tokio::sync::oneshot::channel();
    let late_worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let nats = worker::Nats::connect(&settings, "late").await.unwrap();
            let consumer = late.consume(&nats, short_wait());
            tell.send(consumer.shutdown.clone()).unwrap();
            let Consumer { mut seen, task, .. } = consumer;
            seen.recv().await.unwrap();
            tokio::time::timeout(PATIENCE, task)
                .await
                .unwrap()
                .unwrap()
                .unwrap();
        });
    });
    let late_shutdown = begun.await.unwrap();
    world.publish(&Note::new("a")).await;
    until("the late worker has it", async || world.unsettled().await == 1).await;
    assert_eq!(runs.update(run().id.as_str(), take).await.unwrap().unwrap().1, 1);

    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let heir = told(move |_, _| vec![Act::WaitFor(Arc::clone(&wait))]);
    let mut heir = heir.consume(&world.nats, short_wait());
    assert_eq!(heir.next().await.delivered, 2);
    assert_eq!(runs.update(run().id.as_str(), take).await.unwrap().unwrap().1, 2);

    thaw.send(()).unwrap();
    late_shutdown.soft.cancel();
    tokio::task::spawn_blocking(move || late_worker.join().unwrap())
        .await
        .unwrap();
    let unsettled = world.unsettled().await;
    go_on.notify_one();
    world.until_all_is_settled().await;
    assert_eq!(heir.stop().await, []);
    unsettled
}

#[tokio::test]
async fn an_overtaken_worker_settles_nothing() {
    assert_eq!(unsettled_after_a_late_word(true).await, 1);
}

/// The control: without the fence, the late ack settles the delivery of the worker that took over.
#[tokio::test]
async fn without_a_fence_a_late_ack_would_settle_the_others_delivery() {
    assert_eq!(unsettled_after_a_late_word(false).await, 0);
}
