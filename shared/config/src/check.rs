//! What must be there before a role starts.

use std::path::{Path, PathBuf};

use crate::confinement::SandboxMode;
use crate::problems::{Found, Problems};
use crate::role::Role;
use crate::secret;
use crate::sections::{Config, Ingest};

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

/// Where secrets and other people's work are: every secret file of the configuration, and `data_dir`.
fn secret_places(config: &Config) -> Vec<PathBuf> {
    let mut places = vec![config.data_dir.clone()];
    for connection in &config.connections {
        places.push(connection.bot_token_file.clone());
        places.extend(connection.webhook_secret_files.iter().cloned());
    }
    let others = [
        &config.llm.api_key_file,
        &config.llm.headers_file,
        &config.nats.credentials_file,
        &config.nats.key_file,
        &config.ingest.tls_key_file,
    ];
    places.extend(others.into_iter().flatten().cloned());
    places
}

/// A path without links and `..`, as far as it exists; relative ones from the working directory.
fn real(path: &Path) -> PathBuf {
    path.canonicalize()
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
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

    /// What an operator accepts, and that nothing readable in the sandbox holds a secret.
    fn sandbox(&mut self, config: &Config) {
        if config.sandbox.mode == SandboxMode::Off {
            self.warnings
                .push("runs are unsandboxed (sandbox.mode = \"off\")".to_owned());
        }
        let secret = secret_places(config);
        for (key, paths) in [
            ("sandbox.read_paths", &config.sandbox.read_paths),
            ("agent.read_paths", &config.agent.read_paths),
        ] {
            for path in paths {
                if let Some(inside) = secret.iter().find(|inside| real(inside).starts_with(real(path))) {
                    let text = format!(
                        "{} holds {}, which agents must not read",
                        path.display(),
                        inside.display()
                    );
                    self.found.add(key, text);
                } else if real(path).starts_with(real(&config.data_dir)) {
                    let text = format!("{} is in data_dir, which agents must not read", path.display());
                    self.found.add(key, text);
                } else if !path.exists() {
                    self.warnings
                        .push(format!("{key}: there is no {}", path.display()));
                }
            }
        }
    }

    fn model(&mut self, config: &Config) {
        if config.llm.base_url.is_none() {
            self.found.add("llm.base_url", "is required");
        }
        if config.models.is_empty() {
            self.found.add("model", "at least one [[model]] is needed");
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
