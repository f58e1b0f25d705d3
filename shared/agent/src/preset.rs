//! Agents whose settings are known: one file each, below `presets/`.
//!
//! The facts in those files (command lines, settings that worked, names looked up, leftovers) were found by running
//! the agents; see agents-and-tools.md 1 and 2.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::endpoint::Provider;
use crate::{Api, Error};

/// Name and text of every file, in the order of the names.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/presets.rs"));

/// All presets, in the order of their names. Fails where a file cannot be read, which the tests of this crate rule
/// out.
pub fn presets() -> Result<Vec<Preset>, Error> {
    FILES
        .iter()
        .map(|(name, text)| Preset::parse(name, text))
        .collect()
}

/// How an agent is started over which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It speaks the Agent Client Protocol on its standard input and output.
    Acp,
    /// It is given its task on the command line, and ends.
    Command,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Acp => "acp",
            Self::Command => "command",
        })
    }
}

impl Api {
    /// Whose endpoints speak it.
    pub fn provider(self) -> Provider {
        match self {
            Self::Chat | Self::Responses => Provider::OpenAi,
            Self::Messages => Provider::Anthropic,
        }
    }
}

impl std::fmt::Display for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Chat => "OpenAI chat/completions",
            Self::Responses => "OpenAI responses",
            Self::Messages => "Anthropic messages",
        })
    }
}

/// What is known of one agent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name, which is the file's.
    #[serde(skip)]
    pub name: String,
    /// What it is, in a few words.
    pub about: String,
    /// The version that was tried.
    pub version: String,
    /// How to get it.
    pub install: Install,
    /// Names that it looks up on the network with the settings below; in a cell, in vain.
    #[serde(default)]
    pub looks_up: Vec<String>,
    /// What it leaves in the work tree, as names or paths.
    #[serde(default)]
    pub leaves: Vec<String>,
    /// What an operator should know, in whole sentences.
    #[serde(default)]
    pub notes: Vec<String>,
    /// How it is started with the Agent Client Protocol, where it speaks it.
    pub acp: Option<Start>,
    /// How it is started to do one task and end.
    pub command: Option<Start>,
    /// What it cannot work without.
    #[serde(default)]
    pub(crate) needs: Needs,
    /// Its environment.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Files in its home.
    #[serde(default)]
    pub(crate) file: Vec<HomeFile>,
    /// What it needs for each kind of endpoint, the preferred one first.
    pub(crate) setup: Vec<Setup>,
}

/// Where an agent comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// The command for people.
    pub command: String,
    /// Packages of npm, with versions.
    #[serde(default)]
    pub npm: Vec<String>,
    /// Packages of pip, with versions.
    #[serde(default)]
    pub pip: Vec<String>,
    /// Names on the PATH that the packages do not give their programs: each with its program's path in the packages.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// The oldest node that runs it.
    pub node: Option<u32>,
    /// The Python it needs.
    pub python: Option<String>,
}

/// One way to start an agent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The command line, with placeholders; the first word is looked for on the PATH.
    pub argv: Vec<String>,
    /// The environment, over that of the preset.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Files in its home, beyond those of the preset.
    #[serde(default)]
    pub(crate) file: Vec<HomeFile>,
    /// Needs beyond those of the preset.
    #[serde(default)]
    pub(crate) needs: Needs,
    /// What its output lines mean, for commands whose output is JSON lines.
    #[serde(default)]
    pub(crate) line: Vec<LineRule>,
}

/// What an agent needs for one kind of endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// The language it then speaks.
    pub(crate) api: Api,
    /// Its environment, over that of the preset.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Files in its home.
    #[serde(default)]
    pub(crate) file: Vec<HomeFile>,
}

/// A file in an agent's home.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HomeFile {
    /// Its path below the home.
    pub(crate) path: String,
    /// Its text, with placeholders inside double-quoted strings.
    pub(crate) text: String,
}

/// What one kind of output line of a command means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineRule {
    /// The line is meant when it has these values, by JSON pointer.
    pub(crate) when: BTreeMap<String, String>,
    /// JSON pointers to the parts of a step.
    #[serde(default)]
    pub(crate) step: Vec<String>,
    /// A JSON pointer to the latest thing the agent said.
    pub(crate) said: Option<String>,
}

/// What an agent cannot work without; see [`sandbox::Needs`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent permissions, each of which the sandbox knows by name"
)]
pub(crate) struct Needs {
    /// Unix sockets.
    pub(crate) unix_sockets: bool,
    /// Pseudo terminals.
    pub(crate) pty: bool,
    /// One loopback port to listen on.
    pub(crate) private_port: bool,
    /// UDP sockets.
    pub(crate) udp: bool,
    /// Netlink sockets.
    pub(crate) netlink: bool,
}

