//! What becomes of a message, seen from outside.

use std::time::Duration;

use bytes::Bytes;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::run::RunState;
use pipeline::subject;
use worker::{Created, Deliver, Publication};

use crate::world::*;

fn failing() -> Failure {
    Failure::retry(FailureCode::GitFailed, anyhow::anyhow!("told to"))
}

fn away(milliseconds: u64) -> Failure {
    let after = Some(Duration::from_millis(milliseconds));
    Failure::unavailable(FailureCode::BitbucketUnreachable, after, anyhow::anyhow!("away"))
}

#[tokio::test]
async fn outputs_are_stored_before_the_message_is_acked() {
    let world = World::start().await;
    let mut consumer = told(|_, _| vec![Act::Publish]).consume(&world.nats, spec());
    let note = Note::new("a");
    world.publish(&note).await;
    assert_eq!(
        consumer.next().await,
        Seen {
            text: "a".into(),
            attempt: 1,
            delivered: 1
        }
    );
    world.until_all_is_settled().await;
    let output = world
        .nats
        .last_on_subject(subject::MENTIONS, &note.output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output.payload, Bytes::from(pipeline::message::encode(&note)));
    assert_eq!(consumer.stop().await, []);
}

#[tokio::test]
async fn a_handler_is_told_the_trace_and_the_time_of_its_message() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let world = World::start().await;
    let (tell, told_delivery) = std::sync::mpsc::channel();
    let script = told(move |_, delivery| {
        tell.send((
            delivery.traceparent.clone(),
            delivery.published_at,
            delivery.sequence,
        ))
        .unwrap();
        vec![]
    });
    let mut consumer = script.consume(&world.nats, spec());
    let note = Note::new("a");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("traceparent", TRACE);
    let before = jiff::Timestamp::now();
    let raw = world.raw().await;
    let payload = pipeline::message::encode(&note).into();
    raw.publish_with_headers(note.subject(), headers, payload)
        .await
        .unwrap()
        .await
        .unwrap();
    consumer.next().await;
    let (traceparent, published_at, sequence) = told_delivery.recv().unwrap();
    assert_eq!((traceparent.as_deref(), sequence), (Some(TRACE), 1));
    assert!(
        before <= published_at && published_at <= jiff::Timestamp::now(),
        "{published_at}"
    );
    world.until_all_is_settled().await;
}

#[tokio::test]
async fn a_run_whose_message_goes_back_has_no_deadline_while_it_waits() {
    let world = World::start().await;
    let runs = world.nats.runs();
    let mut taken = run();
    let attempt = taken.take(jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::now());
    let attempt = attempt.unwrap();
    runs.create(run().id.as_str(), &taken).await.unwrap();
    let script = move |_: &Note, delivery: &worker::Delivery| match delivery.delivered {
        1 => vec![Act::Fence(run().id, attempt), Act::Fail(away(10))],
        _ => vec![Act::Sleep(PATIENCE)],
    };
    let mut consumer = told(script).consume(&world.nats, spec());
    world.publish(&Note::new("a")).await;
    assert_eq!(consumer.next().await.delivered, 1);
    assert_eq!(consumer.next().await.delivered, 2);
    let waiting = runs.get(run().id.as_str()).await.unwrap().unwrap();
    let waited = waiting.waited.expect("the record says what the run waits for");
    assert_eq!((waited.code, waited.until), (away(10).code(), None));
    taken.deadline = None;
    taken.waited = Some(waited);
    assert_eq!(waiting, taken);
    consumer.shutdown.hard.cancel();
    consumer.stop().await;
}

