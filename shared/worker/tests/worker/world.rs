//! A server, a connection, and a handler that does as it is told.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::PullConsumer;
use lifecycle::Shutdown;
use pipeline::event::Repository;
use pipeline::failure::Failure;
use pipeline::ids::*;
use pipeline::job::{Actor, Credential};
use pipeline::mention::Command;
use pipeline::message::{Message, decode};
use pipeline::run::{Asked, Run};
use pipeline::subject;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::managed::ManagedServer;
use worker::{ConsumerSpec, DeadLetter, Deliver, Delivery, FailedRun, Handler, Nats, Publication, ReadFrom};

/// No wait in these tests takes longer when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) server: ManagedServer,
    pub(crate) nats: Nats,
}

impl World {
    /// A server with all streams.
    pub(crate) async fn start() -> Self {
        let world = Self::bare().await;
        world.nats.ensure().await.unwrap();
        world
    }

    /// A server without any.
    pub(crate) async fn bare() -> Self {
        let directory = TempDir::new().unwrap();
        let server = ManagedServer::start(directory.path(), None, CancellationToken::new())
            .await
            .unwrap();
        let nats = Nats::connect(&server.settings(&config::Nats::default()), "test")
            .await
            .unwrap();
        Self {
            directory,
            server,
            nats,
        }
    }

    pub(crate) async fn another_connection(&self) -> Nats {
        Nats::connect(&self.server.settings(&config::Nats::default()), "another")
            .await
            .unwrap()
    }

    /// Past the crate, to look at what it did and to do what it never does.
    pub(crate) async fn raw(&self) -> jetstream::Context {
        let settings = self.server.settings(&config::Nats::default());
        let password = settings.password.unwrap().expose_secret().to_owned();
        let client = async_nats::ConnectOptions::new()
            .user_and_password(settings.user.unwrap(), password)
            .connect(settings.url.unwrap())
            .await
            .unwrap();
        jetstream::new(client)
    }

    /// `kill -9`; the supervisor starts it again.
    pub(crate) fn kill_server(&self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.server.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    pub(crate) async fn publish(&self, note: &Note) -> u64 {
        let published = self
            .nats
            .publish(Publication::message(note.subject(), note))
            .await
            .unwrap();
        match published {
            worker::Published::New { sequence } => sequence,
            worker::Published::Exists => panic!("{note:?} was published before"),
        }
    }

    pub(crate) async fn dead_letters(&self) -> Vec<DeadLetter> {
        let letters = self
            .nats
            .read_stream(subject::DEAD, subject::DEAD_ALL, ReadFrom::Start, 100)
            .await
            .unwrap();
        letters
            .iter()
            .map(|message| decode(&message.payload).unwrap())
            .collect()
    }

    /// Messages that were delivered and not settled.
    pub(crate) async fn unsettled(&self) -> usize {
        self.consumer().await.num_ack_pending
    }

    /// Messages that were neither settled nor delivered.
    pub(crate) async fn waiting(&self) -> u64 {
        self.consumer().await.num_pending
    }

    async fn consumer(&self) -> jetstream::consumer::Info {
        let raw = self.raw().await;
        let consumer: PullConsumer = raw
            .get_consumer_from_stream(DURABLE, subject::MENTIONS)
            .await
            .unwrap();
        consumer.get_info().await.unwrap()
    }

    pub(crate) async fn until_all_is_settled(&self) {
        until("everything is settled", async || {
            self.unsettled().await == 0 && self.waiting().await == 0
        })
        .await;
    }
}

/// Between two looks at something that has no event of its own.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Waits for a condition that has no event of its own, such as the server's bookkeeping.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "never came: {what}"
    );
}

pub(crate) const DURABLE: &str = "test";

pub(crate) fn spec() -> ConsumerSpec {
    ConsumerSpec {
        stream: subject::MENTIONS,
        durable: DURABLE,
        filters: vec!["resolver.v1.mentions.note.>".into()],
        ack_wait: Duration::from_secs(30),
        max_ack_pending: 100,
        concurrency: 4,
        attempts_max: 3,
        deadline: PATIENCE,
        deliver: Deliver::All,
    }
}

/// What the test handler takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) v: u32,
    pub(crate) text: String,
}

impl Message for Note {
    const NAME: &'static str = "note";
}

impl Note {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            v: 1,
            text: text.into(),
        }
    }

    pub(crate) fn subject(&self) -> String {
        format!("resolver.v1.mentions.note.{}", self.text)
    }

    /// What the handler of [`Act::Publish`] makes of it.
    pub(crate) fn output(&self) -> String {
        format!("resolver.v1.mentions.output.{}", self.text)
    }
}

/// One thing the handler does.
pub(crate) enum Act {
    Publish,
    Fail(Failure),
    Panic,
    Sleep(Duration),
    WaitFor(Arc<Notify>),
    /// Blocks the thread, and with it everything else on a runtime of one thread.
    Freeze(std::sync::mpsc::Receiver<()>),
    Fence(RunId, u32),
}

