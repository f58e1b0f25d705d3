//! How the endpoint behind the proxy fails, and the way to it: certificates, proxies, redirects.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Error, http_client};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::cell::CellWorld;
use crate::world::LIMIT;

/// The class of a failed run, and how often the endpoint was asked.
async fn failed(reply: Value) -> (Error, usize) {
    let cell = CellWorld::with(json!([{"reply": reply}])).await;
    let error = cell.run("task").await.expect_err("the model fails");
    (error, cell.world.requests().len())
}

#[tokio::test]
async fn a_refused_key_ends_the_run_at_once() {
    for status in [401, 403] {
        let (error, asked) = failed(json!({"status": status})).await;
        assert!(matches!(error, Error::ModelUnauthorized), "{error:?}");
        assert_eq!(asked, 1);
    }
}

#[tokio::test]
async fn a_rate_limit_that_stays_or_asks_for_too_long_ends_the_run() {
    for (seconds, tries) in [(0, 3), (3600, 1)] {
        let (error, asked) = failed(json!({"status": 429, "retry_after": seconds})).await;
        let after = Some(Duration::from_secs(seconds));
        assert!(
            matches!(error, Error::ModelRateLimited { after: a } if a == after),
            "{error:?}"
        );
        assert_eq!(asked, tries);
    }
}

#[tokio::test]
async fn a_server_error_is_tried_again_and_then_given_up() {
    let cell = CellWorld::with(json!([
        {"reply": {"status": 502}, "times": 2},
        {"reply": {"text": "back"}, "times": 1},
        {"reply": {"status": 500}},
    ]))
    .await;
    assert_eq!(cell.run("task").await.unwrap().summary, "back");
    let error = cell.run("task").await.unwrap_err();
    assert!(
        matches!(error, Error::ModelServer { status: 500, .. }),
        "{error:?}"
    );
    assert_eq!(cell.world.requests().len(), 6);
}

#[tokio::test]
async fn garbage_ends_the_run_without_another_try() {
    for garbage in ["<html>busy</html>", "", "[]", "{\"choices\": []}"] {
        let (error, asked) = failed(json!({"garbage": garbage})).await;
        assert!(matches!(error, Error::ModelAnswer { .. }), "{garbage}: {error:?}");
        assert_eq!(asked, 1, "{garbage}");
    }
}

