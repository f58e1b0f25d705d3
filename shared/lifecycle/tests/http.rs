//! The HTTP server against clients that are slow, many, foreign or unlucky, and the health endpoints.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use lifecycle::http::{HttpLimits, serve};
use lifecycle::{Health, Shutdown, serve_health};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(10);

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    server: JoinHandle<anyhow::Result<()>>,
}

async fn start(app: Router, limits: HttpLimits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let shutdown = Shutdown::new();
    let server = tokio::spawn(serve(listener, app, limits, shutdown.clone()));
    Running {
        address,
        shutdown,
        server,
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("the server listens")
    }

    async fn ended(self) {
        timeout(PATIENCE, self.server)
            .await
            .expect("the server ends")
            .expect("no panic")
            .expect("no error");
    }
}

fn hello() -> Router {
    Router::new().route(
        "/",
        get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()),
    )
}

/// Everything until the server closes; a reset is as good as an end.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes")
    {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer: the head and a body of `Content-Length`.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let mut chunk = [0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut chunk))
            .await
            .expect("an answer")
            .expect("a connection");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&chunk[..read]);
        let shown = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = shown.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
            return shown;
        }
    }
}

#[tokio::test]
async fn a_request_is_answered_and_the_connection_kept() {
    let running = start(hello(), HttpLimits::default()).await;
    let mut client = running.connect().await;
    for _ in 0..2 {
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let answer = answer(&mut client).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("127.0.0.1"),
            "{answer}"
        );
        assert!(answer.contains("keep-alive: timeout=60\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn slow_headers_are_closed_at_the_limit_also_on_a_connection_that_was_used() {
    let limits = HttpLimits {
        header_timeout: Duration::from_millis(300),
        ..HttpLimits::default()
    };
    let running = start(hello(), limits).await;
    let mut silent = running.connect().await;
    let mut dripping = running.connect().await;
    dripping.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
    let mut used = running.connect().await;
    used.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    answer(&mut used).await;
    used.write_all(b"GET /").await.unwrap();
    let begun = Instant::now();
    for client in [&mut silent, &mut dripping, &mut used] {
        assert!(!rest(client).await.contains("200 OK"));
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_time_out_and_not_its_own() {
    let limits = HttpLimits {
        header_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(1500),
        ..HttpLimits::default()
    };
    let running = start(hello(), limits).await;
    let mut client = running.connect().await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    answer(&mut client).await;
    // Nothing is sent for longer than a head may take; that time is what is tested.
    let mut byte = [0];
    assert!(
        timeout(Duration::from_millis(600), client.read(&mut byte))
            .await
            .is_err(),
        "still open"
    );
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(answer(&mut client).await.contains("200 OK"));
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn a_request_may_take_longer_than_every_time_out_of_the_connection() {
    let limits = HttpLimits {
        header_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(100),
        ..HttpLimits::default()
    };
    let (app, mut reached, gate) = held();
    let running = start(app, limits).await;
    let mut client = running.connect().await;
    client
        .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nfirst")
        .await
        .unwrap();
    timeout(PATIENCE, reached.recv()).await.unwrap();
    let mut byte = [0];
    assert!(
        timeout(Duration::from_millis(600), client.peek(&mut byte))
            .await
            .is_err(),
        "still open"
    );
    gate.add_permits(1);
    assert!(rest(&mut client).await.ends_with("first"));
}

#[tokio::test]
async fn other_protocols_and_endless_heads_are_closed() {
    let running = start(hello(), HttpLimits::default()).await;
    let mut h2 = running.connect().await;
    h2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    assert!(!rest(&mut h2).await.contains("200"));
    let mut noise = running.connect().await;
    noise
        .write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n")
        .await
        .unwrap();
    assert!(!rest(&mut noise).await.contains("200"));
    let mut endless = running.connect().await;
    endless.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let header = format!("x-fill: {}\r\n", "a".repeat(1000));
    // The server may close while this is still being written.
    for _ in 0..200 {
        if endless.write_all(header.as_bytes()).await.is_err() {
            break;
        }
    }
    assert!(!rest(&mut endless).await.contains("200 OK"));
    let mut client = running.connect().await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(
        answer(&mut client).await.contains("200 OK"),
        "others are served on"
    );
}

#[tokio::test]
async fn one_address_gets_only_its_share_of_connections() {
    let limits = HttpLimits {
        connections_per_peer_max: 2,
        ..HttpLimits::default()
    };
    let running = start(hello(), limits).await;
    let first = running.connect().await;
    let mut second = running.connect().await;
    // Answered, so both have been counted before the third comes.
    second
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    answer(&mut second).await;
    let mut third = running.connect().await;
    assert_eq!(rest(&mut third).await, "");
    drop(first);
    // The place is free once the server has seen the end; a client tries again until then.
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "the place was never freed");
        let mut next = running.connect().await;
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        if next.write_all(request).await.is_ok() && rest(&mut next).await.contains("200 OK") {
            break;
        }
    }
}

/// An application whose handler says when it was reached and answers when it is let go.
fn held() -> (Router, mpsc::Receiver<()>, Arc<Semaphore>) {
    let (reached, was_reached) = mpsc::channel(8);
    let gate = Arc::new(Semaphore::new(0));
    let handler_gate = gate.clone();
    let app = Router::new().route(
        "/",
        post(async move |body: String| {
            reached.send(()).await.expect("the test waits");
            let _permit = handler_gate.acquire().await.expect("the gate is not closed");
            body
        }),
    );
    (app, was_reached, gate)
}

#[tokio::test]
async fn a_soft_shutdown_finishes_the_requests_in_flight_and_takes_no_others() {
    let limits = HttpLimits {
        header_timeout: Duration::from_millis(500),
        ..HttpLimits::default()
    };
    let (app, mut reached, gate) = held();
    let running = start(app, limits).await;
    let mut busy = running.connect().await;
    busy.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nfirst")
        .await
        .unwrap();
    timeout(PATIENCE, reached.recv()).await.unwrap();
    let mut idle = running.connect().await;
    running.shutdown.soft.cancel();
    gate.add_permits(1);
    let text = rest(&mut busy).await;
    assert!(
        text.starts_with("HTTP/1.1 200 OK") && text.ends_with("first"),
        "{text}"
    );
    assert!(!rest(&mut idle).await.contains("200"));
    let address = running.address;
    running.ended().await;
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn what_was_sent_before_a_soft_shutdown_is_answered() {
    let running = start(hello(), HttpLimits::default()).await;
    // Connected and sent, and perhaps not even accepted yet: nothing here waits for the server.
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = running.connect().await;
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        clients.push(client);
    }
    running.shutdown.soft.cancel();
    for client in &mut clients {
        let answer = rest(client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer:?}");
    }
    running.ended().await;
}

#[tokio::test]
async fn a_hard_shutdown_ends_at_once() {
    let (app, mut reached, _gate) = held();
    let running = start(app, HttpLimits::default()).await;
    let mut busy = running.connect().await;
    busy.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nfirst")
        .await
        .unwrap();
    timeout(PATIENCE, reached.recv()).await.unwrap();
    running.shutdown.hard.cancel();
    assert_eq!(rest(&mut busy).await, "");
    running.ended().await;
}

#[tokio::test]
async fn readiness_names_every_reason_and_warning() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (health, shutdown) = (Health::new(), Shutdown::new());
    let server = tokio::spawn(serve_health(listener, health.clone(), shutdown.clone()));
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let readyz = async || {
        let answer = client.get(format!("{url}/readyz")).send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json::<serde_json::Value>().await.unwrap(),
        )
    };

    assert_eq!(readyz().await.0, 503, "nothing said yet is not ready");
    health.ready("nats");
    health.not_ready("streams", "EVENTS keeps 1 day, 7 are needed");
    health.warn("connection main: plain http");
    health.warn("connection main: plain http");
    let expected = serde_json::json!({
        "ready": false,
        "parts": {"nats": "ready", "streams": "EVENTS keeps 1 day, 7 are needed"},
        "warnings": ["connection main: plain http"],
    });
    assert_eq!(readyz().await, (503, expected));
    health.ready("streams");
    assert_eq!(readyz().await.0, 200);

    assert_eq!(
        client
            .get(format!("{url}/livez"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "alive\n"
    );
    telemetry::metrics::deliveries("ping").inc();
    let scrape = client
        .get(format!("{url}/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        scrape.contains("resolver_deliveries_total{result=\"ping\"} 1"),
        "{scrape}"
    );
    assert_eq!(
        client.get(format!("{url}/other")).send().await.unwrap().status(),
        404
    );

    shutdown.soft.cancel();
    timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_warning_about_something_is_replaced_and_taken_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/readyz", listener.local_addr().unwrap());
    let (health, shutdown) = (Health::new(), Shutdown::new());
    let server = tokio::spawn(serve_health(listener, health.clone(), shutdown.clone()));
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let warnings = async || {
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "a warning does not stop the work");
        answer.json::<serde_json::Value>().await.unwrap()["warnings"].clone()
    };

    health.ready("reply");
    health.warn("unsandboxed");
    health.set_warning("other", Some("connection other: away".into()));
    health.set_warning("main", Some("connection main: refused".into()));
    health.set_warning("main", Some("connection main: away".into()));
    let all = ["unsandboxed", "connection main: away", "connection other: away"];
    assert_eq!(warnings().await, serde_json::json!(all));
    health.set_warning("main", None);
    health.set_warning("never warned of", None);
    assert_eq!(
        warnings().await,
        serde_json::json!(["unsandboxed", "connection other: away"])
    );

    health.set_fact("sandbox", serde_json::json!({"level": 2}));
    let answer = client.get(&url).send().await.unwrap();
    let report: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(report["sandbox"], serde_json::json!({"level": 2}));
    assert_eq!(report["ready"], true);

    shutdown.soft.cancel();
    timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
}
