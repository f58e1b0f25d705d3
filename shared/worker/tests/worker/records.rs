//! Records change by compare-and-swap, whoever else is at it and whatever happens to the server.

use std::convert::Infallible;

use futures::StreamExt;
use pipeline::message::Message;
use pipeline::subject;
use serde::{Deserialize, Serialize};
use worker::{Created, Error, Records};

use crate::world::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Count {
    v: u32,
    count: u32,
}

impl Default for Count {
    fn default() -> Self {
        Self { v: 1, count: 0 }
    }
}

impl Message for Count {
    const NAME: &'static str = "count";
}

async fn add_one(records: &Records<Count>) -> Result<u32, Error> {
    let added = records.update_or_default("counter", |count| {
        count.count += 1;
        Ok::<u32, Infallible>(count.count)
    });
    let Ok((_, count)) = added.await?;
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_concurrent_changes_lose_nothing() {
    let world = World::start().await;
    let mut connections = vec![world.nats.clone()];
    for _ in 0..9 {
        connections.push(world.another_connection().await);
    }
    let all = (0..100).map(|i| {
        let records = connections[i % connections.len()].records::<Count>(subject::LANES);
        tokio::spawn(async move { add_one(&records).await.unwrap() })
    });
    let mut results: Vec<u32> = futures::future::join_all(all)
        .await
        .into_iter()
        .map(|result| result.unwrap())
        .collect();
    results.sort_unstable();
    assert_eq!(
        results,
        (1..=100).collect::<Vec<u32>>(),
        "every change saw a value of its own"
    );
}

#[tokio::test]
async fn a_change_is_made_once_also_when_the_server_dies_under_it() {
    let world = World::start().await;
    let records = world.nats.records::<Count>(subject::LANES);
    for i in 1..=150 {
        if i % 50 == 10 {
            world.kill_server();
        }
        assert_eq!(add_one(&records).await.unwrap(), i, "none lost, none made twice");
    }
}

#[tokio::test]
async fn a_record_is_created_once() {
    let world = World::start().await;
    let records = world.nats.records::<Count>(subject::LANES);
    let (first, second) = (Count { v: 1, count: 1 }, Count { v: 1, count: 2 });
    assert_eq!(records.create("one", &first).await.unwrap(), Created::New);
    assert_eq!(
        records.create("one", &second).await.unwrap(),
        Created::Exists(first)
    );
}

#[tokio::test]
async fn a_change_of_nothing_writes_nothing() {
    let world = World::start().await;
    let records = world.nats.records::<Count>(subject::LANES);
    records.create("one", &Count::default()).await.unwrap();
    let before = world
        .nats
        .last_on_subject("KV_lanes", "$KV.lanes.one")
        .await
        .unwrap()
        .unwrap()
        .sequence;
    records
        .update("one", |_| Ok::<(), Infallible>(()))
        .await
        .unwrap()
        .unwrap();
    let failed = records.update("one", |count| {
        count.count = 9;
        Err::<(), &str>("no")
    });
    assert_eq!(failed.await.unwrap(), Err("no"));
    let after = world
        .nats
        .last_on_subject("KV_lanes", "$KV.lanes.one")
        .await
        .unwrap()
        .unwrap()
        .sequence;
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_missing_record_is_not_made_up() {
    let world = World::start().await;
    let records = world.nats.records::<Count>(subject::LANES);
    let changed = records.update("none", |_| Ok::<(), Infallible>(())).await;
    assert!(matches!(changed, Err(Error::NotFound { .. })));
    assert_eq!(records.get("none").await.unwrap(), None);
}

#[tokio::test]
async fn all_records_are_listed_as_they_stand() {
    let world = World::start().await;
    let records = world.nats.records::<Count>(subject::LANES);
    assert_eq!(records.list().await.unwrap(), []);
    for i in 0..5 {
        records
            .create(&i.to_string(), &Count { v: 1, count: i })
            .await
            .unwrap();
    }
    records
        .update("2", |count| {
            Ok::<u32, Infallible>(std::mem::replace(&mut count.count, 20))
        })
        .await
        .unwrap()
        .unwrap();
    let counts: Vec<u32> = records
        .list()
        .await
        .unwrap()
        .iter()
        .map(|count| count.count)
        .collect();
    assert_eq!(counts, [0, 1, 3, 4, 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_visited_however_many_there_are() {
    const COUNTS: u32 = 2_500;
    let world = World::start().await;
    let records = world.nats.records::<Count>(subject::LANES);
    let created = futures::stream::iter(0..COUNTS).map(|i| {
        let records = records.clone();
        async move {
            records
                .create(&i.to_string(), &Count { v: 1, count: i })
                .await
                .unwrap()
        }
    });
    created.buffer_unordered(64).collect::<Vec<_>>().await;
    let mut seen = Vec::new();
    records.visit(|count| seen.push(count.count)).await.unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (0..COUNTS).collect::<Vec<u32>>());
}

#[tokio::test]
async fn an_artifact_comes_back_as_it_was_put() {
    let world = World::start().await;
    let artifacts = world.nats.artifacts();
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    let artifact = artifacts.put("r-1/brief", &bytes).await.unwrap();
    assert_eq!(artifact.bytes, 3_000_000);
    assert_eq!(artifacts.get(&artifact.key).await.unwrap().unwrap(), bytes);
    assert_eq!(artifacts.get("r-1/patch").await.unwrap(), None);
}
