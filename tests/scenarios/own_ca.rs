//! A Bitbucket whose certificate is by a company's own CA: told while the CA is not configured, and nothing is lost.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::looking_in::page;
use crate::starting_and_stopping::executable;

/// What speaks TLS in front of a Bitbucket, as a load balancer does.
struct TlsFront {
    base_url: String,
    ca_pem: String,
    /// Ends with it.
    _serving: JoinSet<()>,
}

impl TlsFront {
    async fn start(bitbucket: SocketAddr) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &ca).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let settings = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, TlsAcceptor::from(Arc::new(settings)), bitbucket));
        Self {
            base_url: format!("https://127.0.0.1:{port}"),
            ca_pem: ca.pem(),
            _serving: serving,
        }
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, bitbucket: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            // Who does not trust the certificate ends the handshake.
            let Ok(mut client) = acceptor.accept(client).await else {
                return;
            };
            let Ok(mut server) = TcpStream::connect(bitbucket).await else {
                return;
            };
            // Either side may close when it likes.
            drop(copy_bidirectional(&mut client, &mut server).await);
        });
    }
}

/// Ends the resolver, changes a text of its configuration, and starts it.
async fn reconfigured(world: &mut World, from: &str, to: &str) {
    assert_eq!(world.end("up").await.unwrap(), 0);
    let config = world.path("resolver.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    std::fs::write(&config, text.replace(from, to)).unwrap();
    world.start_resolver().await.unwrap();
}

/// Waits until `/readyz` does or does not speak of the connection; what it says.
async fn readyz(world: &World, warns: bool) -> String {
    let told = until(WAIT_MAX, || async {
        let ready = page(world, "/readyz").await;
        (ready.contains("connection main:") == warns).then_some(ready)
    });
    told.await
        .unwrap_or_else(|| panic!("/readyz warns: {}\n{}", !warns, world.logs()))
}

/// What an operator is told of a comment.
async fn why(world: &World, comment: u64) -> String {
    let config = world.path("resolver.toml").to_str().unwrap().to_owned();
    let (code, stdout, stderr) =
        executable(&["runs", "why", &comment.to_string(), "--config", &config]).await;
    if code == 0 { stdout } else { stderr }
}

#[tokio::test]
async fn a_certificate_by_an_unknown_ca_is_told_and_what_was_asked_is_done_once_the_ca_is_configured() {
    scenario(async |world| {
        let front = TlsFront::start(world.bitbucket.addr()).await;
        let ca_file = world.path("ca.pem");
        std::fs::write(&ca_file, &front.ca_pem).unwrap();
        let plain = format!("base_url = \"{}\"", world.bitbucket.base_url());
        let secure = format!("base_url = \"{}\"", front.base_url);
        reconfigured(world, &plain, &secure).await;

        let ready = readyz(world, true).await;
        let told = "no trust in Bitbucket's TLS certificate: invalid peer certificate: UnknownIssuer";
        assert!(
            ready.contains("\"ready\":true") && ready.contains(&format!("connection main: {told}")),
            "{ready}"
        );
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        let waits = until(WAIT_MAX, || async {
            let why = why(world, comment).await;
            why.contains("it has not begun").then_some(why)
        });
        let waits = waits.await.expect("the mention was heard");
        assert!(
            waits.contains("the comment mentions the bot") && waits.contains("`/readyz`"),
            "{waits}"
        );
        let log = std::fs::read_to_string(world.path("up.log")).unwrap();
        let warning = log.lines().find(|line| line.contains("Bitbucket cannot be used"));
        assert!(warning.is_some_and(|line| line.contains(told)), "{log}");
        assert_eq!(world.pull_request(1).bots_comments().await.len(), 0);

        let trusted = format!("{secure}\nca_file = \"{}\"", ca_file.display());
        reconfigured(world, &secure, &trusted).await;
        readyz(world, false).await;
        let pr = world.pull_request(1);
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(pr.bots_commits().await.len(), 1);
        assert_eq!(
            pr.file("src/lib.rs").await.lines().last(),
            Some("// looked at by the bot")
        );
        let why = why(world, comment).await;
        assert!(why.contains("done"), "{why}");
    })
    .await;
}
