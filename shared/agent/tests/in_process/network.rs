//! The way to the model: certificates, proxies, and what must not be said when it is blocked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use agent::{Builtin, CodingAgent as _, Error, HttpClientError, ModelSettings, Report, http_client};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::world::{LIMIT, World};

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

async fn ask(world: &World, base_url: String, http: reqwest::Client) -> Result<Report, Error> {
    let settings = ModelSettings {
        base_url,
        api_key: Some("the-key".into()),
        headers: Vec::new(),
        model: "m".to_owned(),
        http,
    };
    let progress = tokio::sync::mpsc::channel(1).0;
    let agent = Builtin::new(settings).expect("usable settings");
    tokio::time::timeout(LIMIT, agent.run(world.task("task"), progress))
        .await
        .expect("the run ends")
}

#[tokio::test]
async fn a_private_ca_is_trusted_when_it_is_given_and_only_then() {
    let world = World::with(json!([{"reply": {"text": "over TLS"}}])).await;
    let (addr, pem) = tls_in_front_of(world.model().addr()).await;
    let base_url = format!("https://{addr}/v1");
    let trusting = http_client(Some(pem.as_bytes()), None).unwrap();
    assert_eq!(
        ask(&world, base_url.clone(), trusting).await.unwrap().summary,
        "over TLS"
    );

    let before = Instant::now();
    let error = ask(&world, base_url, http_client(None, None).unwrap())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ModelUnreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
    // The default retries would have taken half a minute.
    assert!(before.elapsed() < LIMIT / 4);
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn a_proxy_is_used_when_it_is_given() {
    let world = World::with(json!([{"reply": {"text": "by proxy"}}])).await;
    // The scripted model answers whatever host it is asked for, which makes it a proxy for plain http.
    let proxy = format!("http://{}", world.model().addr());
    let http = http_client(None, Some(&proxy)).unwrap();
    let report = ask(&world, "http://llm.invalid/v1".to_owned(), http)
        .await
        .unwrap();
    assert_eq!(report.summary, "by proxy");
    assert_eq!(world.requests()[0].headers["host"], "llm.invalid");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let world = World::with(json!([{"reply": {"text": "never asked"}}])).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/chat/completions\r\nContent-Length: 0\r\n\r\n",
        world.model().base_url()
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let elsewhere = async {
        let (mut stream, _) = listener.accept().await?;
        // An answer before the request would be a broken connection.
        stream.read_u8().await?;
        stream.write_all(redirect.as_bytes()).await?;
        // Reads to the end, so that the answer is not lost to a reset.
        stream.read_to_end(&mut Vec::new()).await
    };
    let asking = async {
        // The client, and with it the connection, ends here.
        ask(
            &world,
            base_url,
            http_client(None, None).expect("no special settings"),
        )
        .await
    };
    let (report, _) = tokio::join!(asking, elsewhere);
    let error = report.unwrap_err();
    assert!(
        matches!(error, Error::ModelRefused { status: 307, .. }),
        "{error:?}"
    );
    assert!(world.requests().is_empty());
}

#[test]
fn settings_that_cannot_be_used_are_refused_without_their_secrets() {
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
