//! `runs`: what happened, and why nothing did. Reads JetStream; beside a live `up` its managed server is found.

mod list;
mod show;
mod why;

use anyhow::{Context, Result};
use config::Config;
use worker::Nats;

use crate::arguments::RunsCommand;

/// Answers one question.
pub(crate) async fn run(command: RunsCommand, config: &Config) -> Result<()> {
    let nats = connect(config).await?;
    match command {
        RunsCommand::List { limit, json, .. } => list::list(&nats, config, limit, json).await,
        RunsCommand::Show { run, part, .. } => show::show(&nats, &run, part).await,
        RunsCommand::Why { id, .. } => why::why(&nats, &id).await,
    }
}

async fn connect(config: &Config) -> Result<Nats> {
    let settings = if config.nats.url.is_some() {
        config.nats.clone()
    } else {
        worker::managed::running(&config.data_dir).with_context(|| {
            format!(
                "no [nats] url is set and no `up` runs on {}; runs can be looked at while it runs",
                config.data_dir.display()
            )
        })?
    };
    Ok(Nats::connect(&settings, "runs").await?)
}
