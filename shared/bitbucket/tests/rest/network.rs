//! Connections that break, and proxies.

use bitbucket::{Client, Error};
use config::Proxy;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use crate::server::{PR, Server, TOKEN, client, connection, json, repository};

/// Accepts connections, reads the head of a request and does `then` with what is written back.
async fn raw_server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _read = stream.read(&mut buffer).await;
            let _written = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable_and_a_write_to_it_was_not_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = client(&connection(&base_url));
    let error = client.pull_request(&repository(), PR).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let error = client
        .add_comment(&repository(), PR, "x", None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_before_or_in_the_answer_leaves_a_write_ambiguous() {
    for answer in [
        "",
        "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{",
    ] {
        let client = client(&connection(&raw_server(answer).await));
        let error = client
            .add_comment(&repository(), PR, "x", None)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Ambiguous { .. }), "{answer:?}: {error:?}");
        let error = client.pull_request(&repository(), PR).await.unwrap_err();
        assert!(
            matches!(error, Error::Disconnected { .. }),
            "{answer:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn the_connections_proxy_is_used() {
    let proxy = Server::start(|_, _| json(200, include_str!("../../fixtures/rest_pull_request.json"))).await;
    let mut connection = connection("http://bitbucket.invalid/context");
    connection.proxy = Some(Url::parse(&format!("http://{}", proxy.address)).unwrap());
    client(&connection).pull_request(&repository(), PR).await.unwrap();
    assert_eq!(proxy.asked()[0].header("host"), Some("bitbucket.invalid"));
}

#[tokio::test]
async fn a_proxy_sees_the_host_of_an_https_bitbucket_and_nothing_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut connection = connection("https://bitbucket.invalid");
    connection.proxy = Some(Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap());
    let proxy = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        String::from_utf8(buffer[..read].to_vec()).unwrap()
    });
    let error = client(&connection)
        .add_comment(&repository(), PR, "x", None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let asked = proxy.await.unwrap();
    assert!(asked.starts_with("CONNECT bitbucket.invalid:443 "), "{asked}");
    assert!(!asked.contains(TOKEN), "{asked}");
}

#[tokio::test]
async fn the_environments_proxy_is_used_unless_no_proxy_excludes_the_host() {
    let proxy = Server::start(|_, _| json(200, include_str!("../../fixtures/rest_pull_request.json"))).await;
    let bitbucket =
        Server::start(|_, _| json(200, include_str!("../../fixtures/rest_pull_request.json"))).await;
    let through = |no_proxy: &str| Proxy {
        https: None,
        http: Some(Url::parse(&format!("http://{}", proxy.address)).unwrap()),
        no_proxy: no_proxy.to_owned(),
    };
    for (no_proxy, by_proxy) in [("", 1), (".example.com", 2), ("127.0.0.0/8", 2)] {
        let client = Client::new(
            &bitbucket.connection(),
            SecretString::from(TOKEN),
            &through(no_proxy),
        )
        .unwrap();
        client.pull_request(&repository(), PR).await.unwrap();
        assert_eq!(proxy.asked().len(), by_proxy, "{no_proxy:?}");
    }
    assert_eq!(bitbucket.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_bitbucket_is_a_time_out_and_leaves_a_write_ambiguous() {
    // The kernel accepts the connection and takes the request; nobody reads it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&connection(&format!("http://{}", listener.local_addr().unwrap())));
    let started = tokio::time::Instant::now();
    let error = client.pull_request(&repository(), PR).await.unwrap_err();
    assert_eq!(error, Error::Timeout);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    let error = client
        .add_comment(&repository(), PR, "x", None)
        .await
        .unwrap_err();
    assert_eq!(
        error,
        Error::Ambiguous {
            cause: Box::new(Error::Timeout)
        }
    );
}

#[tokio::test]
async fn calls_are_counted_by_route_and_status() {
    let server = Server::start(|_, _| json(418, "{}")).await;
    server.client().pull_request(&repository(), PR).await.unwrap_err();
    let metrics = telemetry::metrics::render();
    let counted = metrics
        .lines()
        .find(|line| line.contains("status=\"418\"") && line.contains("/pull-requests/{pull_request}\""));
    assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
}
