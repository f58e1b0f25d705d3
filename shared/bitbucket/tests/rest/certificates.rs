//! TLS: a CA of the connection's own, and no trust without it.

use std::sync::Arc;

use bitbucket::Error;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{PR, client, connection, repository};

/// A TLS server that answers every request with the pull request, its base URL, and its CA.
async fn tls_server() -> (String, Vec<u8>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let settings = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client without trust ends the handshake; that is its test's point.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut buffer = [0; 4096];
            let _read = stream.read(&mut buffer).await;
            let body = include_str!("../../fixtures/rest_pull_request.json");
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            let _written = stream.write_all(answer.as_bytes()).await;
            let _closed = stream.shutdown().await;
        }
    });
    (format!("https://localhost:{port}"), ca.pem().into_bytes())
}

#[tokio::test]
async fn a_bitbucket_with_an_own_ca_is_trusted_by_its_connection_only() {
    let (base_url, ca) = tls_server().await;
    let without = connection(&base_url);
    let mut with = without.clone();
    with.ca_pem = Some(ca);
    client(&with).pull_request(&repository(), PR).await.unwrap();
    for error in [
        client(&without)
            .pull_request(&repository(), PR)
            .await
            .unwrap_err(),
        client(&without)
            .add_comment(&repository(), PR, "x", None)
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_host_is_not_trusted() {
    let (base_url, ca) = tls_server().await;
    let mut other = connection(&base_url.replace("localhost", "127.0.0.1"));
    other.ca_pem = Some(ca);
    let error = client(&other).pull_request(&repository(), PR).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}
