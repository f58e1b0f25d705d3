//! Roles, and what must be there before one starts.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;

use crate::problems::{Found, Problems};
use crate::secret::{self, SecretError};
use crate::sections::{AgentKind, Config, Ingest, Llm, Model, Provider, SandboxMode};

/// What a process is started as, in pipeline order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes deliveries.
    WebhookIngest,
    /// Finds mentions.
    MentionParser,
    /// Decides and briefs.
    ContextBuilder,
    /// Works and pushes.
    Resolver,
    /// Answers.
    Reply,
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a role")]
pub struct UnknownRole(String);

impl Role {
    /// Every role, in pipeline order.
    pub const ALL: [Self; 5] = [
        Self::WebhookIngest,
        Self::MentionParser,
        Self::ContextBuilder,
        Self::Resolver,
        Self::Reply,
    ];

    /// The subcommand's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebhookIngest => "webhook-ingest",
            Self::MentionParser => "mention-parser",
            Self::ContextBuilder => "context-builder",
            Self::Resolver => "resolver",
            Self::Reply => "reply",
        }
    }

    /// Whether it asks Bitbucket for anything.
    pub fn uses_bot_token(self) -> bool {
        matches!(self, Self::ContextBuilder | Self::Resolver | Self::Reply)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

impl Config {
    /// Opens the secret files that `role` uses, and no others, and checks what else the role needs. Returns warnings:
    /// things that work and that an operator should know.
    pub fn check_role(&self, role: Role) -> Result<Vec<String>, Problems> {
        self.check(role, false)
    }

    /// The same for a role in a process of its own, which has no managed server beside it.
    pub fn check_role_alone(&self, role: Role) -> Result<Vec<String>, Problems> {
        self.check(role, true)
    }

    fn check(&self, role: Role, alone: bool) -> Result<Vec<String>, Problems> {
        let mut check = Check {
            found: Found::default(),
            warnings: Vec::new(),
        };
        check.nats(self);
        if alone && self.nats.url.is_none() {
            let text = "is required for a role of its own; only `up` starts a server where none is named";
            check.found.add("nats.url", text);
        }
        check.connections(self, role);
        if role == Role::WebhookIngest {
            check.tls(&self.ingest);
        }
        if role == Role::Resolver {
            check.sandbox(self);
            check.model(self);
        }
        let Check { found, warnings } = check;
        found.or(Some(warnings))
    }
}

impl Llm {
    /// The API key; `None` where none is configured.
    pub fn api_key(&self) -> Result<Option<SecretString>, SecretError> {
        self.api_key_file.as_deref().map(secret::read_line).transpose()
    }

    /// Extra headers for a gateway: one `Name: value` a line; empty lines and lines that begin with `#` do not count.
    pub fn headers(&self) -> Result<Vec<(String, SecretString)>, SecretError> {
        let Some(path) = &self.headers_file else {
            return Ok(Vec::new());
        };
        let text = secret::read_text(path)?;
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| header(path, line)).collect()
    }
}

/// What the ingest listener serves TLS with, as PEM.
#[derive(Debug)]
pub struct TlsPem {
    /// The certificate chain, leaf first.
    pub cert_chain: String,
    /// The private key.
    pub key: SecretString,
}

impl Ingest {
    /// Certificate and key; `None` where none are configured.
    pub fn tls_pem(&self) -> Result<Option<TlsPem>, SecretError> {
        let (Some(cert), Some(key)) = (&self.tls_cert_file, &self.tls_key_file) else {
            return Ok(None);
        };
        let cert_chain = secret::read_text(cert)?;
        if CertificateDer::pem_slice_iter(cert_chain.as_bytes())
            .flatten()
            .next()
            .is_none()
        {
            return Err(SecretError::NotPem {
                path: cert.display().to_string(),
                what: "certificate",
            });
        }
        let key_text = secret::read_text(key)?;
        if PrivateKeyDer::from_pem_slice(key_text.as_bytes()).is_err() {
            return Err(SecretError::NotPem {
                path: key.display().to_string(),
                what: "private key",
            });
        }
        Ok(Some(TlsPem {
            cert_chain,
            key: SecretString::from(key_text),
        }))
    }
}

fn header(path: &Path, line: &str) -> Result<(String, SecretString), SecretError> {
    // The line is a secret and is not quoted.
    let malformed = || SecretError::Unreadable {
        path: path.display().to_string(),
        cause: "a line is not \"Name: value\"".to_owned(),
    };
    let (name, value) = line.split_once(':').ok_or_else(malformed)?;
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let value = value.trim();
    if name.is_empty() || !name.chars().all(token) || value.is_empty() || value.chars().any(char::is_control)
    {
        return Err(malformed());
    }
    Ok((name.to_owned(), SecretString::from(value.to_owned())))
}

struct Check {
    found: Found,
    warnings: Vec<String>,
}

