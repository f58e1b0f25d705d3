//! A webhook-ingest with its NATS, and a Bitbucket that signs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use config::FileConnections;
use hmac::{Hmac, KeyInit, Mac};
use lifecycle::{Health, Shutdown};
use pipeline::decision::Decision;
use pipeline::event::Event;
use pipeline::message::{Message, decode};
use pipeline::subject;
use sha2::Sha256;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use webhook_ingest::ConnectionActivity;
use worker::managed::ManagedServer;
use worker::{Nats, ReadFrom, StoredMessage};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The limit of a body here.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;
/// The connection's current secret, and the one before.
pub(crate) const SECRET: &str = "correct horse";
pub(crate) const OLD_SECRET: &str = "battery staple";

pub(crate) const COMMENT_9X: &[u8] = include_bytes!("../../fixtures/webhook_9x_pr_comment_added.json");
pub(crate) const COMMENT_10X: &[u8] = include_bytes!("../../fixtures/webhook_10x_pr_comment_added.json");
pub(crate) const REFS_CHANGED: &[u8] = include_bytes!("../../fixtures/webhook_10x_repo_refs_changed.json");
pub(crate) const PROJECT_MODIFIED: &[u8] = include_bytes!("../../fixtures/webhook_9x_project_modified.json");

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) nats: Nats,
    pub(crate) server: ManagedServer,
    pub(crate) shutdown: Shutdown,
    pub(crate) role: JoinHandle<anyhow::Result<()>>,
    pub(crate) client: reqwest::Client,
    pub(crate) directory: TempDir,
}

/// What a request was answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl World {
    /// Everything runs and nothing has arrived.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// `ingest` has more lines of the section `[ingest]`; `{dir}` in them is a directory of this world.
    pub(crate) async fn start_with(ingest: &str) -> Self {
        trace();
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(directory, ingest).await
    }

    pub(crate) async fn start_in(directory: TempDir, ingest: &str) -> Self {
        let config = configuration(directory.path(), ingest);
        let shutdown = Shutdown::new();
        let server = ManagedServer::start(&config.data_dir, None, shutdown.hard.clone());
        let server = server.await.expect("a nats-server on PATH");
        let nats = Nats::connect(&server.settings(&config.nats), "test")
            .await
            .expect("a connection");
        nats.ensure().await.expect("the streams");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let connections = Arc::new(FileConnections::new(&config));
        let (config, health) = (Arc::new(config), Health::new());
        let role = webhook_ingest::run(
            listener,
            config,
            connections,
            nats.clone(),
            health,
            shutdown.clone(),
        );
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .expect("a client");
        Self {
            address,
            nats,
            server,
            shutdown,
            role: tokio::spawn(role),
            client,
            directory,
        }
    }

    /// Where Bitbucket sends the deliveries of a connection.
    pub(crate) fn url(&self, connection: &str) -> String {
        format!("http://{}{}", self.address, path(connection))
    }

    /// A request with headers of its own.
    pub(crate) async fn post(&self, connection: &str, headers: &[(&str, &str)], body: &[u8]) -> Answered {
        let mut request = self.client.post(self.url(connection)).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        Answered {
            status: response.status().as_u16(),
            text: response.text().await.expect("a text"),
        }
    }

    /// A delivery as Bitbucket sends it.
    pub(crate) async fn deliver(&self, delivery: &str, body: &[u8]) -> Answered {
        let signature = signature(SECRET, body);
        self.post(
            "main",
            &[("x-hub-signature", &signature), ("x-request-id", delivery)],
            body,
        )
        .await
    }

    /// Every event stored.
    pub(crate) async fn events(&self) -> Vec<Event> {
        decoded(&self.stored(subject::EVENTS, subject::EVENTS_ALL).await)
    }

    /// Every decision recorded.
    pub(crate) async fn decisions(&self) -> Vec<Decision> {
        decoded(&self.stored(subject::DECISIONS, subject::DECISIONS_ALL).await)
    }

    pub(crate) async fn stored(&self, stream: &str, filter: &str) -> Vec<StoredMessage> {
        self.nats
            .read_stream(stream, filter, ReadFrom::Start, 10_000)
            .await
            .expect("the stream can be read")
    }

    /// Stops the role, which writes what it counted, and returns the connection's record.
    pub(crate) async fn activity_at_the_end(self) -> Option<ConnectionActivity> {
        self.shutdown.soft.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.role)
            .await
            .expect("the role ends");
        ended.expect("no panic").expect("no error");
        let records = self
            .nats
            .records::<ConnectionActivity>(ConnectionActivity::BUCKET);
        records.get("main").await.expect("the bucket can be read")
    }
}

pub(crate) fn path(connection: &str) -> String {
    format!("/integration/bitbucket-dc/connections/{connection}/events")
}

/// The header Bitbucket computes.
pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A fixture with one text replaced.
pub(crate) fn with(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(body.to_vec()).expect("fixtures are text");
    assert!(text.contains(from), "{from} is not in the fixture");
    text.replace(from, to).into_bytes()
}

fn decoded<M: Message>(messages: &[StoredMessage]) -> Vec<M> {
    messages
        .iter()
        .map(|message| decode(&message.payload).expect("a message of this build"))
        .collect()
}

fn configuration(directory: &Path, ingest: &str) -> config::Config {
    let dir = directory.display();
    for (name, text) in [("token", "unused"), ("hook", SECRET), ("hook-old", OLD_SECRET)] {
        std::fs::write(directory.join(name), text).expect("a file");
    }
    let text = format!(
        "data_dir = '{dir}/data'\n[ingest]\nbody_bytes_max = {BODY_BYTES_MAX}\n{}\n\
         [[connection]]\nid = 'main'\nbase_url = 'https://bitbucket.example.com'\nbot_token_file = '{dir}/token'\n\
         webhook_secret_files = ['{dir}/hook', '{dir}/hook-old']\nrepositories = ['PROJ/*']\n",
        ingest.replace("{dir}", &dir.to_string()),
    );
    let file = directory.join("config.toml");
    std::fs::write(&file, text).expect("a file");
    std::fs::create_dir_all(directory.join("data")).expect("a directory");
    config::load_with(&file, []).expect("a right configuration")
}

/// Spans need a subscriber to have trace ids; a process is set up once.
fn trace() {
    static GUARD: OnceLock<telemetry::Guard> = OnceLock::new();
    GUARD.get_or_init(|| {
        let settings = telemetry::Settings {
            log: "human",
            filter: "error",
            otlp_endpoint: None,
        };
        telemetry::init(&settings, "webhook-ingest").expect("the first set-up of the process")
    });
}
