//! What a scenario's world looks like before anything happens.

use serde_json::{Value, json};

/// The rich default: one project, one repository with a branch and a pull request, three people and the bot.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Bitbucket's context path, `""` or `/bitbucket`.
    pub context_path: &'static str,
    /// Webhook flavour: `9`, `10` or `mixed`.
    pub payloads: &'static str,
    /// Project key; `~alice` for a personal repository.
    pub project: &'static str,
    /// Whether everything is delivered twice and out of order.
    pub unruly: bool,
    /// Webhooks that point at the resolver.
    pub webhooks: usize,
    /// Pull requests, each from its own branch.
    pub pull_requests: usize,
    /// How many requests the bot may make: as many as it likes, like one that an administrator has exempted.
    pub rate: &'static str,
    /// Lines added to the model's section: prices.
    pub model_settings: &'static str,
    /// Lines added to the endpoint's section: a key, headers.
    pub llm_settings: String,
    /// What people and the bot authenticate with.
    pub tokens: Tokens,
    /// The webhook's secret.
    pub webhook_secret: String,
    /// Variables of the resolver's environment beside those of this process.
    pub environment: Vec<(String, String)>,
    /// Lines added to the configuration file.
    pub config: String,
    /// Roles as processes of their own over a shared nats-server, instead of one `up`.
    pub separate_roles: bool,
    /// Another world than the default one.
    pub document: Option<Value>,
    /// A model of someone else's, instead of the scripted one.
    pub model: Option<ExternalModel>,
    /// Where the simulator listens; port 0 picks one.
    pub bitbucket_listen: &'static str,
    /// Seconds after which a dead worker's message is taken over.
    pub ack_wait_seconds: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            context_path: "",
            payloads: "9",
            project: "PROJ",
            unruly: false,
            webhooks: 1,
            pull_requests: 1,
            rate: "request_burst = 60000\nrequests_per_minute = 60000\n",
            model_settings: "",
            llm_settings: String::new(),
            tokens: Tokens::default(),
            webhook_secret: crate::world::SECRET.to_owned(),
            environment: Vec::new(),
            config: String::new(),
            separate_roles: false,
            document: None,
            model: None,
            bitbucket_listen: "127.0.0.1:0",
            ack_wait_seconds: 2,
        }
    }
}

/// Access tokens of everybody.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Of one who may write.
    pub alice: String,
    /// Of one who may only read.
    pub bob: String,
    /// Of the bot's user.
    pub bot: String,
    /// Of the repository's administrator.
    pub root: String,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            alice: "alice-t".to_owned(),
            bob: "bob-t".to_owned(),
            bot: "bot-t".to_owned(),
            root: "root-t".to_owned(),
        }
    }
}

/// A real model endpoint.
#[derive(Debug, Clone)]
pub struct ExternalModel {
    /// OpenAI-compatible base URL.
    pub base_url: String,
    /// The model's name.
    pub model: String,
    /// The key, written into a file of the world's.
    pub api_key: String,
}

/// The file every branch starts with, and what the first branch makes of it.
pub const FILE: &str = "src/lib.rs";
/// Its text on the target branch.
pub const FILE_ON_MAIN: &str = "fn add(a: i32, b: i32) -> i32 {\n    a + b\n}\n";
/// Its text on the source branch: the bug that people ask to have fixed.
pub const FILE_ON_BRANCH: &str = "fn add(a: i32, b: i32) -> i32 {\n    a - b\n}\n";

impl Setup {
    /// The world document for the simulator.
    pub fn document(&self) -> Value {
        if let Some(document) = &self.document {
            return document.clone();
        }
        let mut branches = json!({"main": {"files": {FILE: FILE_ON_MAIN, "README.md": "# Demo\n"}}});
        let mut pull_requests = Vec::new();
        for number in 1..=self.pull_requests {
            let branch = branch(number);
            branches[&branch] = json!({"from": "main", "files": {FILE: FILE_ON_BRANCH}});
            pull_requests.push(json!({
                "repository": format!("{}/demo", self.project), "from": branch, "to": "main",
                "author": "alice", "title": format!("Subtract instead of add, take {number}"),
            }));
        }
        json!({
            "users": [
                {"name": "alice", "email": "alice@example.test",
                 "tokens": [{"token": self.tokens.alice, "permission": "REPO_WRITE"}]},
                {"name": "bob", "email": "bob@example.test",
                 "tokens": [{"token": self.tokens.bob, "permission": "REPO_READ"}]},
                {"name": "openhands", "email": "bot@example.test",
                 "tokens": [{"token": self.tokens.bot, "permission": "REPO_WRITE"}]},
                {"name": "root", "admin": true, "tokens": [{"token": self.tokens.root, "permission": "REPO_ADMIN"}]},
            ],
            "projects": [{"key": self.project}],
            "repositories": [{
                "project": self.project, "slug": "demo", "id": 84, "branches": branches,
                "permissions": {"alice": "REPO_WRITE", "bob": "REPO_READ", "openhands": "REPO_WRITE"},
            }],
            "pull_requests": pull_requests,
        })
    }
}

/// The source branch of the n-th pull request.
pub fn branch(number: usize) -> String {
    format!("feature/{number}")
}
