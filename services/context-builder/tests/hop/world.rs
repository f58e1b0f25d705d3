//! A server, a Bitbucket with one pull request, the role, and a worker that takes jobs and ends them when told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitbucket_sim::{Options, Payloads, Simulator};
use config::{Config, FileConnections};
use jiff::Timestamp;
use lifecycle::{Health, Shutdown};
use pipeline::event::{Person, Repository};
use pipeline::ids::{
    CommentId, ConnectionId, DeliveryId, InstanceId, ProjectKey, PullRequestId, RepositoryId, RepositorySlug,
    RunId,
};
use pipeline::mention::{Change, Closed, Command, Control, Mention, Origin};
use pipeline::message::VERSION;
use pipeline::run::Run;
use pipeline::subject;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::managed::ManagedServer;
use worker::{Nats, Publication};

use crate::setup::{document, settings};
use crate::stand_in::{self, StandIn};

/// No wait takes longer when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

pub(crate) struct World {
    pub(crate) nats: Nats,
    bitbucket: Simulator,
    http: reqwest::Client,
    settings: Arc<Config>,
    server: ManagedServer,
    shutdown: Shutdown,
    role: JoinHandle<anyhow::Result<()>>,
    worker: JoinHandle<anyhow::Result<()>>,
    /// Runs the worker took, in order.
    taken: Arc<Mutex<Vec<RunId>>>,
    /// One permit ends one run.
    ends: Arc<Semaphore>,
    /// One permit loses one worker.
    lost: Arc<Semaphore>,
    sequence: AtomicU64,
    _directory: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        // A second test in one process finds the provider installed: all are the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = TempDir::new().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let data = directory.path().join("bitbucket");
        let options = Options {
            listen,
            data,
            context_path: String::new(),
            payloads: Payloads::V9,
        };
        let bitbucket = Simulator::start(options).await.unwrap();
        let settings = Arc::new(settings(&directory, &bitbucket.base_url()));
        let server = ManagedServer::start(&settings.data_dir, None, CancellationToken::new())
            .await
            .unwrap();
        let nats = Nats::connect(&server.settings(&settings.nats), "test")
            .await
            .unwrap();
        nats.ensure().await.unwrap();
        let shutdown = Shutdown::new();
        let taken = Arc::default();
        let ends = Arc::new(Semaphore::new(0));
        let lost = Arc::new(Semaphore::new(0));
        let stand_in = StandIn {
            nats: nats.clone(),
            taken: Arc::clone(&taken),
            ends: Arc::clone(&ends),
            lost: Arc::clone(&lost),
        };
        let world = Self {
            role: start_role(&settings, &nats, &shutdown),
            worker: stand_in::start(stand_in, &shutdown),
            nats,
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(PATIENCE)
                .build()
                .unwrap(),
            bitbucket,
            settings,
            server,
            shutdown,
            taken,
            ends,
            lost,
            sequence: AtomicU64::new(1),
            _directory: directory,
        };
        world.send("", "POST", "/sim/v1/world", document()).await;
        world
    }

    /// Stops the role as a crash would and starts it again: what it had in hand is delivered again.
    pub(crate) async fn crash_and_restart_the_role(&mut self) {
        self.role.abort();
        let _ = (&mut self.role).await;
        self.role = start_role(&self.settings, &self.nats, &self.shutdown);
    }

    /// Ends everything and fails on a message that was given up.
    pub(crate) async fn end(self) {
        let dead = self
            .nats
            .read_stream(subject::DEAD, subject::DEAD_ALL, worker::ReadFrom::Start, 10)
            .await
            .unwrap();
        assert!(dead.is_empty(), "{:?}", String::from_utf8_lossy(&dead[0].payload));
        self.shutdown.soft.cancel();
        self.shutdown.hard.cancel();
        self.role.await.unwrap().unwrap();
        self.worker.await.unwrap().unwrap();
        self.server.stop().await;
    }

    /// `who` comments; the mention parser's message follows when told by [`World::mention`].
    pub(crate) async fn comment(&self, who: &str, text: &str, parent: Option<u64>) -> u64 {
        let mut body = json!({"text": text});
        if let Some(parent) = parent {
            body["parent"] = json!({"id": parent});
        }
        let made = self
            .send(who, "POST", &format!("{PULL_REQUEST}/comments"), body)
            .await;
        made["id"].as_u64().unwrap()
    }

    /// A request to the simulator with `who`'s token.
    pub(crate) async fn send(&self, who: &str, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.bitbucket.base_url());
        let mut request = self.http.request(method.parse().unwrap(), url).json(&body);
        if !who.is_empty() {
            request = request.bearer_auth(format!("{who}-t"));
        }
        let answer = request
            .header("X-Atlassian-Token", "no-check")
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Publishes what the mention parser makes of a comment's version.
    pub(crate) async fn mention(&self, who: &str, comment: u64, version: u32, text: Option<&str>) -> RunId {
        self.mention_in(who, comment, version, text, None).await
    }

    pub(crate) async fn mention_in(
        &self,
        who: &str,
        comment: u64,
        version: u32,
        text: Option<&str>,
        parent: Option<u64>,
    ) -> RunId {
        self.mention_of(who, comment, version, text.map(Command::request), parent)
            .await
    }

    /// The same, with any command.
    pub(crate) async fn mention_of(
        &self,
        who: &str,
        comment: u64,
        version: u32,
        command: Option<Command>,
        parent: Option<u64>,
    ) -> RunId {
        let mention = Mention {
            v: VERSION,
            origin: self.origin(),
            comment: CommentId(comment),
            comment_version: version,
            parent: parent.map(CommentId),
            author: Some(Self::person(who)),
            written_at: Some(Timestamp::now()),
            command,
        };
        self.nats
            .publish(Publication::message(subject::mention(&mention), &mention))
            .await
            .unwrap();
        RunId::derive(&mention.origin.instance, mention.comment, version)
    }

    pub(crate) fn person(who: &str) -> Person {
        Person {
            id: None,
            name: who.to_owned(),
            slug: None,
            display_name: None,
            email: None,
            is_service: false,
        }
    }

    pub(crate) async fn deleted(&self, comment: u64) {
        self.control(Change::CommentDeleted {
            comment: CommentId(comment),
        })
        .await;
    }

    pub(crate) async fn closed(&self) {
        self.control(Change::Closed {
            version: 1,
            how: Closed::Declined,
        })
        .await;
    }

    async fn control(&self, change: Change) {
        let control = Control {
            v: VERSION,
            origin: self.origin(),
            actor: None,
            change,
        };
        self.nats
            .publish(Publication::message(subject::control(&control), &control))
            .await
            .unwrap();
    }

    /// Each event has the next place in `EVENTS`.
    pub(crate) fn origin(&self) -> Origin {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        Origin {
            delivery: DeliveryId::new(format!("d-{sequence}")).unwrap(),
            event_sequence: sequence,
            connection: ConnectionId::new("main").unwrap(),
            instance: InstanceId::of_base_url(self.settings.connections[0].base_url.as_str()),
            repository: Repository {
                id: RepositoryId(84),
                project: ProjectKey::new("PROJ").unwrap(),
                slug: RepositorySlug::new("demo").unwrap(),
            },
            pull_request: PullRequestId(1),
        }
    }

    /// Lets the worker end one run.
    pub(crate) fn end_one_run(&self) {
        self.ends.add_permits(1);
    }

    /// The worker lets go of its job without an end.
    pub(crate) async fn lose_the_worker(&self, run: &Run) {
        self.lost.add_permits(1);
        let slot = subject::job_of_lane(&run.instance, run.repository.id, &run.lane);
        let gone = async {
            while self
                .nats
                .last_on_subject(subject::JOBS, &slot)
                .await
                .unwrap()
                .is_some()
            {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone)
            .await
            .expect("the job is let go");
    }

    pub(crate) fn taken(&self) -> Vec<RunId> {
        self.taken.lock().unwrap().clone()
    }
}

/// The pull request of every test.
pub(crate) const PULL_REQUEST: &str = "/rest/api/latest/projects/PROJ/repos/demo/pull-requests/1";

fn start_role(settings: &Arc<Config>, nats: &Nats, shutdown: &Shutdown) -> JoinHandle<anyhow::Result<()>> {
    let connections = Arc::new(FileConnections::new(settings));
    let role = context_builder::run(
        Arc::clone(settings),
        connections,
        nats.clone(),
        Health::new(),
        shutdown.clone(),
    );
    tokio::spawn(role)
}