impl Preset {
    /// The preset of this name. Fails with the names that there are.
    pub fn named(name: &str) -> Result<Self, Error> {
        let Some((name, text)) = FILES.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = FILES.iter().map(|(name, _)| *name).collect();
            let reason = format!("there is no preset {name:?}; there are {}", known.join(", "));
            return Err(Error::Launcher { reason });
        };
        Self::parse(name, text)
    }

    fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let mut preset: Self = toml::from_str(text).map_err(|error| Error::Launcher {
            reason: format!("the preset {name:?} cannot be read: {error}"),
        })?;
        name.clone_into(&mut preset.name);
        Ok(preset)
    }

    /// How it is started; none where it does not know this kind.
    pub fn start(&self, kind: Kind) -> Option<&Start> {
        match kind {
            Kind::Acp => self.acp.as_ref(),
            Kind::Command => self.command.as_ref(),
        }
    }

    /// The kinds it can be started as.
    pub fn kinds(&self) -> Vec<Kind> {
        let kinds = [Kind::Acp, Kind::Command].into_iter();
        kinds.filter(|kind| self.start(*kind).is_some()).collect()
    }

    /// The languages it can speak with the endpoint, the preferred one first.
    pub fn speaks(&self) -> impl Iterator<Item = Api> {
        self.setup.iter().map(|setup| setup.api)
    }

    /// What it needs to speak with an endpoint of `provider`; `api` is preferred where it speaks several languages of
    /// it.
    pub(crate) fn setup(&self, provider: Provider, api: Option<Api>) -> Option<&Setup> {
        let mut fitting: Vec<_> = self.setup.iter().collect();
        fitting.retain(|setup| setup.api.provider() == provider);
        let preferred = fitting.iter().find(|setup| Some(setup.api) == api);
        preferred.or(fitting.first()).copied()
    }
}

impl Needs {
    /// Both together.
    pub(crate) fn and(self, more: Self) -> Self {
        Self {
            unix_sockets: self.unix_sockets || more.unix_sockets,
            pty: self.pty || more.pty,
            private_port: self.private_port || more.private_port,
            udp: self.udp || more.udp,
            netlink: self.netlink || more.netlink,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::launcher::{Launcher, Wanted};

    fn wanted(preset: &Preset, kind: Kind, provider: Provider) -> Wanted {
        Wanted {
            kind,
            preset: Some(preset.name.clone()),
            command: Vec::new(),
            read_paths: Vec::new(),
            search_path: OsString::new(),
            provider,
            api: None,
        }
    }

    #[test]
    fn every_preset_can_be_launched_in_every_way_it_has() {
        let presets = presets().unwrap();
        assert!(presets.len() >= 5, "{}", presets.len());
        for preset in presets {
            assert!(!preset.kinds().is_empty(), "{} has no kind", preset.name);
            for kind in preset.kinds() {
                for api in preset.speaks() {
                    let launcher = Launcher::new(wanted(&preset, kind, api.provider()));
                    assert_eq!(launcher.unwrap().name(), preset.name);
                }
            }
        }
    }

    #[test]
    fn every_preset_says_what_an_operator_wants_to_know() {
        for preset in presets().unwrap() {
            for text in [&preset.about, &preset.version, &preset.install.command] {
                assert!(!text.trim().is_empty(), "{}", preset.name);
            }
            let packages = preset.install.npm.iter().chain(&preset.install.pip);
            assert!(packages.count() > 0, "{} comes from nowhere", preset.name);
            for note in &preset.notes {
                assert!(note.ends_with('.'), "{}: {note}", preset.name);
            }
        }
    }

    #[test]
    fn the_documentation_has_every_preset() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/agents.md");
        let text = std::fs::read_to_string(path).unwrap();
        for preset in presets().unwrap() {
            assert!(
                text.contains(&format!("\n### {}\n", preset.name)),
                "no section on {}",
                preset.name
            );
            for fact in preset.looks_up.iter().chain([&preset.install.command]) {
                assert!(
                    text.contains(fact.as_str()),
                    "{}: {fact:?} is not in it",
                    preset.name
                );
            }
        }
    }

    #[test]
    fn a_typing_mistake_in_a_preset_is_found() {
        let text = FILES.iter().find(|(name, _)| *name == "codex").unwrap().1;
        assert!(Preset::parse("codex", text).is_ok());
        for (right, wrong) in [
            ("[[setup]]", "[[set_up]]"),
            ("when =", "whenn ="),
            ("argv =", "arg ="),
            ("about =", "abuot ="),
        ] {
            assert!(text.contains(right), "{right}");
            assert!(
                Preset::parse("codex", &text.replace(right, wrong)).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn codex_never_runs_in_its_own_sandbox() {
        let codex = Preset::named("codex").unwrap();
        let command = codex.command.unwrap().argv.join(" ");
        assert!(command.contains("--dangerously-bypass-approvals-and-sandbox"));
        assert_eq!(codex.acp.unwrap().env["INITIAL_AGENT_MODE"], "agent-full-access");
        assert!(
            codex.setup[0].file[0]
                .text
                .contains("sandbox_mode = \"danger-full-access\"")
        );
    }

    #[test]
    fn an_unknown_preset_is_refused_with_those_that_there_are() {
        let error = Preset::named("opncode").unwrap_err().to_string();
        assert!(
            error.contains("opncode") && error.contains("opencode") && error.contains("goose"),
            "{error}"
        );
        let claude = Preset::named("claude").unwrap();
        let error = Launcher::new(wanted(&claude, Kind::Acp, Provider::OpenAi)).unwrap_err();
        assert!(
            error.to_string().contains("speaks Anthropic messages only"),
            "{error}"
        );
        let aider = Preset::named("aider").unwrap();
        let error = Launcher::new(wanted(&aider, Kind::Acp, Provider::OpenAi)).unwrap_err();
        assert!(error.to_string().contains("no kind \"acp\""), "{error}");
    }
}
