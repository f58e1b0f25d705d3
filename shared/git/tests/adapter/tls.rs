//! TLS with a CA of the connection's own, and no trust without it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use git::{Depth, Error, PushError, Remote};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

use crate::server::Server;
use crate::world::{BRANCH, World};

#[test]
fn fetch_and_push_trust_a_server_by_the_given_ca() {
    let (world, remote) = world();
    let mirror = world.mirror();
    let pushed = world.change_and_push(mirror.as_ref(), &remote).unwrap();
    assert_eq!(world.server_head(), pushed);
}

#[test]
fn without_the_ca_nothing_is_fetched_or_pushed() {
    let (world, trusting) = world();
    let other_ca = ca().pem().into_bytes();
    for ca_pem in [None, Some(other_ca)] {
        let remote = Remote {
            ca_pem,
            ..trusting.clone()
        };
        refuses(&world, &trusting, &remote);
    }
}

#[test]
fn a_certificate_for_another_host_is_not_trusted() {
    let (world, trusting) = world();
    let mut other = trusting.clone();
    other.url = other.url.replace("localhost", "127.0.0.1");
    refuses(&world, &trusting, &other);
}

/// Neither a fetch nor a push gets through, because of the certificate; and no token has been sent.
fn refuses(world: &World, trusting: &Remote, remote: &Remote) {
    let mirror = world.mirror();
    let go = AtomicBool::new(false);
    let head = mirror.fetch(trusting, BRANCH, Depth::Shallow(1), &go).unwrap();
    let seen = world.server.seen();
    let fetched = mirror.fetch(remote, BRANCH, Depth::Shallow(1), &go);
    assert!(
        matches!(&fetched, Err(Error::Unreachable { cause }) if cause.contains("certificate")),
        "{fetched:?}"
    );
    let pushed = mirror.push(remote, BRANCH, &head, &head);
    assert!(
        matches!(&pushed, Err(PushError::Git(Error::Unreachable { cause })) if cause.contains("certificate")),
        "{pushed:?}"
    );
    assert_eq!(world.server.seen(), seen, "something was sent");
}

/// A world behind TLS for `localhost`, and the way there that trusts its CA.
pub(crate) fn world() -> (World, Remote) {
    let ca = ca();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let settings = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    let world = World::served_by(|root: &Path| {
        Server::start_tls(root, move |listener| TlsListener { listener, acceptor })
    });
    let mut remote = world.remote();
    remote.url = remote.url.replace("127.0.0.1", "localhost");
    remote.ca_pem = Some(ca.pem().into_bytes());
    (world, remote)
}

fn ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Connections whose handshake has succeeded. A client without trust ends the handshake; that is its test's point.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.listener.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