impl Check {
    fn nats(&mut self, config: &Config) {
        self.secret_file("nats.credentials_file", config.nats.credentials_file.as_deref());
        self.file("nats.ca_file", config.nats.ca_file.as_deref());
        self.file("nats.cert_file", config.nats.cert_file.as_deref());
        self.secret_file("nats.key_file", config.nats.key_file.as_deref());
    }

    fn connections(&mut self, config: &Config, role: Role) {
        for (index, connection) in config.connections.iter().enumerate() {
            if role == Role::WebhookIngest {
                if connection.webhook_secret_files.is_empty() {
                    let place = format!("connection[{index}].webhook_secret_files");
                    self.found.add(place, "is required: every webhook must be signed");
                }
                for (number, path) in connection.webhook_secret_files.iter().enumerate() {
                    self.secret_line(
                        &format!("connection[{index}].webhook_secret_files[{number}]"),
                        path,
                    );
                }
            }
            if role.uses_bot_token() {
                self.secret_line(
                    &format!("connection[{index}].bot_token_file"),
                    &connection.bot_token_file,
                );
            }
            if connection.is_plain_http_beyond_loopback() {
                self.warnings.push(format!(
                    "connection {}: {} is plain http; the bot's token crosses the network unencrypted",
                    connection.id, connection.base_url
                ));
            }
        }
    }

    fn tls(&mut self, ingest: &Ingest) {
        if let Err(error) = ingest.tls_pem() {
            self.found.add("ingest.tls_cert_file", error);
        }
        if let Some(path) = &ingest.tls_key_file {
            self.warn_if_world_readable("ingest.tls_key_file", path);
        }
    }

    /// Agents are not confined yet, so a Bitbucket that others reach must not feed them unless that is accepted.
    fn sandbox(&mut self, config: &Config) {
        let beyond: Vec<&str> = config
            .connections
            .iter()
            .filter(|connection| !connection.base_url.is_loopback())
            .map(|connection| connection.id.as_str())
            .collect();
        match config.sandbox.mode {
            SandboxMode::Off => {
                self.warnings.push("runs are unsandboxed (sandbox.mode = \"off\")".to_owned());
            }
            SandboxMode::Enforce if beyond.is_empty() => {
                let text = "runs are unsandboxed: this version has no sandbox; allowed because every Bitbucket is on \
                            this machine";
                self.warnings.push(text.to_owned());
            }
            SandboxMode::Enforce => self.found.add(
                "sandbox.mode",
                format!(
                    "this version has no sandbox to enforce, and {} is not on this machine; write mode = \"off\" to \
                     run agents unsandboxed",
                    beyond.join(", ")
                ),
            ),
        }
    }

    fn model(&mut self, config: &Config) {
        if config.agent.kind != AgentKind::Builtin {
            self.found
                .add("agent.kind", "this version has the kind \"builtin\" only");
        }
        if config.llm.base_url.is_none() {
            self.found.add("llm.base_url", "is required");
        }
        if config.llm.provider != Provider::OpenAi {
            self.found
                .add("llm.provider", "this version speaks to \"openai\" endpoints only");
        }
        if config.models.is_empty() {
            self.found.add("model", "at least one [[model]] is needed");
        }
        if config.models.len() > 1 {
            self.warnings
                .push("this version uses the first [[model]] only".to_owned());
        }
        let has_price = |model: &Model| model.price_in > 0.0 || model.price_out > 0.0;
        if config.models.iter().any(has_price) {
            // A budget that nobody watches must not look like one.
            let text = "this version does not count money: prices and limits.run_usd have no effect, limits.run_tokens has";
            self.warnings.push(text.to_owned());
        }
        if let Some(path) = &config.llm.api_key_file {
            self.secret_line("llm.api_key_file", path);
        }
        if let Some(path) = &config.llm.headers_file {
            self.warn_if_world_readable("llm.headers_file", path);
            if let Err(error) = config.llm.headers() {
                self.found.add("llm.headers_file", error);
            }
        }
    }

    /// A secret of one line.
    fn secret_line(&mut self, place: &str, path: &Path) {
        match secret::read_line(path) {
            Ok(_) => self.warn_if_world_readable(place, path),
            Err(error) => self.found.add(place, error),
        }
    }

    /// A secret of any text.
    fn secret_file(&mut self, place: &str, path: Option<&Path>) {
        let Some(path) = path else { return };
        self.file(place, Some(path));
        self.warn_if_world_readable(place, path);
    }

    fn file(&mut self, place: &str, path: Option<&Path>) {
        if let Some(path) = path
            && let Err(error) = secret::read_text(path)
        {
            self.found
                .add(place, error.to_string().replace("the secret file", "the file"));
        }
    }

    fn warn_if_world_readable(&mut self, place: &str, path: &Path) {
        if secret::is_world_readable(path) {
            self.warnings.push(format!(
                "{place}: {} can be read by everyone on this machine",
                path.display()
            ));
        }
    }
}
