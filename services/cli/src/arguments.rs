//! The command line.

use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use config::Role;

/// Answers `@openhands` mentions on Bitbucket Data Center pull requests with commits.
#[derive(Debug, Parser)]
#[command(name = "openhands-resolver", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run all roles in one process, with a nats-server child unless `[nats] url` is set.
    Up(ConfigFile),
    #[command(flatten)]
    Role(RoleCommand),
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Look at runs, and at why there is none.
    Runs {
        #[command(subcommand)]
        command: RunsCommand,
    },
}

/// One role, to be scaled on its own.
#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// Take signed deliveries from Bitbucket.
    WebhookIngest(ConfigFile),
    /// Find mentions in events.
    MentionParser(ConfigFile),
    /// Decide, and brief the agent.
    ContextBuilder(ConfigFile),
    /// Clone, patch, push.
    Resolver(ConfigFile),
    /// Write to the pull request.
    Reply(ConfigFile),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check everything; print each connection's webhook URL and the events to tick.
    Check(ConfigFile),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// The latest runs, and each connection's deliveries.
    List {
        #[command(flatten)]
        config: ConfigFile,
        /// At most this many runs.
        #[arg(long, default_value_t = 30)]
        limit: usize,
        /// One JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// One run.
    Show {
        /// The run's id, `r-…`.
        run: String,
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        part: RunPart,
    },
    /// What was decided for a delivery or a comment, and why.
    Why {
        /// Bitbucket's X-Request-Id of the delivery, a comment's id, or a run's id.
        id: String,
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// What of a run to print instead of its record.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
pub(crate) struct RunPart {
    /// Its patch, as `git apply` takes it.
    #[arg(long)]
    pub(crate) patch: bool,
    /// The brief its agent was given.
    #[arg(long)]
    pub(crate) brief: bool,
    /// Every turn of the model and every tool call, as JSON lines: of the last attempt, or of the one named.
    #[arg(long, value_name = "ATTEMPT", num_args = 0..=1, require_equals = true, default_missing_value = "last")]
    pub(crate) transcript: Option<WhichAttempt>,
    /// What the repository's checks printed.
    #[arg(long)]
    pub(crate) checks: bool,
}

/// An attempt of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WhichAttempt {
    /// The last one that has what is asked for.
    Last,
    /// The one with this number, from 1 on.
    Number(u32),
}

impl FromStr for WhichAttempt {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        match text {
            "last" => Ok(Self::Last),
            number => Ok(Self::Number(number.parse()?)),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

impl Command {
    /// The file every subcommand names.
    pub(crate) fn config_path(&self) -> &Path {
        let file = match self {
            Self::Up(file)
            | Self::Config {
                command: ConfigCommand::Check(file),
            } => file,
            Self::Role(role) => role.file(),
            Self::Runs { command } => match command {
                RunsCommand::List { config, .. }
                | RunsCommand::Show { config, .. }
                | RunsCommand::Why { config, .. } => config,
            },
        };
        &file.config
    }
}

impl RoleCommand {
    /// Which role.
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::WebhookIngest(_) => Role::WebhookIngest,
            Self::MentionParser(_) => Role::MentionParser,
            Self::ContextBuilder(_) => Role::ContextBuilder,
            Self::Resolver(_) => Role::Resolver,
            Self::Reply(_) => Role::Reply,
        }
    }

    fn file(&self) -> &ConfigFile {
        match self {
            Self::WebhookIngest(file)
            | Self::MentionParser(file)
            | Self::ContextBuilder(file)
            | Self::Resolver(file)
            | Self::Reply(file) => file,
        }
    }
}
