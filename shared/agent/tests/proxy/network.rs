//! The way to the endpoint: redirects, certificates, proxies.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use agent::{Endpoint, Error, HttpClientError, Prices, Provider, Proxy, http_client};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::world::{APIS, LIMIT, PLENTY, Setting, World, client, listener, message, run, says};

/// Answers one request with these bytes, whatever it is.
pub(crate) async fn serve_once(listener: TcpListener, answer: &str) -> io::Result<()> {
    let (mut stream, _) = listener.accept().await?;
    // An answer before the request would be a broken connection.
    stream.read_u8().await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // Reads to the end, so that the answer is not lost to a reset.
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

#[tokio::test]
async fn a_redirect_is_neither_followed_nor_passed_on() {
    for (path, field) in APIS {
        let elsewhere = World::with(json!([{"reply": {"text": "never asked"}}])).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut setting = Setting::new(json!([]));
        setting.base_url = Some(format!("http://{}/v1", listener.local_addr().unwrap()));
        let world = setting.start().await;
        let redirect = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            elsewhere.model.addr()
        );
        let body = says(field, "hi");
        let (response, _) = tokio::join!(world.post(path, &body), serve_once(listener, &redirect));
        assert_eq!(response.status(), 502);
        assert!(!response.headers().contains_key("location"));
        message(path, &response.json().await.unwrap());
        assert!(elsewhere.requests().is_empty());
        let end = world.end().await;
        assert!(matches!(
            end.last_error,
            Some(Error::ModelRefused { status: 307, .. })
        ));
    }
}

#[tokio::test]
async fn headers_of_the_endpoint_stay_with_the_proxy() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut setting = Setting::new(json!([]));
    setting.base_url = Some(format!("http://{}/v1", listener.local_addr().unwrap()));
    let world = setting.start().await;
    let body = r#"{"choices": [{"message": {"content": "hi"}}]}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: stolen=1\r\nOpenAI-Organization: stolen\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let request = says("messages", "hi");
    let asked = world.post("/v1/chat/completions", &request);
    let (response, _) = tokio::join!(asked, serve_once(listener, &answer));
    assert_eq!(response.status(), 200);
    assert!(!format!("{:?}", response.headers()).contains("stolen"));
    // It does not say what it has used.
    let end = world.end().await;
    assert_eq!((end.usage.turns, end.estimated), (1, 1));
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
                io::Result::Ok(())
            });
        }
    });
    (addr, issued.cert.pem())
}

/// Asks through a proxy whose endpoint is `base_url` by `http`; with the default patience.
async fn ask(base_url: String, http: reqwest::Client) -> (u16, Proxy) {
    let endpoint = Endpoint {
        provider: Provider::OpenAi,
        base_url,
        api_key: Some("the-key".into()),
        headers: Vec::new(),
        http,
        model: "the-model".to_owned(),
        prices: None::<Prices>,
        effort: None,
    };
    let proxy = Proxy::start(listener(), endpoint.into(), PLENTY, run()).expect("a usable endpoint");
    let request = client()
        .post(format!("http://{}/v1/chat/completions", proxy.addr()))
        .bearer_auth(proxy.key())
        .json(&says("messages", "hi"));
    let answer = tokio::time::timeout(LIMIT, request.send()).await;
    (
        answer.expect("it answers").expect("it answers").status().as_u16(),
        proxy,
    )
}

#[tokio::test]
async fn a_private_ca_is_trusted_when_it_is_given_and_only_then() {
    let world = World::with(json!([{"reply": {"text": "over TLS"}}])).await;
    let (addr, pem) = tls_in_front_of(world.model.addr()).await;
    let base_url = format!("https://{addr}/v1");
    let trusting = http_client(Some(pem.as_bytes()), None).unwrap();
    assert_eq!(ask(base_url.clone(), trusting).await.0, 200);

    // With the default patience: a certificate is not tried again.
    let (status, proxy) = ask(base_url, http_client(None, None).unwrap()).await;
    assert_eq!(status, 502);
    let error = proxy.stop().await.last_error.unwrap();
    assert!(matches!(error, Error::ModelUnreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn a_http_proxy_is_used_when_it_is_given() {
    let world = World::with(json!([{"reply": {"text": "by proxy"}}])).await;
    // The scripted model answers whatever host it is asked for, which makes it a proxy for plain http.
    let http = http_client(None, Some(&format!("http://{}", world.model.addr()))).unwrap();
    assert_eq!(ask("http://llm.invalid/v1".to_owned(), http).await.0, 200);
    assert_eq!(world.requests()[0].headers["host"], "llm.invalid");
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