#[tokio::test]
async fn a_refused_request_ends_the_run_with_what_the_endpoint_said_without_its_secrets() {
    let (error, asked) =
        failed(json!({"status": 422, "message": "no model for the-real-key of team-7"})).await;
    assert!(
        matches!(error, Error::ModelRefused { status: 422, .. }),
        "{error:?}"
    );
    let error = error.to_string();
    assert!(
        error.contains("no model for") && !error.contains("real-key") && !error.contains("team-7"),
        "{error}"
    );
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn a_conversation_that_stays_too_long_ends_the_run() {
    let too_long = "This model's maximum context length is 4096 tokens.";
    let (error, _) = failed(json!({"status": 400, "message": too_long})).await;
    assert!(matches!(error, Error::ModelContext { .. }), "{error:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_unreachable_after_several_tries() {
    let mut cell = CellWorld::with(json!([])).await;
    cell.world.stop_model().await;
    let error = cell.run("task").await.unwrap_err();
    assert!(matches!(error, Error::ModelUnreachable { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("the-real-key"));
}

/// Puts TLS in front of `behind` and returns its address and its certificate as PEM, which is its own issuer.
async fn tls_in_front_of(behind: SocketAddr) -> (SocketAddr, String) {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("loopback is free");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate ends the handshake; that is its test's business.
                if let Ok(mut front) = acceptor.accept(stream).await {
                    let mut back = TcpStream::connect(behind).await?;
                    tokio::io::copy_bidirectional(&mut front, &mut back).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    (addr, issued.cert.pem())
}

#[tokio::test]
async fn a_private_ca_is_trusted_when_it_is_given_and_only_then() {
    let mut cell = CellWorld::with(json!([{"reply": {"text": "over TLS"}}])).await;
    let (addr, pem) = tls_in_front_of(cell.world.model().addr()).await;
    cell.endpoint.base_url = format!("https://{addr}/v1");
    cell.endpoint.http = http_client(Some(pem.as_bytes()), None).unwrap();
    assert_eq!(cell.run("task").await.unwrap().summary, "over TLS");

    cell.endpoint.http = http_client(None, None).unwrap();
    let before = Instant::now();
    let error = cell.run("task").await.unwrap_err();
    assert!(matches!(error, Error::ModelUnreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(before.elapsed() < LIMIT / 2);
    assert_eq!(cell.world.requests().len(), 1);
}

#[tokio::test]
async fn a_proxy_is_used_when_it_is_given() {
    let mut cell = CellWorld::with(json!([{"reply": {"text": "by proxy"}}])).await;
    // The scripted model answers whatever host it is asked for, which makes it a proxy for plain http.
    let proxy = format!("http://{}", cell.world.model().addr());
    cell.endpoint.http = http_client(None, Some(&proxy)).unwrap();
    cell.endpoint.base_url = "http://llm.invalid/v1".to_owned();
    assert_eq!(cell.run("task").await.unwrap().summary, "by proxy");
    assert_eq!(cell.world.requests()[0].headers["host"], "llm.invalid");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut cell = CellWorld::with(json!([{"reply": {"text": "never asked"}}])).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/chat/completions\r\nContent-Length: 0\r\n\r\n",
        cell.world.model().base_url()
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    cell.endpoint.base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let elsewhere = async {
        let (mut stream, _) = listener.accept().await?;
        // An answer before the request would be a broken connection.
        stream.read_u8().await?;
        stream.write_all(redirect.as_bytes()).await?;
        // Reads on until the run is over, so that the answer is not lost to a reset.
        stream.read_to_end(&mut Vec::new()).await
    };
    let ended = tokio::select! {
        ended = cell.run("task") => ended,
        never = async { let _ = elsewhere.await; std::future::pending().await } => never,
    };
    let error = ended.unwrap_err();
    assert!(
        matches!(error, Error::ModelRefused { status: 307, .. }),
        "{error:?}"
    );
    assert!(cell.world.requests().is_empty());
}

#[test]
fn settings_that_cannot_be_used_are_refused_without_their_secrets() {
    use agent::HttpClientError;
    let ca = http_client(
        Some(b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"),
        None,
    );
    assert!(
        matches!(ca, Err(HttpClientError::Ca(_) | HttpClientError::Build(_))),
        "{ca:?}"
    );
    let proxy = http_client(None, Some("http://user:pass word@:::"));
    let error = proxy.map(drop).unwrap_err();
    assert!(!format!("{error:?}{error}").contains("pass"), "{error:?}");
}

#[test]
fn every_failure_of_the_model_ends_the_run_with_a_code_of_its_own() {
    use pipeline::failure::Failure;
    use pipeline::failure_code::FailureCode as Code;
    let (reason, said) = (String::new, String::new);
    for (error, code) in [
        (
            Error::ModelUnreachable { reason: reason() },
            Code::ModelUnreachable,
        ),
        (Error::ModelUnauthorized, Code::ModelUnauthorized),
        (Error::ModelRateLimited { after: None }, Code::ModelRateLimited),
        (
            Error::ModelServer {
                status: 500,
                after: None,
            },
            Code::ModelFailed,
        ),
        (
            Error::ModelRefused {
                status: 400,
                said: said(),
            },
            Code::ModelFailed,
        ),
        (Error::ModelAnswer { reason: reason() }, Code::ModelGarbled),
    ] {
        let failure = Failure::from(error);
        assert_eq!(failure.code(), code);
        assert!(matches!(failure, Failure::Abandon { .. }), "{failure:?}");
    }
}
