//! Bodies that are too large, endless or slow, and TLS.

use std::time::Instant;

use crate::wire::Wire;
use crate::world::{BODY_BYTES_MAX, COMMENT_9X, PATIENCE, SECRET, World, path, signature};

#[tokio::test]
async fn the_limit_itself_is_accepted_and_one_byte_more_is_not() {
    let world = World::start().await;
    let mut body = COMMENT_9X.to_vec();
    body.resize(BODY_BYTES_MAX, b' ');
    assert_eq!(world.deliver("d-1", &body).await.status, 200);
    body.push(b' ');
    assert_eq!(world.deliver("d-2", &body).await.status, 413);
    assert_eq!(
        world.post("main", &[], &body).await.status,
        413,
        "before the signature"
    );
    assert_eq!(
        world.post("other", &[], &body).await.status,
        413,
        "before the connection"
    );
    assert_eq!(world.events().await.len(), 1);
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_before_a_byte_of_it_is_sent() {
    let world = World::start().await;
    for length in ["65537", "99999999999999"] {
        let mut wire = Wire::connect(world.address).await;
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n",
            path("main")
        );
        wire.send(head.as_bytes()).await;
        let answer = wire.rest().await;
        assert!(
            answer.starts_with("HTTP/1.1 413 ") || answer.starts_with("HTTP/1.1 400 "),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_endless_chunked_body_is_ended_at_the_limit() {
    let world = World::start().await;
    let mut wire = Wire::connect(world.address).await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        path("main")
    );
    wire.send(head.as_bytes()).await;
    let chunk = format!("400\r\n{}\r\n", "a".repeat(0x400));
    let mut sent = 0;
    // Far beyond the limit and what the kernel buffers; the server stops taking it long before.
    while sent < 64 * 1024 * 1024 && wire.send(chunk.as_bytes()).await {
        sent += 0x400;
    }
    assert!(sent < 64 * 1024 * 1024, "the server took everything");
    let answer = wire.rest().await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413 "),
        "{answer}"
    );
    assert_eq!(
        world.deliver("d-1", COMMENT_9X).await.status,
        200,
        "others are served on"
    );
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_are_closed_at_their_limits() {
    let world = World::start().await;
    let begun = Instant::now();
    let mut slow_head = Wire::connect(world.address).await;
    slow_head.send(b"POST /integration HTTP/1.1\r\nhost:").await;
    let mut slow_body = Wire::connect(world.address).await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nx-hub-signature: {}\r\ncontent-length: {}\r\n\r\n",
        path("main"),
        signature(SECRET, COMMENT_9X),
        COMMENT_9X.len()
    );
    slow_body.send(head.as_bytes()).await;
    slow_body.send(&COMMENT_9X[..100]).await;
    assert!(!slow_head.rest().await.contains("200"));
    assert!(begun.elapsed().as_secs() < 9, "headers have 5 s");
    let answer = slow_body.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!((9..20).contains(&begun.elapsed().as_secs()), "bodies have 10 s");
    assert_eq!(world.events().await, []);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_stored() {
    let world = World::start().await;
    let mut wire = Wire::connect(world.address).await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        path("main")
    );
    wire.send(head.as_bytes()).await;
    wire.send(b"zz\r\nnot a chunk").await;
    let answer = wire.rest().await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
        "{answer}"
    );
    assert_eq!(world.events().await, []);
}

#[tokio::test]
async fn with_a_certificate_the_listener_speaks_tls_only() {
    let directory = tempfile::tempdir().unwrap();
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.path().join("tls.crt"), signed.cert.pem()).unwrap();
    std::fs::write(
        directory.path().join("tls.key"),
        signed.signing_key.serialize_pem(),
    )
    .unwrap();
    let files = "tls_cert_file = '{dir}/tls.crt'\ntls_key_file = '{dir}/tls.key'";
    let world = World::start_in(directory, files).await;
    let root = reqwest::Certificate::from_pem(signed.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .add_root_certificate(root)
        .resolve("localhost", world.address)
        .build()
        .unwrap();
    let url = format!("https://localhost:{}{}", world.address.port(), path("main"));
    let request = client
        .post(url)
        .header("x-hub-signature", signature(SECRET, COMMENT_9X))
        .body(COMMENT_9X);
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(world.events().await.len(), 1);
    assert!(
        world
            .client
            .post(world.url("main"))
            .body("x")
            .send()
            .await
            .is_err(),
        "no plain http"
    );
}
