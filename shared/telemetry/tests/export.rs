//! Export of traces over OTLP, from inside a runtime as the product does it. A binary of its own, because a process is
//! set up once.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use telemetry::Settings;

/// Answers one request and returns it.
fn collect(listener: &TcpListener) -> Vec<u8> {
    let (mut stream, _) = listener.accept().expect("the exporter connects");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket option");
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).expect("the exporter sends its request");
        request.extend_from_slice(&chunk[..read]);
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if request.len() >= end + 4 + length.map_or(0, |length| length.parse().expect("a number")) {
            break;
        }
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer).expect("the exporter reads its answer");
    request
}

#[tokio::test]
async fn spans_are_exported_and_flushed_at_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let settings = Settings {
        log: "human",
        filter: "error",
        otlp_endpoint: Some(&endpoint),
    };
    let guard = telemetry::init(&settings, "webhook-ingest").unwrap();
    tracing::info_span!("delivery", delivery.id = "8f3a").in_scope(|| {
        assert!(telemetry::trace::current_traceparent().is_some());
    });
    let collector = tokio::task::spawn_blocking(move || collect(&listener));
    tokio::task::spawn_blocking(move || guard.shutdown())
        .await
        .unwrap();
    let request = tokio::time::timeout(Duration::from_secs(10), collector)
        .await
        .unwrap()
        .unwrap();
    let shown = String::from_utf8_lossy(&request);
    assert!(shown.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{shown}");
    for expected in ["openhands-resolver", "webhook-ingest", "delivery.id", "8f3a"] {
        assert!(shown.contains(expected), "{expected} is missing in {shown}");
    }
}
