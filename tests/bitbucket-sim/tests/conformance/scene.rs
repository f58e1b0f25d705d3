//! A running simulator with a small world, people who call it, and a receiver of webhooks.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::extract::State;
use bitbucket_sim::{Options, Payloads, Simulator};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);

/// Everything a test needs.
pub(crate) struct Scene {
    pub(crate) simulator: Simulator,
    pub(crate) client: Client,
    directory: tempfile::TempDir,
}

/// Who calls.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// With this token.
    Token(&'static str),
    /// With user name and password (or token).
    Basic(&'static str, &'static str),
    Nobody,
}

/// May write.
pub(crate) const JANE: By = By::Token("jane-t");
/// May write; the bot.
pub(crate) const BOT: By = By::Token("bot-t");
/// May only read.
pub(crate) const READER: By = By::Token("reader-t");
/// Administers everything, within a token's limits.
pub(crate) const ROOT: By = By::Token("root-t");
/// May nothing here.
pub(crate) const STRANGER: By = By::Token("stranger-t");

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Panics unless the status is this one.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Answer {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    pub(crate) fn exception(&self) -> String {
        let json = self.json();
        let name = json["errors"][0]["exceptionName"].as_str().unwrap_or_default();
        name.trim_start_matches("com.atlassian.bitbucket.").to_owned()
    }
}

/// The world of the fixtures: a project, a repository, a pull request, people.
pub(crate) fn world() -> Value {
    json!({
        "users": [
            {"name": "jcitizen", "id": 101, "display_name": "Jane Citizen", "email": "jane@example.com",
             "tokens": [{"token": "jane-t", "permission": "REPO_WRITE"}, {"token": "jane-read-t", "permission": "REPO_READ"}]},
            {"name": "openhands", "id": 202, "display_name": "OpenHands Bot", "email": "openhands@example.com",
             "tokens": [{"token": "bot-t", "permission": "REPO_WRITE", "name": "bot"}]},
            {"name": "reader", "email": "reader@example.com", "tokens": [{"token": "reader-t", "permission": "REPO_WRITE"}]},
            {"name": "stranger", "tokens": [{"token": "stranger-t", "permission": "REPO_ADMIN"}]},
            {"name": "root", "admin": true, "password": "secret", "email": "root@example.com",
             "tokens": [{"token": "root-t", "permission": "PROJECT_ADMIN"}]},
        ],
        "groups": [{"name": "dev", "members": ["jcitizen"]}],
        "projects": [{"key": "PROJ", "name": "Project", "permissions": {"@dev": "PROJECT_WRITE"}}],
        "repositories": [{"project": "PROJ", "slug": "demo", "id": 84,
            "branches": {
                "main": {"files": {"src/upload.rs": "fn upload() {\n    let r = send();\n    r.unwrap();\n}\n", "README": "demo\n"}},
                "feature/retry": {"from": "main", "author": "jcitizen", "message": "Retry uploads",
                    "files": {"src/upload.rs": "fn upload() {\n    let r = send();\n    r?;\n    Ok(())\n}\n"}},
                "other": {"from": "main", "files": {"other.txt": "x\n"}},
            },
            "permissions": {"openhands": "REPO_WRITE", "reader": "REPO_READ"}}],
        "pull_requests": [{"repository": "PROJ/demo", "id": 7, "from": "feature/retry", "to": "main", "author": "jcitizen",
            "title": "Add retry to the uploader", "description": "Fixes the flaky upload.\n\nSee PROJ-12."}],
    })
}

impl Scene {
    pub(crate) async fn start() -> Scene {
        Scene::with(world(), "", Payloads::V9).await
    }

