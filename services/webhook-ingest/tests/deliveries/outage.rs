//! NATS away, secrets away, and the process told to stop.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;

use crate::wire::Wire;
use crate::world::{COMMENT_9X, PATIENCE, SECRET, World, path, signature};

#[tokio::test]
async fn without_nats_the_answer_is_503_and_only_after_the_publish_budget() {
    let world = World::start().await;
    assert_eq!(world.deliver("d-1", COMMENT_9X).await.status, 200);
    let World {
        server,
        client,
        address,
        ..
    } = world;
    server.stop().await;
    let begun = Instant::now();
    let request = client
        .post(format!("http://{address}{}", path("main")))
        .header("x-hub-signature", signature(SECRET, COMMENT_9X))
        .body(COMMENT_9X);
    assert_eq!(request.send().await.unwrap().status(), 503);
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(4) && took < Duration::from_secs(8),
        "{took:?}"
    );
    let refused = client
        .post(format!("http://{address}{}", path("main")))
        .body(COMMENT_9X)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 401, "signatures are checked all the same");
}

#[tokio::test]
async fn deliveries_during_a_restart_of_nats_are_answered_by_what_became_of_them() {
    let world = World::start().await;
    let pid = Pid::from_raw(i32::try_from(world.server.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let mut stored = 0;
    for number in 0..5 {
        let answered = world.deliver(&format!("d-{number}"), COMMENT_9X).await;
        assert!([200, 503].contains(&answered.status), "{answered:?}");
        stored += usize::from(answered.status == 200);
    }
    assert!(stored >= 1, "the server is restarted within the budget");
    let mut ids: Vec<String> = world
        .events()
        .await
        .iter()
        .map(|event| event.delivery.to_string())
        .collect();
    ids.dedup();
    assert!(
        ids.len() >= stored,
        "{stored} were acknowledged, {ids:?} are there"
    );
}

#[tokio::test]
async fn a_shutdown_loses_no_request() {
    const REQUESTS: usize = 40;
    let world = World::start().await;
    let head = |number: usize| {
        format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nx-hub-signature: {}\r\nx-request-id: d-{number}\r\ncontent-length: {}\r\n\r\n",
            path("main"),
            signature(SECRET, COMMENT_9X),
            COMMENT_9X.len()
        )
    };
    let mut clients = Vec::new();
    for number in 0..REQUESTS {
        let mut wire = Wire::connect(world.address).await;
        assert!(wire.send(head(number).as_bytes()).await);
        // Every other client has sent everything, the rest are in the middle of their body.
        let sent = if number % 2 == 0 { COMMENT_9X.len() } else { 1000 };
        assert!(wire.send(&COMMENT_9X[..sent]).await);
        clients.push((wire, sent));
    }
    world.shutdown.soft.cancel();
    let mut answers = JoinSet::new();
    for (mut wire, sent) in clients {
        answers.spawn(async move {
            wire.send(&COMMENT_9X[sent..]).await;
            wire.rest().await
        });
    }
    for answer in answers.join_all().await {
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    }
    assert_eq!(world.events().await.len(), REQUESTS);
    tokio::time::timeout(PATIENCE, world.role)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn many_deliveries_at_once_are_each_stored_and_answered_once() {
    let world = World::start().await;
    let mut answers = JoinSet::new();
    for number in 0..200 {
        let request = world
            .client
            .post(world.url("main"))
            .header("x-hub-signature", signature(SECRET, COMMENT_9X))
            .header("x-request-id", format!("d-{number}"))
            .body(COMMENT_9X);
        answers.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    assert!(answers.join_all().await.iter().all(|status| *status == 200));
    let mut ids: Vec<String> = world
        .events()
        .await
        .iter()
        .map(|event| event.delivery.to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), world.events().await.len()), (200, 200));
}

#[tokio::test]
async fn a_connection_whose_secret_cannot_be_read_is_unavailable_and_refuses_nobody() {
    let world = World::start().await;
    std::fs::remove_file(world.directory.path().join("hook")).unwrap();
    assert_eq!(world.deliver("d-1", COMMENT_9X).await.status, 503);
    assert_eq!(world.post("other", &[], COMMENT_9X).await.status, 401);
    std::fs::write(world.directory.path().join("hook"), SECRET).unwrap();
    assert_eq!(
        world.deliver("d-2", COMMENT_9X).await.status,
        200,
        "as soon as it is there"
    );
}

#[tokio::test]
async fn a_rotated_secret_counts_from_the_next_delivery_on() {
    let world = World::start().await;
    assert_eq!(world.deliver("d-1", COMMENT_9X).await.status, 200);
    std::fs::write(world.directory.path().join("hook"), "a new secret").unwrap();
    assert_eq!(
        world.deliver("d-2", COMMENT_9X).await.status,
        401,
        "the replaced one"
    );
    let new = signature("a new secret", COMMENT_9X);
    assert_eq!(
        world
            .post("main", &[("x-hub-signature", &new)], COMMENT_9X)
            .await
            .status,
        200
    );
}
