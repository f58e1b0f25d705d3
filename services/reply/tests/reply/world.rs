//! A pull request with a comment, a run that answers it, and processes that follow the runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bitbucket_sim::{Options, Payloads, Simulator};
use config::{Config, FileConnections};
use jiff::Timestamp;
use lifecycle::{Health, Shutdown};
use pipeline::event::{Person, Repository};
use pipeline::ids::*;
use pipeline::job::{Actor, Credential};
use pipeline::mention::Command;
use pipeline::run::{Asked, Outcome, Run, RunState};
use pipeline::subject;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use worker::Nats;
use worker::managed::ManagedServer;

/// No wait in these tests takes longer when all is well: an unfinished post is looked for after ten seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct World {
    pub(crate) nats: Nats,
    pub(crate) bitbucket: Simulator,
    http: reqwest::Client,
    settings: Arc<Config>,
    followers: JoinSet<anyhow::Result<()>>,
    shutdown: Shutdown,
    server: ManagedServer,
    _directory: TempDir,
}

/// A comment as the simulator stores it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) id: u64,
    pub(crate) version: u64,
    pub(crate) author: String,
    pub(crate) text: String,
    pub(crate) parent: Option<u64>,
    pub(crate) reactions: Vec<String>,
}

impl World {
    /// Bitbucket with pull request 1, NATS with its streams, and one process of the role.
    pub(crate) async fn start() -> Self {
        let mut world = Self::without_follower().await;
        world.add_follower().await;
        world
    }

    pub(crate) async fn without_follower() -> Self {
        Self::with("", json!({})).await
    }

