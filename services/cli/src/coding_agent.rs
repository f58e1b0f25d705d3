//! The configured coding agent.

use std::path::PathBuf;
use std::sync::Arc;

use agent::{Builtin, CodingAgent, ModelSettings};
use anyhow::{Context, Result};
use config::{Config, Problems};
use sandbox::Sandbox;

/// Builds it. Called by the role that runs agents alone: it opens the model's key.
pub(crate) fn of(config: &Config, _sandbox: Sandbox, _executable: PathBuf) -> Result<Arc<dyn CodingAgent>> {
    let model = config
        .models
        .first()
        .context("at least one [[model]] is needed")?;
    let base_url = config.llm.base_url.clone().context("llm.base_url is required")?;
    let proxy = url::Url::parse(&base_url)
        .ok()
        .and_then(|url| config.proxy.for_url(&url).cloned());
    let settings = ModelSettings {
        http: agent::http_client(config.llm.ca_pem.as_deref(), proxy.as_ref().map(url::Url::as_str))?,
        base_url,
        api_key: config.llm.api_key()?,
        headers: config.llm.headers()?,
        model: model.model.clone(),
    };
    Ok(Arc::new(Builtin::new(settings)?))
}

/// Whether there is such an agent.
pub(crate) fn check(config: &Config) -> Result<(), Problems> {
    if config.agent.kind == config::AgentKind::Builtin {
        return Ok(());
    }
    Err(Problems::one(
        "agent.kind",
        "this version has the kind \"builtin\" only",
    ))
}
