//! The world of a scenario: Bitbucket, model, resolver, people.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use bitbucket_sim::{Options, Payloads, Simulator};
use scripted_llm::{Script, ScriptedLlm};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{Child, program};
use crate::children::Children;
use crate::nats_server::NatsServer;
use crate::person::Person;
use crate::pull_request::PullRequest;
use crate::setup::Setup;
use crate::teardown::Expected;
use crate::waiting::{WAIT_MAX, until};

/// The webhook secret of every scenario.
pub const SECRET: &str = "a-webhook-secret-of-at-least-32-bytes";
/// A request to the simulator or the resolver that takes longer is a failure.
const REQUEST_MAX: Duration = Duration::from_secs(70);
/// The roles in pipeline order.
pub const ROLES: [&str; 5] = [
    "webhook-ingest",
    "mention-parser",
    "context-builder",
    "resolver",
    "reply",
];

/// Everything a scenario can touch. The order is that of the end when a scenario fails: what runs ends before what it
/// talks to, and the files go last.
pub struct World {
    /// Running processes of the resolver.
    pub children: Children,
    /// A nats-server of the harness's own, where roles run apart.
    pub nats: Option<NatsServer>,
    /// The scripted model.
    pub model: ScriptedLlm,
    /// The simulated Bitbucket.
    pub bitbucket: Simulator,
    /// An HTTP client for people and control routes.
    pub http: reqwest::Client,
    /// What it was made from.
    pub setup: Setup,
    /// What teardown accepts beyond the ordinary.
    pub expected: Expected,
    /// The resolver's executable where it is another file than the one that was built.
    pub executable: Option<PathBuf>,
    ingest: String,
    /// Holds every file of the scenario.
    pub directory: TempDir,
}

/// Runs a scenario in the default world.
pub async fn scenario(story: impl AsyncFnOnce(&mut World)) {
    scenario_in(Setup::default(), story).await;
}

/// Runs a scenario in a world of its own making, then checks that nothing unexplained is left.
pub async fn scenario_in(setup: Setup, story: impl AsyncFnOnce(&mut World)) {
    let mut world = World::start(setup).await.expect("the world starts");
    // A story holds more than a future should carry about.
    Box::pin(story(&mut world)).await;
    if let Err(error) = world.tear_down().await {
        panic!("teardown: {error:?}");
    }
}

impl World {
    /// Starts Bitbucket, the model and the resolver, and connects the webhooks.
    pub async fn start(setup: Setup) -> Result<Self> {
        // A second start in one process keeps the first provider: all are the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = tempfile::tempdir()?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(REQUEST_MAX)
            .build()?;
        let bitbucket = Simulator::start(Options {
            listen: setup.bitbucket_listen.parse()?,
            data: directory.path().join("bitbucket"),
            context_path: setup.context_path.to_owned(),
            payloads: match setup.payloads {
                "10" => Payloads::V10,
                "mixed" => Payloads::Mixed,
                _ => Payloads::V9,
            },
        })
        .await?;
        let model = ScriptedLlm::start("127.0.0.1:0".parse()?, Script::default()).await?;
        let nats = if setup.separate_roles {
            Some(NatsServer::start(directory.path()).await?)
        } else {
            None
        };
        let mut world = Self {
            children: Children::new(directory.path()),
            nats,
            model,
            bitbucket,
            http,
            setup,
            expected: Expected::default(),
            executable: None,
            ingest: String::new(),
            directory,
        };
        world
            .control("POST", "/sim/v1/world", world.setup.document())
            .await?;
        world.agent_appends("// looked at by the bot");
        world.write_configuration()?;
        world.start_resolver().await?;
        for _ in 0..world.setup.webhooks {
            world
                .root()
                .connects(&world.webhook_url(), &world.setup.webhook_secret)
                .await?;
        }
        if world.setup.unruly {
            world
                .control(
                    "PUT",
                    "/sim/v1/delivery-mode",
                    json!({"duplicate": true, "reverse": true}),
                )
                .await?;
        }
        Ok(world)
    }

    /// Starts `up`, or every role apart.
    pub async fn start_resolver(&mut self) -> Result<()> {
        let roles = if self.setup.separate_roles {
            &ROLES[..]
        } else {
            &["up"]
        };
        for role in roles {
            self.start_role(role).await?;
        }
        self.ready().await
    }

    /// Waits until every process says that it is ready.
    pub async fn ready(&self) -> Result<()> {
        for (role, child) in self.children.iter() {
            let health = child.says["health"]
                .as_str()
                .context("a process prints its health address")?;
            let url = &format!("http://{health}/readyz");
            let ready = until(WAIT_MAX, || async move {
                let answer = self.http.get(url).send().await.ok()?;
                answer.status().is_success().then_some(())
            });
            ready
                .await
                .with_context(|| format!("{role} does not get ready:\n{}", child.log()))?;
        }
        Ok(())
    }

    /// Starts one role.
    pub async fn start_role(&mut self, role: &str) -> Result<()> {
        let config = self.path("resolver.toml");
        let arguments = [
            role,
            "--config",
            config.to_str().context("a path of ours is UTF-8")?,
        ];
        let log = self.path(&format!("{role}.log"));
        let child = Child::start_with(
            &match &self.executable {
                Some(other) => other.clone(),
                None => program("openhands-resolver")?,
            },
            &arguments,
            &self.setup.environment,
            &log,
        )
        .await?;
        if let Some(ingest) = child.says["ingest"].as_str() {
            self.remember_ingest(ingest)?;
        }
        self.children.push(role, child);
        Ok(())
    }

    /// Kills a role with signal 9.
    pub async fn kill(&mut self, role: &str) -> Result<()> {
        self.children.take(role)?.kill().await
    }