#[tokio::test]
async fn a_poison_message_is_buried_once_and_others_pass() {
    let world = World::start().await;
    let poison = |note: &Note| {
        if note.text == "poison" {
            vec![Act::Panic]
        } else {
            vec![Act::Publish]
        }
    };
    let spec = worker::ConsumerSpec {
        attempts_max: 2,
        ..spec()
    };
    let mut consumer = told(move |note, _| poison(note))
        .with_run(run())
        .consume(&world.nats, spec);
    let poisoned = world.publish(&Note::new("poison")).await;
    for i in 0..20 {
        world.publish(&Note::new(format!("good-{i}"))).await;
    }
    let mut poisoned_attempts = Vec::new();
    for _ in 0..22 {
        let seen = consumer.next().await;
        if seen.text == "poison" {
            poisoned_attempts.push(seen.attempt);
        }
    }
    world.until_all_is_settled().await;
    assert_eq!(poisoned_attempts, [1, 2]);
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!((letters[0].sequence, letters[0].delivered), (poisoned, 2));
    assert_eq!(letters[0].cause, "panic: told to");
    assert_eq!(letters[0].run, Some(run().id));
    let ended = world.nats.runs().get(run().id.as_str()).await.unwrap().unwrap();
    assert_eq!(ended.state, RunState::Failed);
    assert_eq!(
        ended.outcome.unwrap().failure.unwrap().code,
        FailureCode::Internal
    );
    for i in 0..20 {
        let output = Note::new(format!("good-{i}")).output();
        assert!(
            world
                .nats
                .last_on_subject(subject::MENTIONS, &output)
                .await
                .unwrap()
                .is_some()
        );
    }
    assert_eq!(consumer.stop().await, []);
}

#[tokio::test]
async fn unreadable_bytes_are_kept_as_they_were() {
    let world = World::start().await;
    let consumer = told(|_, _| vec![]).consume(&world.nats, spec());
    for (name, payload) in [
        ("text", b"{\"v\":1}".to_vec()),
        ("binary", vec![0xff, 0x00, b'{']),
    ] {
        let subject = Note::new(name).subject();
        world
            .nats
            .publish(Publication {
                subject,
                payload,
                unique: true,
            })
            .await
            .unwrap();
    }
    until("two letters", async || world.dead_letters().await.len() == 2).await;
    let mut letters = world.dead_letters().await;
    letters.sort_by_key(|letter| letter.sequence);
    assert_eq!(letters[0].payload, worker::Payload::Text("{\"v\":1}".into()));
    assert_eq!(letters[1].payload.bytes().unwrap(), [0xff, 0x00, b'{']);
    assert!(
        letters
            .iter()
            .all(|letter| letter.code == FailureCode::MessageUnreadable),
        "{letters:?}"
    );
    world.until_all_is_settled().await;
    assert_eq!(consumer.stop().await, []);
}

#[tokio::test]
async fn a_message_of_a_newer_version_waits_and_is_not_dead() {
    let world = World::start().await;
    let consumer = told(|_, _| vec![]).consume(&world.nats, spec());
    let sequence = world
        .publish(&Note {
            v: 2,
            text: "newer".into(),
        })
        .await;
    let waits = format!("$KV.waits.{DURABLE}.MENTIONS.{sequence}");
    until("the wait is noted", async || {
        world
            .nats
            .last_on_subject("KV_waits", &waits)
            .await
            .unwrap()
            .is_some()
    })
    .await;
    assert_eq!(world.unsettled().await, 1);
    assert_eq!(world.dead_letters().await, []);
    assert_eq!(consumer.stop().await, []);
}

#[tokio::test]
async fn waiting_for_what_is_away_uses_up_no_attempt() {
    let world = World::start().await;
    let acts = |delivered| {
        if delivered <= 6 {
            vec![Act::Fail(away(5))]
        } else {
            vec![Act::Publish]
        }
    };
    let spec = worker::ConsumerSpec {
        attempts_max: 2,
        ..spec()
    };
    let mut consumer = told(move |_, delivery| acts(delivery.delivered)).consume(&world.nats, spec);
    world.publish(&Note::new("a")).await;
    for delivered in 1..=7 {
        assert_eq!(
            consumer.next().await,
            Seen {
                text: "a".into(),
                attempt: 1,
                delivered
            }
        );
    }
    world.until_all_is_settled().await;
    assert_eq!(world.dead_letters().await, []);
    assert_eq!(consumer.stop().await, []);
}

