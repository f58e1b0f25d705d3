//! What runs need on this machine: a sandbox that holds, and the configured agent in it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use config::{Config, Namespaces, Role, SandboxMode};
use lifecycle::{Health, Shutdown};
use resolver::Workshop;
use sandbox::{Level, Sandbox, Settings, Unavailable};
use serde_json::{Value, json};

use crate::coding_agent;

/// The name of the sandbox in `/readyz` and in the line printed at start.
pub(crate) const SANDBOX: &str = "sandbox";
/// Between two tries to find a sandbox that holds: an operator who changed the machine need not restart the role.
const RETRY_PAUSE: Duration = Duration::from_mins(1);

/// This program as it runs. Every process it starts and that names it so runs the same file, also after an upgrade has
/// put another one in its place or removed it.
const EXECUTABLE: &str = "/proc/self/exe";

/// What came of looking for a sandbox.
pub(crate) type Found = Result<Sandbox, Unavailable>;

/// Looks for the strongest sandbox this machine allows, where one of `roles` needs one.
pub(crate) async fn look(config: &Config, roles: &[Role]) -> Option<Found> {
    if !roles.contains(&Role::Resolver) {
        return None;
    }
    Some(find(config).await)
}

/// Looks for it, whatever roles there are.
pub(crate) async fn find(config: &Config) -> Found {
    Sandbox::start(settings(config)).await
}

/// What the line printed at start says of it.
pub(crate) fn told(found: &Found) -> Value {
    match found {
        Ok(sandbox) => sandbox.level().to_string().into(),
        Err(unavailable) => format!("not available: {unavailable}").into(),
    }
}

/// Opens the workshop as soon as there is a sandbox. `None` when shut down before.
///
/// Until then the role is not ready, takes no job, and looks again every minute.
pub(crate) async fn open(
    config: &Config,
    mut found: Found,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<Option<Workshop>> {
    let settings = settings(config);
    let sandbox = loop {
        let why = match found {
            Ok(sandbox) => match Workshop::try_out(&sandbox, &config.data_dir).await {
                Ok(()) => break sandbox,
                Err(error) => format!("agents cannot work in data_dir: {error:#}"),
            },
            Err(unavailable) => unavailable.reason,
        };
        tracing::error!(why, "no run is started here");
        health.not_ready(SANDBOX, why);
        tokio::select! {
            () = shutdown.soft.cancelled() => return Ok(None),
            () = tokio::time::sleep(RETRY_PAUSE) => {}
        }
        found = Sandbox::start(settings.clone()).await;
    };
    health.ready(SANDBOX);
    let level = sandbox.level().to_string();
    let sentences: Vec<&str> = sandbox.residue().iter().map(|residue| residue.sentence).collect();
    health.set_fact(
        SANDBOX,
        json!({
            "level": level,
            "does_not_protect_from": sentences,
            "not_proven": sandbox.not_proven(),
        }),
    );
    if let Some(why) = sandbox.passed_over() {
        health.warn(format!(
            "agents run in a weaker sandbox than this version has: {why}"
        ));
    }
    if sandbox.level() == Level::Off && rustix::process::geteuid().is_root() {
        warn(health, "agents run unsandboxed and as root".to_owned());
    }
    if let Some(why) = coding_agent::missing(config) {
        warn(health, why);
    }
    tracing::info!(
        level,
        residue = sandbox.residue().len(),
        "agents run in this sandbox"
    );
    let executable = settings.executable;
    let (agent, secrets) = coding_agent::of(config, sandbox.clone(), executable.clone())?;
    Ok(Some(Workshop {
        sandbox,
        agent,
        secrets,
        leaves: coding_agent::leaves(config)?,
        models: coding_agent::models(config),
        executable,
    }))
}

/// For whoever reads the log and for whoever asks `/readyz`.
fn warn(health: &Health, why: String) {
    tracing::warn!(why, "runs will not go as they should");
    health.warn(why);
}

fn settings(config: &Config) -> Settings {
    let sandbox = &config.sandbox;
    Settings {
        mode: match sandbox.mode {
            SandboxMode::Enforce => sandbox::Mode::Enforce,
            SandboxMode::Off => sandbox::Mode::Off,
        },
        namespaces: match sandbox.namespaces {
            Namespaces::Auto => sandbox::Namespaces::Auto,
            Namespaces::Never => sandbox::Namespaces::Never,
            Namespaces::Always => sandbox::Namespaces::Always,
        },
        user: Some(sandbox.user),
        read_paths: sandbox.read_paths.clone(),
        executable: PathBuf::from(EXECUTABLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURATION: &str = "data_dir = \"/nowhere\"\n[[connection]]\nid = \"main\"\n\
        base_url = \"http://localhost:1\"\nbot_token_file = \"/nowhere/token\"\nrepositories = [\"P/*\"]\n";

    #[tokio::test]
    async fn where_no_sandbox_holds_the_role_is_not_ready_opens_nothing_and_still_ends() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolver.toml");
        std::fs::write(&file, CONFIGURATION).unwrap();
        let config = config::load_with(&file, []).unwrap();
        let found: Found = Err(Unavailable {
            reason: "the kernel is too old".to_owned(),
        });
        assert_eq!(told(&found), "not available: the kernel is too old");
        let (health, shutdown) = (Health::new(), Shutdown::new());
        health.ready("resolver");
        assert!(health.is_ready());
        shutdown.soft.cancel();
        let opened = open(&config, found, &health, &shutdown).await.unwrap();
        assert!(opened.is_none());
        assert!(!health.is_ready(), "/readyz says why");
    }

    #[tokio::test]
    async fn roles_that_run_no_agents_look_for_no_sandbox() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolver.toml");
        std::fs::write(&file, CONFIGURATION).unwrap();
        let config = config::load_with(&file, []).unwrap();
        let others = Role::ALL.map(|role| if role == Role::Resolver { Role::Reply } else { role });
        assert!(look(&config, &others).await.is_none());
    }
}
