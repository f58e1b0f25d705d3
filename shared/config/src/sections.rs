//! The sections of the configuration, after validation. The file's contract and its defaults are in
//! `docs/configuration.md`.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use crate::confinement::{Policy, Sandbox, SandboxMode};
use crate::connection::Connection;
use crate::proxy::Proxy;
use crate::reply::Reply;

/// A configuration in which every value is valid; secret files are not yet opened.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where mirrors, run directories and the managed nats-server's store live.
    pub data_dir: PathBuf,
    /// The listener Bitbucket calls.
    pub ingest: Ingest,
    /// The listener for `/livez`, `/readyz` and `/metrics`.
    pub health: Health,
    /// The NATS server, external or managed.
    pub nats: Nats,
    /// The Bitbuckets, in the file's order.
    pub connections: Vec<Connection>,
    /// How people call the bot; the default of connections that say nothing else.
    pub mention: Mention,
    /// Who may; the default of connections that say nothing else.
    pub permission: Permission,
    /// How agents are confined.
    pub sandbox: Sandbox,
    /// What a change may contain.
    pub policy: Policy,
    /// Which coding agent works.
    pub agent: Agent,
    /// The model endpoint.
    pub llm: Llm,
    /// Models people may choose from; the first is the default.
    pub models: Vec<Model>,
    /// How much an agent is told.
    pub context: Context,
    /// What one run may use.
    pub limits: Limits,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// How the pull request is told.
    pub reply: Reply,
    /// Proxies named by the environment.
    pub proxy: Proxy,
}

/// `[ingest]`
#[derive(Debug, Clone)]
pub struct Ingest {
    /// Address of the webhook listener.
    pub listen: SocketAddr,
    /// What Bitbucket calls, without trailing slash; webhook URLs are printed from it.
    pub public_url: Option<String>,
    /// Longest accepted body, in bytes.
    pub body_bytes_max: usize,
    /// PEM certificate chain; set together with the key.
    pub tls_cert_file: Option<PathBuf>,
    /// PEM private key.
    pub tls_key_file: Option<PathBuf>,
}

/// `[health]`
#[derive(Debug, Clone)]
pub struct Health {
    /// Address of the health listener.
    pub listen: SocketAddr,
}

/// `[nats]`
#[derive(Debug, Clone)]
pub struct Nats {
    /// The server, or several of a cluster, separated by commas; absent means a managed child.
    pub url: Option<String>,
    /// The managed child's executable; absent means it is found on PATH.
    pub server_path: Option<PathBuf>,
    /// A NATS credentials file (JWT and seed).
    pub credentials_file: Option<PathBuf>,
    /// CA certificates of the server.
    pub ca_file: Option<PathBuf>,
    /// Client certificate; set together with the key.
    pub cert_file: Option<PathBuf>,
    /// Client key.
    pub key_file: Option<PathBuf>,
    /// Copies of every stream: 1, or 3 or 5 in a cluster.
    pub replicas: usize,
    /// How long after its worker died a message is taken over, in seconds.
    pub ack_wait_seconds: u64,
    /// Set by the managed server alone, never from the file.
    pub user: Option<String>,
    /// Set by the managed server alone, never from the file.
    pub password: Option<SecretString>,
}

impl Default for Nats {
    /// What an empty `[nats]` section means.
    fn default() -> Self {
        Self {
            url: None,
            server_path: None,
            credentials_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            replicas: 1,
            ack_wait_seconds: Self::ACK_WAIT_SECONDS,
            user: None,
            password: None,
        }
    }
}

impl Nats {
    /// Longer than a garbage-collecting virtual machine stands still, shorter than people's patience.
    pub const ACK_WAIT_SECONDS: u64 = 30;
}

/// `[mention]`, also inside a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// Names people write after `@`, without the `@`.
    pub names: Vec<String>,
    /// Where in a comment the mention may stand.
    pub position: Position,
}

/// Where in a comment a mention counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Anywhere.
    Anywhere,
    /// At the beginning of a line only.
    LineStart,
}

/// `[permission]`, also inside a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Bitbucket permission needed for anything that may push, `REPO_WRITE` unless configured.
    pub change: String,
    /// Bitbucket permission needed for anything that only reads.
    pub read: String,
    /// Names that may nothing, whatever Bitbucket says.
    pub deny_users: Vec<String>,
    /// Groups of Bitbucket whose members may nothing.
    pub deny_groups: Vec<String>,
    /// Keys of projects in which nobody may anything.
    pub deny_projects: Vec<String>,
    /// Where one of these two is not empty, only these people and
    pub allow_users: Vec<String>,
    /// the members of these groups may, as far as Bitbucket lets them.
    pub allow_groups: Vec<String>,
    /// Where it is not empty, only in these projects.
    pub allow_projects: Vec<String>,
    /// Whether a plan must be approved by someone else than who asked for it.
    pub plan_needs_second_person: bool,
}

impl Default for Permission {
    fn default() -> Self {
        Self {
            change: "REPO_WRITE".to_owned(),
            read: "REPO_READ".to_owned(),
            deny_users: Vec::new(),
            deny_groups: Vec::new(),
            deny_projects: Vec::new(),
            allow_users: Vec::new(),
            allow_groups: Vec::new(),
            allow_projects: Vec::new(),
            plan_needs_second_person: false,
        }
    }
}