/// A call of the handler.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) text: String,
    pub(crate) attempt: u32,
    pub(crate) delivered: u64,
}

type Script = Box<dyn Fn(&Note, &Delivery) -> Vec<Act> + Send + Sync>;

/// Does as `script` says, and tells.
pub(crate) struct Scripted {
    script: Script,
    seen: mpsc::UnboundedSender<Seen>,
    run: Option<Run>,
    key: fn(&Note) -> Option<String>,
}

impl Handler for Scripted {
    type Input = Note;

    async fn handle(&self, note: Note, delivery: &Delivery) -> Result<Vec<Publication>, Failure> {
        let (attempt, delivered) = (delivery.attempt, delivery.delivered);
        let _ = self.seen.send(Seen {
            text: note.text.clone(),
            attempt,
            delivered,
        });
        let mut outputs = Vec::new();
        let acts = (self.script)(&note, delivery);
        for act in acts {
            match act {
                Act::Publish => outputs.push(Publication::message(note.output(), &note)),
                Act::Fail(failure) => return Err(failure),
                Act::Panic => panic!("told to"),
                Act::Sleep(time) => tokio::time::sleep(time).await, // the work takes time
                Act::WaitFor(notify) => notify.notified().await,
                Act::Freeze(thaw) => thaw.recv_timeout(PATIENCE).unwrap(),
                Act::Fence(run, attempt) => delivery.fence(&run, attempt),
            }
        }
        Ok(outputs)
    }

    fn run_of(&self, _: &Note) -> Option<FailedRun> {
        self.run.clone().map(|run| FailedRun::Create(Box::new(run)))
    }

    fn key(&self, note: &Note) -> Option<String> {
        (self.key)(note)
    }
}

/// A consumer that runs.
pub(crate) struct Consumer {
    pub(crate) shutdown: Shutdown,
    pub(crate) seen: mpsc::UnboundedReceiver<Seen>,
    pub(crate) task: JoinHandle<anyhow::Result<()>>,
}

pub(crate) struct Told {
    pub(crate) handler: Scripted,
    pub(crate) seen: mpsc::UnboundedReceiver<Seen>,
}

/// A handler that does as `script` says.
pub(crate) fn told(script: impl Fn(&Note, &Delivery) -> Vec<Act> + Send + Sync + 'static) -> Told {
    let (sender, seen) = mpsc::unbounded_channel();
    Told {
        handler: Scripted {
            script: Box::new(script),
            seen: sender,
            run: None,
            key: |_| None,
        },
        seen,
    }
}

impl Told {
    /// `run` ends with whatever fails.
    pub(crate) fn with_run(mut self, run: Run) -> Self {
        self.handler.run = Some(run);
        self
    }

    pub(crate) fn with_key(mut self, key: fn(&Note) -> Option<String>) -> Self {
        self.handler.key = key;
        self
    }

    pub(crate) fn consume(self, nats: &Nats, spec: ConsumerSpec) -> Consumer {
        let shutdown = Shutdown::new();
        let consuming = worker::consume(nats.clone(), spec, Arc::new(self.handler), shutdown.clone());
        Consumer {
            shutdown,
            seen: self.seen,
            task: tokio::spawn(consuming),
        }
    }
}

impl Consumer {
    /// The next call of the handler.
    pub(crate) async fn next(&mut self) -> Seen {
        tokio::time::timeout(PATIENCE, self.seen.recv())
            .await
            .expect("the handler is called")
            .unwrap()
    }

    /// Softly shut down; returns the calls that nobody asked for.
    pub(crate) async fn stop(mut self) -> Vec<Seen> {
        self.shutdown.soft.cancel();
        self.ended().await;
        let mut rest = Vec::new();
        while let Ok(seen) = self.seen.try_recv() {
            rest.push(seen);
        }
        rest
    }

    pub(crate) async fn ended(&mut self) {
        tokio::time::timeout(PATIENCE, &mut self.task)
            .await
            .expect("the consumer ends")
            .unwrap()
            .unwrap();
    }
}

/// A queued run.
pub(crate) fn run() -> Run {
    let asked = Asked {
        instance: InstanceId::of_base_url("http://127.0.0.1"),
        repository: Repository {
            id: RepositoryId(84),
            project: ProjectKey::new("PROJ").unwrap(),
            slug: RepositorySlug::new("demo").unwrap(),
        },
        pull_request: PullRequestId(7),
        comment: CommentId(1),
        comment_version: 0,
        requester: None,
        credential: Credential {
            connection: ConnectionId::new("main").unwrap(),
            actor: Actor::Bot,
        },
        command: Command::request("fix it"),
    };
    let id = RunId::derive(&asked.instance, asked.comment, 0);
    Run::queued(id, asked, jiff::Timestamp::UNIX_EPOCH)
}
