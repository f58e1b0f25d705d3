//! Requests that two readers of HTTP would take apart differently, and other protocols on the proxy's port: none of it
//! reaches the endpoint as something that the proxy would refuse.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{LIMIT, World, says};

/// What no request of an agent may come to.
const SMUGGLED: &str = "SMUGGLED";

async fn world() -> World {
    World::with(json!([{"reply": {"text": "one"}}, {"reply": {"text": "two"}}])).await
}

/// Sends bytes and returns everything that is answered.
async fn send(world: &World, bytes: &[u8]) -> String {
    answered(world, bytes, 1).await
}

/// The same; says that no more bytes come once there are that many answers.
async fn answered(world: &World, bytes: &[u8], answers: usize) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(world.proxy.addr()).await.expect("it listens");
        // The proxy may have answered and closed before it has read all.
        let _ = stream.write_all(bytes).await;
        let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            said.extend_from_slice(&buffer[..count]);
            if statuses(&String::from_utf8_lossy(&said)).len() >= answers {
                let _ = stream.shutdown().await;
            }
        }
        String::from_utf8_lossy(&said).into_owned()
    };
    tokio::time::timeout(LIMIT, talk)
        .await
        .expect("it answers or closes")
}

fn body(text: &str) -> String {
    says("messages", text).to_string()
}

/// A request that is as it should be, with these further headers.
fn request(world: &World, headers: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         {headers}\r\n{body}",
        world.proxy.key()
    )
}

/// A second request that asks for what is forbidden.
fn forbidden(world: &World) -> String {
    format!(
        "POST /v1/files?{SMUGGLED} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\n\r\n{{}}",
        world.proxy.key()
    )
}

fn statuses(answers: &str) -> Vec<&str> {
    answers
        .match_indices("HTTP/1.1 ")
        .map(|(at, found)| &answers[at + found.len()..at + found.len() + 3])
        .collect()
}

