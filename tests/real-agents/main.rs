//! `./dev agents [NAME…]`: real coding agents through the whole pipeline.
//!
//! Installs what the registries carry into a cache outside the repository, has each agent do one edit that the scripted
//! model asks for in the agent's own tools, and prints what came of it. An agent that cannot be installed is a line of
//! the table as well.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command talks to a terminal"
)]

mod install;
mod lookups;
mod story;
mod table;

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use agent::{Api, Kind, Preset};
use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::time::timeout;

use crate::install::{Cache, Installed};
use crate::story::Seen;
use crate::table::Row;

/// How long one agent may take for its edit, on a slow machine and with everything around it.
const ONE_MAX: Duration = Duration::from_mins(4);

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["--one", name, kind] => one(name, kind).await.map(|()| true),
        ["--asked", name, kind] => asked(name, kind).await.map(|()| true),
        _ if args.iter().any(|arg| arg.starts_with('-')) => {
            eprintln!("usage: ./dev agents [NAME…]");
            return ExitCode::from(2);
        }
        _ => all(&args).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Installs and runs the agents of these names, or all; whether all that could be installed did their edit.
async fn all(names: &[&str]) -> Result<bool> {
    let presets = match names {
        [] => agent::presets()?,
        names => names
            .iter()
            .map(|name| Preset::named(name))
            .collect::<Result<_, _>>()?,
    };
    let cache = Cache::open()?;
    println!("Agents are installed in {}.\n", cache.path().display());
    let mut rows = Vec::new();
    for preset in &presets {
        let installed = cache.install(preset).await;
        for kind in preset.kinds() {
            let row = match &installed {
                Ok(installed) => row(preset, kind, installed).await,
                Err(error) => Row::not_installed(preset, kind, error),
            };
            println!("{}", row.sentence());
            rows.push(row);
        }
    }
    println!("\n{}", table::print(&rows));
    Ok(rows.iter().all(Row::is_good))
}

/// Runs one agent in a process of its own: the resolver finds the agent on the PATH, and its endpoint's language in the
/// environment, as on a site.
async fn row(preset: &Preset, kind: Kind, installed: &Installed) -> Row {
    let seen = see(preset, kind, installed).await;
    let seen = seen.unwrap_or_else(|error| Seen::failed(&error));
    let lookups = match installed.path() {
        Ok(path) => lookups::of(preset, kind, &path).await,
        Err(error) => Err(error),
    };
    Row::seen(preset, kind, seen, lookups)
}

async fn see(preset: &Preset, kind: Kind, installed: &Installed) -> Result<Seen> {
    let api = preset.speaks().next().context("it speaks nothing")?;
    let (provider, language) = match api {
        Api::Chat => ("openai", "chat"),
        Api::Responses => ("openai", "responses"),
        Api::Messages => ("anthropic", "chat"),
    };
    #[expect(clippy::disallowed_methods, reason = "a process of this program's own")]
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--one", &preset.name, &kind.to_string()])
        .env("PATH", installed.path()?)
        .env("OPENHANDS_RESOLVER__LLM__PROVIDER", provider)
        .env("OPENHANDS_RESOLVER__LLM__API", language)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = timeout(ONE_MAX, command.output());
    let output = output.await.context("it did not come to an end")??;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(line) = text.lines().last().filter(|_| output.status.success()) else {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.trim());
    };
    serde_json::from_str(line).context("what was seen cannot be read")
}

/// One agent's edit; what was seen as a line of JSON.
async fn one(name: &str, kind: &str) -> Result<()> {
    let seen = story::play(&Preset::named(name)?, kind_of(kind)?).await?;
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// The names that one agent asked for, a line each.
async fn asked(name: &str, kind: &str) -> Result<()> {
    for name in lookups::asked(&Preset::named(name)?, kind_of(kind)?).await? {
        println!("{name}");
    }
    Ok(())
}

fn kind_of(text: &str) -> Result<Kind> {
    match text {
        "acp" => Ok(Kind::Acp),
        "command" => Ok(Kind::Command),
        other => bail!("{other:?} is no kind"),
    }
}
