//! The configured coding agent.

use std::path::PathBuf;
use std::sync::Arc;

use agent::{
    Api, BackEnd, CodingAgent, Endpoint, Kind, Launcher, Preset, Prices, Provider, Sandboxed, Wanted,
};
use anyhow::{Context, Result};
use config::{AgentKind, Config, Problems};
use sandbox::Sandbox;
use secrecy::SecretString;

/// Builds it, and says what it asks its model with. Called by the role that runs agents alone: it opens the model's key.
pub(crate) fn of(
    config: &Config,
    sandbox: Sandbox,
    executable: PathBuf,
) -> Result<(Arc<dyn CodingAgent>, Vec<SecretString>)> {
    let back_end = back_end(config)?;
    let endpoint = endpoint(config)?;
    let secrets = endpoint.secrets();
    let agent = Sandboxed::new(sandbox, executable, endpoint, back_end)?;
    Ok((Arc::new(agent), secrets))
}

/// Whether there is such an agent, and whether it can speak to the configured endpoint; what the agent's own crate
/// knows and the configuration cannot.
pub(crate) fn check(config: &Config) -> Result<(), Problems> {
    match back_end(config) {
        Ok(_) => Ok(()),
        Err(error) => Err(Problems::one("agent", error)),
    }
}

/// What the agent leaves in work trees, where that is known.
pub(crate) fn leaves(config: &Config) -> Result<Vec<String>> {
    match &config.agent.preset {
        Some(name) if config.agent.kind != AgentKind::Builtin => Ok(Preset::named(name)?.leaves),
        _ => Ok(Vec::new()),
    }
}

/// Who works on requests and where its program is, in a line for an operator. Where it is not installed, the line says
/// so: the configuration may be checked on another machine.
pub(crate) fn found(config: &Config) -> Result<String, agent::Error> {
    let (kind, launcher) = match back_end(config)? {
        BackEnd::Builtin(_) => return Ok("Agent: builtin, a part of this program".to_owned()),
        BackEnd::Acp(launcher) => ("acp", launcher),
        BackEnd::Command(launcher) => ("command", launcher),
    };
    let place = match launcher.installation() {
        Ok(installation) => format!("found at {}", installation.program.display()),
        Err(error) => format!("NOT found here: {error}"),
    };
    Ok(format!("Agent: {} ({kind}), {place}", launcher.name()))
}

/// Why every run would end with `AGENT_MISSING` here, as a warning for an operator; nothing where the agent is there.
pub(crate) fn missing(config: &Config) -> Option<String> {
    let (BackEnd::Acp(launcher) | BackEnd::Command(launcher)) = back_end(config).ok()? else {
        return None;
    };
    let error = launcher.installation().err()?;
    Some(format!("every run will fail: {error}"))
}

fn back_end(config: &Config) -> Result<BackEnd, agent::Error> {
    let api = match (config.llm.provider, config.llm.api) {
        (config::Provider::Anthropic, _) => Api::Messages,
        (config::Provider::OpenAi, config::Api::Chat) => Api::Chat,
        (config::Provider::OpenAi, config::Api::Responses) => Api::Responses,
    };
    let launcher = |kind| {
        Launcher::new(Wanted {
            kind,
            preset: config.agent.preset.clone(),
            command: config.agent.command.clone(),
            read_paths: config.agent.read_paths.clone(),
            search_path: config::search_path(),
            provider: provider(config),
            api: Some(api),
        })
    };
    Ok(match config.agent.kind {
        AgentKind::Builtin => BackEnd::Builtin(api),
        AgentKind::Acp => BackEnd::Acp(launcher(Kind::Acp)?),
        AgentKind::Command => BackEnd::Command(launcher(Kind::Command)?),
    })
}

fn endpoint(config: &Config) -> Result<Endpoint> {
    let model = config
        .models
        .first()
        .context("at least one [[model]] is needed")?;
    let base_url = config.llm.base_url.clone().context("llm.base_url is required")?;
    let proxy = url::Url::parse(&base_url)
        .ok()
        .and_then(|url| config.proxy.for_url(&url).cloned());
    Ok(Endpoint {
        provider: provider(config),
        http: agent::http_client(config.llm.ca_pem.as_deref(), proxy.as_ref().map(url::Url::as_str))?,
        base_url,
        api_key: config.llm.api_key()?,
        headers: config.llm.headers()?,
        model: model.model.clone(),
        prices: prices(model),
        effort: None,
    })
}

fn prices(model: &config::Model) -> Option<Prices> {
    model.has_prices().then_some(Prices {
        input: model.price_in,
        cached_input: model.price_cached_in,
        output: model.price_out,
    })
}

/// The models that requests may choose from, the usual one first.
pub(crate) fn models(config: &Config) -> Vec<resolver::Model> {
    let model = |model: &config::Model| resolver::Model {
        alias: model.alias.clone(),
        name: model.model.clone(),
        prices: prices(model),
        takes_effort: model.takes_effort,
    };
    config.models.iter().map(model).collect()
}

fn provider(config: &Config) -> Provider {
    match config.llm.provider {
        config::Provider::OpenAi => Provider::OpenAi,
        config::Provider::Anthropic => Provider::Anthropic,
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, found, leaves, missing};

    fn with(agent: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolver.toml");
        let text = format!(
            "data_dir = \"/nowhere\"\n[agent]\n{agent}\n[[connection]]\nid = \"main\"\n\
             base_url = \"http://localhost:1\"\nbot_token_file = \"/nowhere/token\"\nrepositories = [\"P/*\"]\n"
        );
        std::fs::write(&file, text).unwrap();
        config::load_with(&file, []).unwrap()
    }

    #[test]
    fn what_a_presets_agent_leaves_is_known_and_nothing_is_of_an_own_one() {
        for (agent, expected) in [
            ("kind = \"acp\"\npreset = \"opencode\"", &[".opencode"][..]),
            ("kind = \"command\"\ncommand = [\"mine\", \"{prompt}\"]", &[]),
            ("kind = \"builtin\"", &[]),
        ] {
            assert_eq!(leaves(&with(agent)).unwrap(), expected, "{agent}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_a_warning_and_one_that_is_none() {
        let of = |command: &str| {
            missing(&with(&format!(
                "kind = \"command\"\ncommand = [\"{command}\", \"{{prompt}}\"]"
            )))
        };
        assert!(of("no-such-agent").unwrap().contains("no-such-agent"));
        assert_eq!(of("/bin/sh"), None);
        assert_eq!(missing(&with("kind = \"builtin\"")), None);
    }

    #[test]
    fn operators_are_told_where_the_agents_program_is() {
        let line = |command: &str| {
            let agent = format!("kind = \"command\"\ncommand = [\"{command}\", \"{{prompt}}\"]");
            found(&with(&agent)).unwrap()
        };
        let shell = std::fs::canonicalize("/bin/sh").unwrap();
        let there = line("/bin/sh");
        assert!(
            there.starts_with("Agent: sh (command), found at /")
                && (there.ends_with("/sh") || there.ends_with(shell.to_str().unwrap())),
            "{there}"
        );
        let away = line("/no/such/agent");
        assert!(
            away.starts_with("Agent: agent (command), NOT found here: "),
            "{away}"
        );
        let own = found(&with("kind = \"builtin\"")).unwrap();
        assert_eq!(own, "Agent: builtin, a part of this program");
    }
}