#[tokio::test]
async fn a_plain_request_by_hand_is_answered() {
    let world = world().await;
    let body = body("hi");
    let plain = request(&world, &format!("Content-Length: {}\r\n", body.len()), &body);
    assert_eq!(statuses(&send(&world, plain.as_bytes()).await), ["200"]);
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn a_body_of_two_lengths_is_read_one_way_or_refused() {
    for lengths in [
        "Content-Length: {0}\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: {0}\r\n",
        "Content-Length: {0}\r\nTransfer-Encoding: xchunked\r\n",
        "Content-Length: {0}\r\nTransfer-Encoding: chunked, identity\r\n",
        "Content-Length: {0}\r\nTransfer-Encoding : chunked\r\n",
        "Content-Length: {0}\r\nTransfer-Encoding:\r\n chunked\r\n",
        "Content-Length: 4\r\nContent-Length: {0}\r\n",
        "Content-Length: {0}, 4\r\n",
        "Content-Length: +{0}\r\n",
        "Content-Length: 0x10\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n",
    ] {
        let world = world().await;
        let inner = body("hi");
        // By its chunks the body ends before the second request; by its length the second request is a part of it.
        let chunked = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
        let whole = chunked + &forbidden(&world);
        let headers = lengths.replace("{0}", &whole.len().to_string());
        let answers = send(&world, request(&world, &headers, &whole).as_bytes()).await;
        nothing_got_through(&world, &answers, lengths);
    }
}

/// What the endpoint was asked, if anything, was a plain conversation; no second request was answered as if it might.
#[track_caller]
fn nothing_got_through(world: &World, answers: &str, how: &str) {
    for status in statuses(answers).iter().skip(1) {
        assert_ne!(*status, "200", "{how}: {answers}");
    }
    let asked = world.requests();
    assert!(asked.len() <= 1, "{how}: {asked:?}");
    for request in &asked {
        assert_eq!(request.path, "/v1/chat/completions", "{how}");
        let seen = format!("{:?} {}", request.headers, request.body);
        assert!(!seen.contains(SMUGGLED), "{how}: {seen}");
        assert!(!seen.contains(world.proxy.key()), "{how}: {seen}");
        // It was made anew, with one length.
        assert!(
            !request.headers.contains_key("transfer-encoding"),
            "{how}: {seen}"
        );
        assert!(request.headers.contains_key("content-length"), "{how}: {seen}");
    }
}

#[tokio::test]
async fn folded_split_and_doubled_headers_are_not_passed_on() {
    for headers in [
        // Folded lines.
        "X-One: a\r\n SMUGGLED: b\r\n",
        "X-One: a\r\n\tSMUGGLED\r\n",
        // A line break of another kind, a space before the colon, no name.
        "X-One: a\nX-Gateway: SMUGGLED\r\n",
        "X-One: a\rX-Gateway: SMUGGLED\r\n",
        "X-Gateway : SMUGGLED\r\n",
        ": SMUGGLED\r\n",
        "X-One\0: SMUGGLED\r\n",
        // Those that a proxy adds or a server believes.
        "X-Gateway: SMUGGLED\r\n",
        "Authorization: Bearer SMUGGLED\r\n",
        "Host: SMUGGLED\r\n",
        "Connection: X-Gateway, Authorization\r\n",
        "X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /v1/SMUGGLED\r\n",
        "Expect: 100-continue\r\n",
        "Trailer: SMUGGLED\r\n",
    ] {
        let world = world().await;
        let body = body("hi");
        let headers = format!("{headers}Content-Length: {}\r\n", body.len());
        let answers = send(&world, request(&world, &headers, &body).as_bytes()).await;
        nothing_got_through(&world, &answers, &headers);
    }
}

#[tokio::test]
async fn chunk_extensions_and_trailers_are_not_passed_on() {
    let inner = body("hi");
    let length = inner.len();
    for (chunks, is_read) in [
        (format!("{length:x};{SMUGGLED}=1\r\n{inner}\r\n0\r\n\r\n"), true),
        (
            format!("{length:x}\r\n{inner}\r\n0\r\nX-Gateway: {SMUGGLED}\r\n\r\n"),
            true,
        ),
        (format!("{length:x}\n{inner}\n0\n\n"), false),
        (format!("{length:x} {SMUGGLED}\r\n{inner}\r\n0\r\n\r\n"), false),
        (format!("0x{length:x}\r\n{inner}\r\n0\r\n\r\n"), false),
        (format!("ffffffffffffffff1\r\n{inner}\r\n0\r\n\r\n"), false),
        (
            format!("{length:x};{}\r\n{inner}\r\n0\r\n\r\n", "x".repeat(1 << 20)),
            false,
        ),
    ] {
        let world = world().await;
        let whole = request(&world, "Transfer-Encoding: chunked\r\n", &chunks) + &forbidden(&world);
        let answers = send(&world, whole.as_bytes()).await;
        nothing_got_through(&world, &answers, &chunks[..chunks.len().min(60)]);
        let first = statuses(&answers).first().copied();
        assert_eq!(first == Some("200"), is_read, "{answers}");
    }
}

#[tokio::test]
async fn every_request_of_a_connection_is_judged() {
    let world = world().await;
    let body = body("hi");
    let allowed = request(&world, &format!("Content-Length: {}\r\n", body.len()), &body);
    // The second is a request that the proxy refuses; the third has no key.
    let without_key = allowed.replace(world.proxy.key(), "wrong");
    let all = format!("{allowed}{}{without_key}", forbidden(&world));
    let answers = answered(&world, all.as_bytes(), 2).await;
    let statuses = statuses(&answers);
    assert_eq!(statuses.first(), Some(&"200"), "{answers}");
    assert!(statuses.len() > 1, "the second was not answered: {answers}");
    nothing_got_through(&world, &answers, "pipelined");
}

#[tokio::test]
async fn other_forms_of_a_target_lead_nowhere_else() {
    let other = World::with(json!([{"reply": {"text": "never asked"}}])).await;
    let elsewhere = other.model.addr();
    for line in [
        format!("POST http://{elsewhere}/v1/chat/completions HTTP/1.1"),
        format!("POST http://{elsewhere}/v1/{SMUGGLED} HTTP/1.1"),
        format!("CONNECT {elsewhere} HTTP/1.1"),
        format!("POST //{elsewhere}/v1/chat/completions HTTP/1.1"),
        "OPTIONS * HTTP/1.1".to_owned(),
        format!("POST /v1/chat/completions/../{SMUGGLED} HTTP/1.1"),
        format!("POST /v1/chat/completions%2f..%2f{SMUGGLED} HTTP/1.1"),
        format!("POST /v1/chat/completions?{SMUGGLED} HTTP/1.1"),
        format!("POST /v1/chat/completions#{SMUGGLED} HTTP/1.1"),
        format!("POST /v1/chat/completions HTTP/1.1\r\nX: {SMUGGLED} HTTP/1.1"),
        format!("POST\t/v1/{SMUGGLED}\tHTTP/1.1"),
    ] {
        let world = world().await;
        let body = body("hi");
        let headers = format!("Content-Length: {}\r\n", body.len());
        let asked = request(&world, &headers, &body).replacen("POST /v1/chat/completions HTTP/1.1", &line, 1);
        let answers = send(&world, asked.as_bytes()).await;
        nothing_got_through(&world, &answers, &line);
        assert!(other.requests().is_empty(), "{line}");
    }
}

#[tokio::test]
async fn a_connection_does_not_become_another_protocol() {
    let upgrades = [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n",
        "Connection: Upgrade\r\nUpgrade: tcp\r\n",
    ];
    for headers in upgrades {
        let world = world().await;
        let body = body("hi");
        let headers = format!("{headers}Content-Length: {}\r\n", body.len());
        let answers = send(&world, request(&world, &headers, &body).as_bytes()).await;
        assert!(!statuses(&answers).contains(&"101"), "{answers}");
        nothing_got_through(&world, &answers, &headers);
        let asked = world.requests();
        assert!(
            asked
                .iter()
                .all(|request| !request.headers.contains_key("upgrade")),
            "{asked:?}"
        );
    }
    // Without asking first.
    let world = world().await;
    let answers = send(&world, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    nothing_got_through(&world, &answers, "h2 at once");
    assert!(!statuses(&answers).contains(&"200"), "{answers}");
    // And what is no HTTP at all.
    let answers = send(&world, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await;
    assert!(!statuses(&answers).contains(&"200"), "{answers}");
    assert!(world.requests().is_empty());
}

#[tokio::test]
async fn a_head_over_its_limits_is_refused_and_the_proxy_serves_on() {
    let world = world().await;
    let body = body("hi");
    let length = format!("Content-Length: {}\r\n", body.len());
    let many = |count: usize| {
        let lines: Vec<_> = (0..count).map(|number| format!("X-{number}: x\r\n")).collect();
        lines.concat()
    };
    for headers in [
        format!("X-Long: {}\r\n", "x".repeat(64 * 1024)),
        many(200),
        many(20_000),
    ] {
        let asked = request(&world, &(headers + &length), &body);
        let answers = send(&world, asked.as_bytes()).await;
        let statuses = statuses(&answers);
        assert!(statuses.is_empty() || statuses == ["431"], "{answers}");
    }
    let target = format!("POST /v1/{} HTTP/1.1", "x".repeat(64 * 1024));
    let asked = request(&world, &length, &body).replacen("POST /v1/chat/completions HTTP/1.1", &target, 1);
    assert!(!statuses(&send(&world, asked.as_bytes()).await).contains(&"200"));
    assert!(world.requests().is_empty());
    // The control: it goes on, and so many headers are not too many.
    let asked = request(&world, &(many(50) + &length), &body);
    assert_eq!(statuses(&send(&world, asked.as_bytes()).await), ["200"]);
    assert_eq!(world.requests().len(), 1);
}