    /// Without a process of the role; with lines added to the configuration, and another database behind Bitbucket.
    pub(crate) async fn with(more: &str, switches: Value) -> Self {
        // A second start in one process keeps the first provider: all are the same.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let directory = TempDir::new().unwrap();
        let bitbucket = Simulator::start(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            data: directory.path().join("bitbucket"),
            context_path: "/bitbucket".into(),
            payloads: Payloads::V9,
        })
        .await
        .unwrap();
        let server = ManagedServer::start(directory.path(), None, CancellationToken::new())
            .await
            .unwrap();
        std::fs::write(directory.path().join("token"), "bot-t").unwrap();
        let file = directory.path().join("resolver.toml");
        std::fs::write(&file, configuration(&directory, &bitbucket.base_url()) + more).unwrap();
        let mut settings = config::load(&file).unwrap();
        settings.nats = server.settings(&settings.nats);
        let nats = Nats::connect(&settings.nats, "test").await.unwrap();
        nats.ensure().await.unwrap();
        let world = Self {
            nats,
            bitbucket,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            settings: Arc::new(settings),
            followers: JoinSet::new(),
            shutdown: Shutdown::new(),
            server,
            _directory: directory,
        };
        let mut document = document();
        document["server"] = switches;
        world.control("POST", "/sim/v1/world", &document).await;
        world
    }

    /// Starts one more process of the role, as far as anyone outside can tell.
    pub(crate) async fn add_follower(&mut self) {
        let nats = Nats::connect(&self.settings.nats, "reply").await.unwrap();
        let connections = Arc::new(FileConnections::new(&self.settings));
        let running = reply::run(
            self.settings.clone(),
            connections,
            nats,
            Health::new(),
            self.shutdown.clone(),
        );
        self.followers.spawn(running);
    }

    /// Ends everything; a follower that failed is a failure here.
    pub(crate) async fn stop(mut self) {
        self.shutdown.soft.cancel();
        while let Some(ended) = self.followers.join_next().await {
            ended.unwrap().unwrap();
        }
        self.bitbucket.shutdown().await;
        self.server.stop().await;
    }

    /// Somebody comments on the pull request.
    pub(crate) async fn comments(&self, token: &str, text: &str, parent: Option<u64>) -> u64 {
        let mut body = json!({ "text": text });
        if let Some(parent) = parent {
            body["parent"] = json!({ "id": parent });
        }
        self.rest("POST", token, "comments", &body).await["id"]
            .as_u64()
            .unwrap()
    }

    /// A queued run of alice's for her new comment.
    pub(crate) async fn queued_run(&self) -> Run {
        let comment = self.comments("alice-t", "@openhands fix it", None).await;
        let run = run_of(CommentId(comment));
        self.create(&run).await;
        run
    }

    pub(crate) async fn create(&self, run: &Run) {
        let created = self
            .nats
            .runs()
            .create(&subject::run_key(&run.id), run)
            .await
            .unwrap();
        assert_eq!(created, worker::Created::New);
    }

    pub(crate) async fn change(&self, run: &Run, mut change: impl FnMut(&mut Run)) -> Run {
        let (runs, key) = (self.nats.runs(), subject::run_key(&run.id));
        let changed = runs.update(&key, |run| {
            change(run);
            Ok::<_, Infallible>(())
        });
        let Ok((run, ())) = changed.await.unwrap();
        run
    }

    pub(crate) async fn take(&self, run: &Run) -> Run {
        self.change(run, |run| {
            run.take(Timestamp::now(), Timestamp::now()).unwrap();
        })
        .await
    }

    pub(crate) async fn end(&self, run: &Run, state: RunState, outcome: Outcome) -> Run {
        self.change(run, |run| {
            run.end(None, state, outcome.clone(), Timestamp::now()).unwrap();
        })
        .await
    }

    /// The run's record, once it is as `wanted`.
    pub(crate) async fn until_record(&self, run: &Run, wanted: impl Fn(&Run) -> bool) -> Run {
        let look = async || {
            self.nats
                .runs()
                .get(&subject::run_key(&run.id))
                .await
                .unwrap()
                .filter(&wanted)
        };
        match until(look).await {
            Some(record) => record,
            None => panic!("the record never was as wanted; {}", self.story(run).await),
        }
    }

    /// The record once its end is told and nothing is left to do.
    pub(crate) async fn until_closed(&self, run: &Run) -> Run {
        self.until_record(run, |record| record.reply.closing_reaction)
            .await
    }

    /// What the bot wrote, once it is as `wanted`.
    pub(crate) async fn until_bots(&self, run: &Run, wanted: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        match until(async || Some(self.bots().await).filter(|seen| wanted(seen))).await {
            Some(seen) => seen,
            None => panic!("the pull request never was as wanted; {}", self.story(run).await),
        }
    }

    /// Everything the bot has on the pull request.
    pub(crate) async fn bots(&self) -> Vec<Seen> {
        self.all()
            .await
            .into_iter()
            .filter(|comment| comment.author == "openhands")
            .collect()
    }

    pub(crate) async fn one(&self, id: u64) -> Seen {
        self.all()
            .await
            .into_iter()
            .find(|comment| comment.id == id)
            .unwrap()
    }

    pub(crate) async fn all(&self) -> Vec<Seen> {
        let page = self
            .rest("GET", "root-t", "activities?limit=500", &Value::Null)
            .await;
        let mut seen = Vec::new();
        for activity in page["values"].as_array().unwrap() {
            // Replies are listed apart, too, but without their parent; deleted comments as they last were.
            if activity["commentAction"] == "ADDED" {
                collect(&activity["comment"], None, &mut seen);
            }
        }
        seen.sort_by_key(|comment| comment.id);
        seen.dedup_by_key(|comment| comment.id);
        seen
    }

    /// The builds of a commit, newest first.
    pub(crate) async fn builds(&self, commit: &CommitId) -> Vec<Value> {
        let url = format!(
            "{}/rest/build-status/latest/commits/{commit}",
            self.bitbucket.base_url()
        );
        let page = self.ask("GET", &url, Some("root-t"), &Value::Null).await;
        page["values"].as_array().unwrap().clone()
    }

    /// Somebody makes a branch that has something else than the source branch.
    pub(crate) async fn branches_off(&self, name: &str) {
        let url = format!(
            "{}/rest/api/latest/projects/PROJ/repos/demo/branches",
            self.bitbucket.base_url()
        );
        let body = json!({"name": name, "startPoint": "refs/heads/other"});
        self.ask("POST", &url, Some("alice-t"), &body).await;
    }

    /// Method and path of what the bot asked Bitbucket, in order.
    pub(crate) async fn calls(&self) -> Vec<String> {
        let requests = self
            .control("GET", "/sim/v1/requests?after=0", &Value::Null)
            .await;
        let ours = requests
            .as_array()
            .unwrap()
            .iter()
            .filter(|request| request["user"] == "openhands");
        ours.map(|request| {
            let path = request["path"].as_str().unwrap();
            let end = path.split_once("/pull-requests/1/").map_or(path, |(_, end)| end);
            format!("{} {end}", request["method"].as_str().unwrap())
        })
        .collect()
    }

    pub(crate) async fn faults(&self, rules: Value) {
        self.control("PUT", "/sim/v1/faults", &rules).await;
    }

    /// A pull request's REST resource, as somebody.
    pub(crate) async fn rest(&self, method: &str, token: &str, path: &str, body: &Value) -> Value {
        let pull_request = "/rest/api/latest/projects/PROJ/repos/demo/pull-requests/1";
        self.ask(
            method,
            format!("{}{pull_request}/{path}", self.bitbucket.base_url()).trim_end_matches('/'),
            Some(token),
            body,
        )
        .await
    }

    async fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(
            method,
            &format!("{}{path}", self.bitbucket.base_url()),
            None,
            body,
        )
        .await
    }

    async fn ask(&self, method: &str, url: &str, token: Option<&str>, body: &Value) -> Value {
        let mut request = self
            .http
            .request(method.parse().unwrap(), url)
            .header("X-Atlassian-Token", "no-check");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {url}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn story(&self, run: &Run) -> String {
        let record = self.nats.runs().get(&subject::run_key(&run.id)).await;
        format!(
            "record: {record:#?}\ncomments: {:#?}\ncalls: {:#?}",
            self.all().await,
            self.calls().await
        )
    }
}