#[tokio::test]
async fn attempts_are_counted_across_processes() {
    let world = World::start().await;
    let spec = worker::ConsumerSpec {
        attempts_max: 2,
        ..spec()
    };
    world.publish(&Note::new("a")).await;
    let mut first = told(|_, _| vec![Act::Fail(failing())]).consume(&world.nats, spec.clone());
    assert_eq!(first.next().await.attempt, 1);
    until("the nak", async || {
        world.waiting().await == 0 && world.unsettled().await == 1
    })
    .await;
    assert_eq!(first.stop().await, []);
    let other = world.another_connection().await;
    let mut second = told(|_, _| vec![Act::Fail(failing())]).consume(&other, spec);
    assert_eq!(second.next().await.attempt, 2);
    world.until_all_is_settled().await;
    assert_eq!(world.dead_letters().await.len(), 1);
    assert_eq!(second.stop().await, []);
}

#[tokio::test]
async fn a_refusal_ends_the_run_and_is_no_dead_letter() {
    let world = World::start().await;
    let refuse = || Failure::refuse(FailureCode::PermissionDenied, None);
    let mut consumer = told(move |_, _| vec![Act::Fail(refuse())])
        .with_run(run())
        .consume(&world.nats, spec());
    world.publish(&Note::new("a")).await;
    consumer.next().await;
    world.until_all_is_settled().await;
    let ended = world.nats.runs().get(run().id.as_str()).await.unwrap().unwrap();
    assert_eq!(ended.state, RunState::Refused);
    assert_eq!(
        ended.outcome.unwrap().failure.unwrap().code,
        FailureCode::PermissionDenied
    );
    assert_eq!(world.dead_letters().await, []);
    assert_eq!(consumer.stop().await, []);
}

#[tokio::test]
async fn a_run_that_has_ended_keeps_its_outcome() {
    let world = World::start().await;
    let mut done = run();
    done.end(
        None,
        RunState::Done,
        pipeline::run::Outcome::default(),
        jiff::Timestamp::UNIX_EPOCH,
    )
    .unwrap();
    assert_eq!(
        world.nats.runs().create(run().id.as_str(), &done).await.unwrap(),
        Created::New
    );
    let abandon = || Failure::abandon(FailureCode::GitFailed, None, anyhow::anyhow!("told to"));
    let mut consumer = told(move |_, _| vec![Act::Fail(abandon())])
        .with_run(run())
        .consume(&world.nats, spec());
    world.publish(&Note::new("a")).await;
    consumer.next().await;
    world.until_all_is_settled().await;
    assert_eq!(
        world.nats.runs().get(run().id.as_str()).await.unwrap().unwrap(),
        done
    );
    assert_eq!(world.dead_letters().await.len(), 1);
}

#[tokio::test]
async fn a_handler_that_does_not_end_is_cut_off_at_its_deadline() {
    let world = World::start().await;
    let spec = worker::ConsumerSpec {
        attempts_max: 1,
        deadline: Duration::from_millis(200),
        ..spec()
    };
    let mut consumer = told(|_, _| vec![Act::Sleep(PATIENCE * 10)]).consume(&world.nats, spec);
    world.publish(&Note::new("a")).await;
    consumer.next().await;
    world.until_all_is_settled().await;
    assert_eq!(world.dead_letters().await[0].code, FailureCode::TimeLimit);
    assert_eq!(consumer.stop().await, []);
}

#[tokio::test]
async fn a_follower_of_records_sees_each_record_and_skips_what_is_gone() {
    let world = World::start().await;
    let records = world.nats.records::<Note>(subject::LANES);
    for text in ["kept", "deleted"] {
        records.create(text, &Note::new(text)).await.unwrap();
    }
    let raw = world.raw().await;
    raw.get_key_value(subject::LANES)
        .await
        .unwrap()
        .delete("deleted")
        .await
        .unwrap();
    let spec = worker::ConsumerSpec {
        stream: "KV_lanes",
        filters: vec!["$KV.lanes.>".into()],
        deliver: Deliver::LastPerSubject,
        ..spec()
    };
    let mut consumer = told(|_, _| vec![]).consume(&world.nats, spec);
    assert_eq!(consumer.next().await.text, "kept");
    let mut info = raw
        .get_consumer_from_stream::<async_nats::jetstream::consumer::pull::Config, _, _>(DURABLE, "KV_lanes")
        .await
        .unwrap();
    until("both are settled", async || {
        let info = info.info().await.unwrap();
        info.num_pending == 0 && info.num_ack_pending == 0
    })
    .await;
    assert_eq!(consumer.stop().await, []);
}
