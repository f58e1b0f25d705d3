//! What came of all agents, for people.

use std::collections::BTreeSet;

use agent::{Kind, Preset};
use anyhow::Result;

use crate::story::Seen;

/// The longest reason shown in a line.
const REASON_CHARS_MAX: usize = 2000;

/// Agents that have to work wherever this is run; that others cannot be installed is a fact about the registries.
const REQUIRED: [&str; 5] = ["opencode", "goose", "claude", "codex", "openhands"];

/// One agent over one protocol.
pub(crate) struct Row {
    is_required: bool,
    agent: String,
    version: String,
    lookups: String,
    came: Came,
}

enum Came {
    NotInstalled(String),
    Seen(Seen),
}

/// The names that an agent asked for; in the table those that nobody has written down stand out.
fn told(preset: &Preset, lookups: Result<BTreeSet<String>>) -> String {
    let known = |name: &String| preset.looks_up.contains(name);
    match lookups {
        Err(error) => format!("not measured: {error:#}"),
        Ok(names) if names.is_empty() => "none".to_owned(),
        Ok(names) => {
            let names = names.iter().map(|name| {
                if known(name) {
                    name.clone()
                } else {
                    format!("{name} (new)")
                }
            });
            names.collect::<Vec<_>>().join(", ")
        }
    }
}

impl Row {
    /// An agent that could not be installed.
    pub(crate) fn not_installed(preset: &Preset, kind: Kind, error: &anyhow::Error) -> Self {
        Self::of(
            preset,
            kind,
            "-".to_owned(),
            Came::NotInstalled(format!("{error:#}")),
        )
    }

    /// An agent that was run.
    pub(crate) fn seen(preset: &Preset, kind: Kind, seen: Seen, lookups: Result<BTreeSet<String>>) -> Self {
        Self::of(preset, kind, told(preset, lookups), Came::Seen(seen))
    }

    fn of(preset: &Preset, kind: Kind, lookups: String, came: Came) -> Self {
        Self {
            is_required: REQUIRED.contains(&preset.name.as_str()),
            agent: format!("{} ({kind})", preset.name),
            version: preset.version.clone(),
            lookups,
            came,
        }
    }

    /// Whether nothing went wrong that is ours, and nothing is missing that has to be there.
    pub(crate) fn is_good(&self) -> bool {
        match &self.came {
            Came::NotInstalled(_) => !self.is_required,
            Came::Seen(seen) => seen.edited && seen.turns > 0 && seen.survivors == 0,
        }
    }

    /// In a sentence, while the others are still to come.
    pub(crate) fn sentence(&self) -> String {
        match &self.came {
            Came::NotInstalled(reason) => format!("{}: not installed: {reason}", self.agent),
            Came::Seen(seen) if self.is_good() => format!("{}: edited in {:.1} s", self.agent, seen.seconds),
            Came::Seen(seen) => {
                let said: String = seen.said.chars().take(REASON_CHARS_MAX).collect();
                format!("{}: NOT edited:\n{said}", self.agent)
            }
        }
    }

    fn cells(&self) -> [String; 8] {
        let (agent, version, lookups) = (self.agent.clone(), self.version.clone(), self.lookups.clone());
        match &self.came {
            Came::NotInstalled(_) => {
                let none = || "-".to_owned();
                [
                    agent,
                    version,
                    "not installed".to_owned(),
                    none(),
                    none(),
                    none(),
                    lookups,
                    none(),
                ]
            }
            Came::Seen(seen) => [
                agent,
                version,
                if seen.edited { "yes" } else { "NO" }.to_owned(),
                format!("{} calls, {} tokens", seen.turns, seen.tokens),
                format!("level {}", seen.level),
                seen.survivors.to_string(),
                lookups,
                format!("{:.1}", seen.seconds),
            ],
        }
    }
}

/// The whole table.
pub(crate) fn print(rows: &[Row]) -> String {
    let heads = [
        "agent",
        "version",
        "edited",
        "usage seen",
        "sandbox",
        "survivors",
        "outside lookups",
        "seconds",
    ];
    let mut lines = vec![heads.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..heads.len()).map(width).collect();
    let printed = lines.iter().map(|line| {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    printed.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_has_to_work_must_be_installed() {
        let error = anyhow::anyhow!("the registry is away");
        for preset in agent::presets().unwrap() {
            let row = Row::not_installed(&preset, Kind::Command, &error);
            assert_eq!(
                row.is_good(),
                !REQUIRED.contains(&preset.name.as_str()),
                "{}",
                preset.name
            );
        }
        for name in REQUIRED {
            assert!(Preset::named(name).is_ok(), "{name}");
        }
    }
}