/// A queued run for a comment.
pub(crate) fn run_of(comment: CommentId) -> Run {
    let asked = Asked {
        instance: InstanceId::of_base_url("http://127.0.0.1"),
        repository: Repository {
            id: RepositoryId(84),
            project: ProjectKey::new("PROJ").unwrap(),
            slug: RepositorySlug::new("demo").unwrap(),
        },
        pull_request: PullRequestId(1),
        comment,
        comment_version: 0,
        requester: Some(Person {
            id: None,
            name: "alice".into(),
            slug: None,
            display_name: None,
            email: None,
            is_service: false,
        }),
        credential: Credential {
            connection: ConnectionId::new("main").unwrap(),
            actor: Actor::Bot,
        },
        command: Command::request("fix it"),
    };
    Run::queued(
        RunId::derive(&asked.instance, comment, 0),
        asked,
        Timestamp::now(),
    )
}

/// The hidden last line of a status reply.
pub(crate) fn marker(run: &Run, n: u64) -> String {
    format!("[//]: # (openhands-resolver run={} n={n})", run.id)
}

async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < end {
        ticks.tick().await;
        if let Some(found) = look().await {
            return Some(found);
        }
    }
    None
}

fn collect(comment: &Value, parent: Option<u64>, seen: &mut Vec<Seen>) {
    let Some(id) = comment["id"].as_u64() else { return };
    let reactions = comment["properties"]["reactions"]
        .as_array()
        .into_iter()
        .flatten();
    seen.push(Seen {
        id,
        version: comment["version"].as_u64().unwrap(),
        author: comment["author"]["name"].as_str().unwrap().to_owned(),
        text: comment["text"].as_str().unwrap().to_owned(),
        parent,
        reactions: reactions
            .map(|r| r["emoticon"]["shortcut"].as_str().unwrap().to_owned())
            .collect(),
    });
    for reply in comment["comments"].as_array().unwrap() {
        collect(reply, Some(id), seen);
    }
}

fn configuration(directory: &TempDir, bitbucket: &str) -> String {
    format!(
        "data_dir = {data:?}\n[ingest]\nlisten = \"127.0.0.1:0\"\n[health]\nlisten = \"127.0.0.1:0\"\n\
         [nats]\nack_wait_seconds = 5\n[sandbox]\nmode = \"off\"\n\
         [llm]\nbase_url = \"http://127.0.0.1:1/v1\"\n[[model]]\nalias = \"default\"\nmodel = \"none\"\n\
         [[connection]]\nid = \"main\"\nbase_url = \"{bitbucket}\"\nbot_token_file = {token:?}\n\
         webhook_secret_files = [{token:?}]\nrepositories = [\"PROJ/*\"]\n",
        data = directory.path(),
        token = directory.path().join("token"),
    )
}

fn document() -> Value {
    let person = |name: &str, permission: &str| {
        json!({"name": name, "email": format!("{name}@example.test"),
               "tokens": [{"token": format!("{}-t", if name == "openhands" { "bot" } else { name }), "permission": permission}]})
    };
    let mut root = person("root", "REPO_ADMIN");
    root["admin"] = json!(true);
    json!({
        "users": [person("alice", "REPO_WRITE"), person("openhands", "REPO_WRITE"), root],
        "projects": [{"key": "PROJ"}],
        "repositories": [{"project": "PROJ", "slug": "demo", "id": 84,
            "branches": {"main": {"files": {"a.rs": "a\n"}}, "feature/x": {"from": "main", "files": {"a.rs": "b\n"}},
                "other": {"from": "main", "files": {"a.rs": "c\n"}}},
            "permissions": {"alice": "REPO_WRITE", "openhands": "REPO_WRITE"}}],
        "pull_requests": [{"repository": "PROJ/demo", "from": "feature/x", "to": "main", "author": "alice", "title": "x"}],
    })
}
