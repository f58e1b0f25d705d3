//! `up`: every role in one process, and a nats-server child where none is configured.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use config::{Config, Role};
use lifecycle::Shutdown;
use serde_json::Map;
use worker::managed::ManagedServer;

use crate::roles::{self, Listeners};
use crate::{say, workshop};

/// Runs everything until shutdown.
pub(crate) async fn up(config: Config) -> ExitCode {
    if let Err(code) = roles::checked_together(&config) {
        return code;
    }
    let telemetry = match roles::init_telemetry(&config, "up") {
        Ok(guard) => guard,
        Err(error) => return say::failure(&format!("{error:#}")),
    };
    let ended = run(config).await;
    roles::flush(telemetry).await;
    roles::exit_code(ended)
}

async fn run(config: Config) -> Result<()> {
    let shutdown = Shutdown::on_signals();
    let listeners = Listeners::bind(&config, &Role::ALL).await?;
    let sandbox = workshop::look(&config, &Role::ALL).await;
    if config.nats.url.is_some() {
        say::json(&listeners.started("up", sandbox.as_ref(), Map::new())?);
        let settings = config.nats.clone();
        return roles::run(
            &Role::ALL,
            Arc::new(config),
            settings,
            sandbox,
            listeners,
            shutdown,
        )
        .await;
    }
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("cannot make data_dir {}", config.data_dir.display()))?;
    // The server outlives the roles: it has a shutdown of its own, after theirs.
    let server = ManagedServer::start(
        &config.data_dir,
        config.nats.server_path.as_deref(),
        shutdown.hard.clone(),
    )
    .await?;
    let settings = server.settings(&config.nats);
    let mut more = Map::new();
    more.insert("nats".into(), settings.url.clone().into());
    say::json(&listeners.started("up", sandbox.as_ref(), more)?);
    let ended = roles::run(
        &Role::ALL,
        Arc::new(config),
        settings,
        sandbox,
        listeners,
        shutdown,
    )
    .await;
    server.stop().await;
    ended
}