/// `[agent]`
#[derive(Debug, Clone)]
pub struct Agent {
    /// Which back end.
    pub kind: AgentKind,
    /// A known agent's settings, for `acp` and `command`.
    pub preset: Option<String>,
    /// An own command line, for `acp` and `command`.
    pub command: Vec<String>,
    /// Where the agent is installed, as far as the sandbox does not know it: readable in it, and nothing else.
    pub read_paths: Vec<PathBuf>,
}

/// Which back end runs the coding agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentKind {
    /// The loop that ships with this program.
    Builtin,
    /// A program that speaks the Agent Client Protocol.
    Acp,
    /// A program that is given a prompt file.
    Command,
}

/// `[llm]`
#[derive(Debug, Clone)]
pub struct Llm {
    /// The protocol of the endpoint.
    pub provider: Provider,
    /// Which of its interfaces the builtin agent uses, for [`Provider::OpenAi`].
    pub api: Api,
    /// The endpoint, without trailing slash; needed by the role that runs agents.
    pub base_url: Option<String>,
    /// File with the API key; a local endpoint has none.
    pub api_key_file: Option<PathBuf>,
    /// File with extra `Name: value` lines for a gateway; their values are secrets.
    pub headers_file: Option<PathBuf>,
    /// CA certificates of the endpoint, checked.
    pub ca_pem: Option<Vec<u8>>,
}

/// The protocol a model endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Any OpenAI-compatible endpoint.
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
}

/// Which interface of an OpenAI-compatible endpoint is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `chat/completions`, which every compatible endpoint has.
    Chat,
    /// `responses`, the newer one.
    Responses,
}

/// One `[[model]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// What people choose it by.
    pub alias: String,
    /// What the endpoint calls it.
    pub model: String,
    /// USD per million input tokens; where all prices are 0, money is neither counted nor shown.
    pub price_in: f64,
    /// USD per million input tokens that the endpoint had cached; as `price_in` where it is not written.
    pub price_cached_in: f64,
    /// USD per million output tokens.
    pub price_out: f64,
    /// Whether the endpoint takes how hard this model is to think.
    pub takes_effort: bool,
}

impl Model {
    /// Whether money can be counted.
    pub fn has_prices(&self) -> bool {
        self.price_in > 0.0 || self.price_cached_in > 0.0 || self.price_out > 0.0
    }
}

/// `[context]`
#[derive(Debug, Clone)]
pub struct Context {
    /// Longest brief, in bytes.
    pub bytes_max: usize,
}

/// `[limits]`: what one run may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Wall-clock time, in seconds.
    pub run_seconds: u64,
    /// Model turns.
    pub run_turns: u32,
    /// Tokens, input and output together.
    pub run_tokens: u64,
    /// Money, in USD; counted only where the model has prices.
    pub run_usd: f64,
    /// Runs that may be started on one pull request within an hour: what a conversation of programs would use up.
    pub runs_per_pull_request_hour: u32,
    /// How long after a request that waits another one by the same person is added to it, in seconds; 0 is never.
    pub merge_within_seconds: u32,
}

/// `[telemetry]`
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// OTLP over HTTP, for example `http://collector:4318`; absent means no export.
    pub otlp_endpoint: Option<String>,
    /// Form of the log lines on standard error.
    pub log: LogFormat,
    /// Which lines: `tracing` filter directives, `info` unless configured.
    pub filter: String,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The word the file uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
        }
    }
}

impl Config {
    /// The URL to paste into Bitbucket's webhook form, from `[ingest] public_url`; `None` without one.
    pub fn webhook_url(&self, connection: &Connection) -> Option<String> {
        let public_url = self.ingest.public_url.as_ref()?;
        Some(format!(
            "{public_url}/integration/bitbucket-dc/connections/{}/events",
            connection.id
        ))
    }

    /// Whether runs happen without a sandbox, as far as the configuration decides it.
    pub fn unsandboxed(&self) -> bool {
        self.sandbox.mode == SandboxMode::Off
    }
}

/// Parses a URL that people configure: a scheme out of `schemes`, a host, no user, no query, no fragment.
pub(crate) fn plain_url(text: &str, schemes: &[&str]) -> Result<Url, String> {
    let text = text.trim();
    // What stands before an '@' may be a password, so such a text is not quoted.
    let shown = if text.contains('@') {
        "the URL".to_owned()
    } else {
        format!("{text:?}")
    };
    if text.matches("://").count() > 1 {
        return Err(format!("{shown} has two schemes"));
    }
    let url = Url::parse(text).map_err(|cause| match cause {
        url::ParseError::RelativeUrlWithoutBase => {
            format!("{shown} must begin with {}://", schemes.join(":// or "))
        }
        cause => format!("{shown} is malformed: {cause}"),
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user name or password".to_owned());
    }
    if !schemes.contains(&url.scheme()) {
        return Err(format!("the scheme of {shown} must be {}", schemes.join(" or ")));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("{shown} has no host"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{shown} must not have a query or a fragment"));
    }
    Ok(url)
}
