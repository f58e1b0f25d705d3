#![doc = include_str!("../README.md")]

mod ca;
mod check;
mod confinement;
mod connection;
mod env;
mod load;
mod problems;
mod proxy;
mod read_connection;
mod read_sections;
mod reader;
mod reply;
mod repositories;
mod repository_file;
mod role;
mod secret;
mod sections;
mod source;

pub use confinement::{Namespaces, Policy, Sandbox, SandboxMode};
pub use connection::{BaseUrl, Connection, InvalidBaseUrl};
pub use env::{find_on_path, search_path};
pub use load::{ENV_PREFIX, load, load_with};
pub use problems::{Problem, Problems};
pub use proxy::{Proxy, no_proxy_matches};
pub use reply::{Finish, Reply};
pub use repositories::{InvalidGlob, RepositoryGlobs};
pub use repository_file::{
    CheckCommand, Defaults, Level, Paths, REPOSITORY_FILE_BYTES_MAX, REPOSITORY_FILE_PATH, RepositoryFile,
    RepositoryLimits, RepositoryPermission, RepositoryReply, Shown, narrowed, shown,
};
pub use role::{Role, TlsPem, UnknownRole};
pub use secret::SecretError;
pub use sections::{
    Agent, AgentKind, Api, Config, Context, Health, Ingest, Limits, Llm, LogFormat, Mention, Model, Nats,
    Permission, Position, Provider, Telemetry,
};
pub use source::{ConnectionSource, FileConnections};