    pub(crate) async fn with(world: Value, context_path: &str, payloads: Payloads) -> Scene {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = Options {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            data: directory.path().join("data"),
            context_path: context_path.to_owned(),
            payloads,
        };
        let simulator = Simulator::start(options).await.expect("the simulator starts");
        let client = Client::builder()
            .timeout(LIMIT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        let scene = Scene {
            simulator,
            client,
            directory,
        };
        scene.control("POST", "world", Some(world)).await.is(201);
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Calls any path below the base URL.
    pub(crate) async fn send(&self, by: By, method: &str, path: &str, body: Option<Value>) -> Answer {
        let url = format!("{}{path}", self.simulator.base_url());
        let request = self
            .client
            .request(Method::from_bytes(method.as_bytes()).expect("a method"), url);
        let request = request
            .header("Accept", "application/json")
            .header("X-Atlassian-Token", "no-check");
        let request = match by {
            By::Token(token) => request.bearer_auth(token),
            By::Basic(name, password) => request.basic_auth(name, Some(password)),
            By::Nobody => request,
        };
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        Answer {
            status,
            headers,
            text: response.text().await.expect("a body of text"),
        }
    }

    pub(crate) async fn api(&self, by: By, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send(by, method, &format!("/rest/api/latest{path}"), body)
            .await
    }

    /// Below the repository `PROJ/demo`.
    pub(crate) async fn repo(&self, by: By, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.api(by, method, &format!("/projects/PROJ/repos/demo{path}"), body)
            .await
    }

    /// Below the pull request 7.
    pub(crate) async fn pr(&self, by: By, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.repo(by, method, &format!("/pull-requests/7{path}"), body)
            .await
    }

    pub(crate) async fn control(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send(By::Nobody, method, &format!("/sim/v1/{path}"), body)
            .await
    }

    /// Comments on the pull request; the comment's entity.
    pub(crate) async fn comment(&self, by: By, body: Value) -> Value {
        self.pr(by, "POST", "/comments", Some(body)).await.is(201).json()
    }

    pub(crate) async fn webhook(&self, receiver: &Receiver, events: &[&str]) -> Value {
        let body = json!({"name": "hook", "url": receiver.url, "events": events, "configuration": {"secret": "12345"}});
        self.repo(ROOT, "POST", "/webhooks", Some(body))
            .await
            .is(201)
            .json()
    }

    /// Runs git, as a person with this token.
    pub(crate) async fn git(&self, token: &str, directory: &Path, args: &[&str]) -> Output {
        #[expect(
            clippy::disallowed_methods,
            reason = "the point is that git's own client works"
        )]
        let mut command = tokio::process::Command::new("git");
        command
            .args(["-c", &format!("http.extraHeader=Authorization: Bearer {token}")])
            .args([
                "-c",
                "user.name=Jane Citizen",
                "-c",
                "user.email=jane@example.com",
                "-c",
                "credential.helper=",
            ])
            .args(args)
            .current_dir(directory)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .env("LC_ALL", "C")
            .kill_on_drop(true);
        tokio::time::timeout(LIMIT, command.output())
            .await
            .expect("git hangs")
            .expect("git starts")
    }

    pub(crate) fn clone_url(&self) -> String {
        format!("{}/scm/proj/demo.git", self.simulator.base_url())
    }

    /// A clone with `branch` checked out.
    pub(crate) async fn cloned(&self, token: &str, branch: &str, name: &str) -> PathBuf {
        let output = self
            .git(
                token,
                self.directory.path(),
                &["clone", "-q", "-b", branch, &self.clone_url(), name],
            )
            .await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.path(name)
    }

    /// Commits a file in a clone and pushes the branch.
    pub(crate) async fn push_file(&self, token: &str, clone: &Path, file: &str) -> Output {
        std::fs::write(clone.join(file), format!("{file}\n")).expect("a file in the clone");
        for args in [&["add", "."][..], &["commit", "-q", "-m", file][..]] {
            assert!(self.git(token, clone, args).await.status.success());
        }
        self.git(token, clone, &["push", "-q", "origin", "HEAD"]).await
    }
}

/// What a webhook's receiver got.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: String,
}

impl Delivery {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a header of text"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body of JSON")
    }
}

/// A server that webhooks are delivered to.
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) status: Arc<AtomicU16>,
    got: Mutex<mpsc::UnboundedReceiver<Delivery>>,
}

type Inbox = (mpsc::UnboundedSender<Delivery>, Arc<AtomicU16>);

async fn receive(
    State((sender, status)): State<Inbox>,
    headers: axum::http::HeaderMap,
    body: String,
) -> (axum::http::StatusCode, &'static str) {
    sender.send(Delivery { headers, body }).expect("the test is over");
    (
        axum::http::StatusCode::from_u16(status.load(Ordering::SeqCst)).expect("a status"),
        "received",
    )
}

impl Receiver {
    pub(crate) async fn start() -> Receiver {
        let (sender, got) = mpsc::unbounded_channel();
        let status = Arc::new(AtomicU16::new(200));
        let app = axum::Router::new()
            .fallback(receive)
            .with_state((sender, Arc::clone(&status)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await.expect("the receiver serves") });
        Receiver {
            url,
            status,
            got: Mutex::new(got),
        }
    }

    /// The next delivery.
    pub(crate) async fn next(&self) -> Delivery {
        let mut got = self.got.lock().await;
        tokio::time::timeout(LIMIT, got.recv())
            .await
            .expect("nothing was delivered")
            .expect("the receiver ended")
    }

    /// The next delivery with this event key.
    pub(crate) async fn next_of(&self, key: &str) -> Delivery {
        loop {
            let delivery = self.next().await;
            if delivery.header("x-event-key") == key {
                return delivery;
            }
        }
    }
}
