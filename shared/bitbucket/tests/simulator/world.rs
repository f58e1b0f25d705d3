//! A small world: a project with a repository and a pull request, a personal repository, and some people.

use bitbucket::Client;
use bitbucket_sim::{Options, Payloads, Simulator};
use config::{BaseUrl, Connection, Mention, Permission, Position, Proxy, RepositoryGlobs};
use http::Method;
use pipeline::event::{Person, Repository};
use pipeline::ids::{ConnectionId, ProjectKey, PullRequestId, RepositoryId, RepositorySlug};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::num::NonZeroU32;
use tempfile::TempDir;

/// The pull request of `PROJ/demo`.
pub(crate) const PR: PullRequestId = PullRequestId(1);

/// A running simulator with that world, below a context path.
pub(crate) struct World {
    simulator: Simulator,
    http: reqwest::Client,
    _repositories: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with_payloads(Payloads::V9).await
    }

    pub(crate) async fn with_payloads(payloads: Payloads) -> Self {
        let repositories = tempfile::tempdir().unwrap();
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            data: repositories.path().to_owned(),
            context_path: "/bitbucket".to_owned(),
            payloads,
        };
        let simulator = Simulator::start(options).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let world = Self {
            simulator,
            http,
            _repositories: repositories,
        };
        world.sim(Method::POST, "world", &document()).await;
        world
    }

    /// The bot's client.
    pub(crate) fn bot(&self) -> Client {
        self.client("bot-t")
    }

    /// A client with another token.
    pub(crate) fn client(&self, token: &str) -> Client {
        let base_url = BaseUrl::parse(&self.simulator.base_url()).unwrap();
        let connection = Connection {
            id: ConnectionId::new("main").unwrap(),
            instance: base_url.instance(),
            base_url,
            bot_token_file: "/nowhere".into(),
            bot_user: None,
            commit_name: None,
            commit_email: None,
            webhook_secret_files: Vec::new(),
            ca_pem: None,
            proxy: None,
            repositories: RepositoryGlobs::new(&["PROJ/*", "~alice/*"]).unwrap(),
            allow_http: false,
            request_burst: const { NonZeroU32::new(50).unwrap() },
            requests_per_minute: const { NonZeroU32::new(285).unwrap() },
            mention: Mention {
                names: vec!["openhands".into()],
                position: Position::Anywhere,
            },
            permission: Permission {
                change: "REPO_WRITE".into(),
                read: "REPO_READ".into(),
                ..Permission::default()
            },
        };
        Client::new(&connection, SecretString::from(token), &Proxy::default()).unwrap()
    }

    /// The simulator's own API.
    pub(crate) async fn sim(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = format!("{}/sim/v1/{path}", self.simulator.base_url());
        send(self.http.request(method, url).json(body)).await
    }

    /// Bitbucket's API as a person or a tester uses it, below `projects/PROJ/repos/demo`.
    pub(crate) async fn rest(&self, token: &str, method: Method, path: &str, body: &Value) -> Value {
        let base = self.simulator.base_url();
        let url = format!("{base}/rest/api/latest/projects/PROJ/repos/demo/{path}");
        let url = url.trim_end_matches('/');
        let request = self.http.request(method, url).bearer_auth(token);
        send(request.header("x-atlassian-token", "no-check").json(body)).await
    }

    /// An administrator deletes a user; with a password, since tokens never carry administration.
    pub(crate) async fn delete_user(&self, name: &str) {
        let url = format!(
            "{}/rest/api/latest/admin/users?name={name}",
            self.simulator.base_url()
        );
        let request = self.http.delete(url).basic_auth("root", Some("root-p"));
        send(request.header("x-atlassian-token", "no-check")).await;
    }

    /// A person's comment on the pull request; its id.
    pub(crate) async fn comments(&self, token: &str, body: Value) -> u64 {
        self.rest(token, Method::POST, "pull-requests/1/comments", &body)
            .await["id"]
            .as_u64()
            .unwrap()
    }

    /// Requests that the simulator saw on this path.
    pub(crate) async fn requests_to(&self, method: &str, path_end: &str) -> usize {
        let requests = self.sim(Method::GET, "requests", &Value::Null).await;
        let requests = requests.as_array().unwrap();
        requests
            .iter()
            .filter(|r| r["method"] == method && r["path"].as_str().unwrap().ends_with(path_end))
            .count()
    }
}

async fn send(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

pub(crate) fn demo() -> Repository {
    repository(84, "PROJ", "demo")
}

pub(crate) fn sandbox() -> Repository {
    repository(99, "~alice", "sandbox")
}

pub(crate) fn repository(id: u64, project: &str, slug: &str) -> Repository {
    Repository {
        id: RepositoryId(id),
        project: ProjectKey::new(project).unwrap(),
        slug: RepositorySlug::new(slug).unwrap(),
    }
}

pub(crate) fn person(name: &str) -> Person {
    Person {
        id: None,
        name: name.into(),
        slug: None,
        display_name: None,
        email: None,
        is_service: false,
    }
}

fn document() -> Value {
    let user = |name: &str| {
        let tokens = [json!({"token": format!("{name}-t"), "permission": "REPO_WRITE"})];
        json!({"name": name, "email": format!("{name}@example.test"), "tokens": tokens})
    };
    let mut root = user("root");
    root["admin"] = json!(true);
    root["password"] = json!("root-p");
    root["tokens"] = json!([{"token": "root-t", "permission": "REPO_ADMIN"}]);
    let bot = json!({"name": "open.hands", "slug": "open_hands", "display_name": "The Bot",
        "email": "bot@example.test", "tokens": [{"token": "bot-t", "permission": "REPO_WRITE"}]});
    let main = "fn one() {}\nfn two() {}\n";
    let branches = json!({
        "main": {"files": {"a.rs": main}},
        "feature/x": {"from": "main", "files": {"a.rs": "fn one() {}\nfn three() {}\n", "b.rs": "// new\n"}},
    });
    json!({
        "users": [user("alice"), user("alice2"), user("carol"), root, bot],
        "groups": [{"name": "dev", "members": ["alice"]}],
        "projects": [{"key": "PROJ", "permissions": {"@dev": "PROJECT_WRITE"}}],
        "repositories": [
            {"project": "PROJ", "slug": "demo", "id": 84, "branches": branches,
             "permissions": {"open.hands": "REPO_WRITE", "alice2": "REPO_READ"}},
            {"project": "~alice", "slug": "sandbox", "id": 99, "branches": branches,
             "permissions": {"open.hands": "REPO_WRITE"}},
        ],
        "pull_requests": [
            {"repository": "PROJ/demo", "from": "feature/x", "to": "main", "author": "alice", "title": "Three"},
            {"repository": "~alice/sandbox", "from": "feature/x", "to": "main", "author": "alice", "title": "Own"},
        ],
    })
}