    /// Ends a role with SIGTERM; its exit code.
    pub async fn end(&mut self, role: &str) -> Result<i32> {
        self.children.take(role)?.end().await
    }

    /// A running role.
    pub fn child(&self, role: &str) -> Result<&Child> {
        self.children.get(role)
    }

    /// Where Bitbucket posts deliveries.
    pub fn webhook_url(&self) -> String {
        format!(
            "http://{}/integration/bitbucket-dc/connections/main/events",
            self.ingest
        )
    }

    /// May write.
    pub fn alice(&self) -> Person {
        self.person(&self.setup.tokens.alice)
    }

    /// May only read.
    pub fn bob(&self) -> Person {
        self.person(&self.setup.tokens.bob)
    }

    /// The bot itself, as someone who holds its token.
    pub fn bot(&self) -> Person {
        self.person(&self.setup.tokens.bot)
    }

    /// Administers the repository.
    pub fn root(&self) -> Person {
        self.person(&self.setup.tokens.root)
    }

    /// Someone by token.
    pub fn person(&self, token: &str) -> Person {
        Person::new(
            self.http.clone(),
            &self.bitbucket.base_url(),
            token,
            self.setup.project,
            "demo",
        )
    }

    /// The n-th pull request, counted from 1.
    pub fn pull_request(&self, number: usize) -> PullRequest<'_> {
        PullRequest::new(self, number)
    }

    /// The model answers every request by appending `line` to the source file and finishing.
    pub fn agent_appends(&self, line: &str) {
        let command = format!("printf '%s\\n' '{line}' >> {}", crate::setup::FILE);
        self.agent_runs(&command, "Did what was asked.");
    }

    /// The model answers every request by one shell command and finishing with `summary`.
    pub fn agent_runs(&self, command: &str, summary: &str) {
        self.script(json!([{"reply": works(command, summary)}]));
    }

    /// Replaces the model's script.
    pub fn script(&self, rules: Value) {
        self.model
            .set_script(Script::from_value(rules).expect("a scenario's script is valid"));
    }

    /// Ends everything without looking at what is left.
    pub async fn stop(mut self) -> Result<()> {
        self.model.release();
        for (_, child) in self.children.take_all() {
            child.end().await?;
        }
        self.bitbucket.shutdown().await;
        self.model.shutdown().await
    }

    /// A control route of the simulator.
    pub async fn control(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        let url = format!("{}{path}", self.bitbucket.base_url());
        let mut request = self.http.request(method.parse()?, url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{method} {path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// A file of the scenario's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the resolver keeps its things.
    pub fn data_dir(&self) -> PathBuf {
        self.path("resolver")
    }

    /// The ends of all logs, for messages.
    pub fn logs(&self) -> String {
        let logs = self
            .children
            .iter()
            .map(|(role, child)| format!("--- {role}\n{}\n", child.log()));
        logs.collect()
    }

    /// The first start may choose the port; later ones must keep it, for Bitbucket's webhook points there.
    fn remember_ingest(&mut self, ingest: &str) -> Result<()> {
        let is_first = self.ingest.is_empty();
        ingest.clone_into(&mut self.ingest);
        if is_first {
            self.write_configuration()
        } else {
            Ok(())
        }
    }

    fn write_configuration(&self) -> Result<()> {
        write_secret(&self.path("bot-token"), &self.setup.tokens.bot)?;
        write_secret(&self.path("hook-secret"), &self.setup.webhook_secret)?;
        let listen = if self.ingest.is_empty() {
            "127.0.0.1:0"
        } else {
            &self.ingest
        };
        let (model_url, model, key) = match &self.setup.model {
            None => (self.model.base_url(), "scripted", String::new()),
            Some(model) => {
                let file = self.path("model-key");
                write_secret(&file, &model.api_key)?;
                (
                    model.base_url.clone(),
                    model.model.as_str(),
                    format!("api_key_file = {}\n", quoted(&file)),
                )
            }
        };
        let nats_url = self
            .nats
            .as_ref()
            .map(|nats| format!("url = \"{}\"\n", nats.url()))
            .unwrap_or_default();
        let text = format!(
            "data_dir = {data}\n[ingest]\nlisten = \"{listen}\"\n[health]\nlisten = \"127.0.0.1:0\"\n\
             [nats]\n{nats_url}ack_wait_seconds = {ack_wait}\n\
             [llm]\nbase_url = \"{model_url}\"\n{key}{llm_settings}[[model]]\nalias = \"default\"\nmodel = \"{model}\"\n{model_settings}\
             [[connection]]\nid = \"main\"\nbase_url = \"{bitbucket}\"\nbot_token_file = {token}\n\
             webhook_secret_files = [{secret}]\nrepositories = [\"{project}/*\"]\n{rate}{extra}",
            data = quoted(&self.data_dir()),
            ack_wait = self.setup.ack_wait_seconds,
            bitbucket = self.bitbucket.base_url(),
            token = quoted(&self.path("bot-token")),
            secret = quoted(&self.path("hook-secret")),
            project = self.setup.project,
            rate = self.setup.rate,
            model_settings = self.setup.model_settings,
            llm_settings = self.setup.llm_settings,
            extra = self.setup.config,
        );
        Ok(std::fs::write(self.path("resolver.toml"), text)?)
    }
}

/// A model's reply that runs a command and finishes in one turn.
pub fn works(command: &str, summary: &str) -> Value {
    json!({"tool_calls": [
        {"name": "bash", "arguments": {"command": command}},
        {"name": "finish", "arguments": {"summary": summary, "not_done": [], "questions": []}},
    ]})
}

/// A path as a TOML string.
fn quoted(path: &Path) -> String {
    Value::from(path.to_string_lossy()).to_string()
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(0o600),
    )?)
}
