//! `config check`: everything that is wrong, what runs would find on this machine, and what to paste into Bitbucket.

use std::process::ExitCode;

use config::Config;
use sandbox::Level;

use crate::{coding_agent, roles, say, workshop};

/// What to tick in Bitbucket's webhook form, by the names the form shows (bitbucket-dc.md 2.3).
const EVENTS: [(&str, &str); 6] = [
    (
        "Pull request: Comment added, edited, deleted",
        "pr:comment:added, pr:comment:edited, pr:comment:deleted",
    ),
    ("Pull request: Opened, Modified", "pr:opened, pr:modified"),
    ("Pull request: Source branch updated", "pr:from_ref_updated"),
    (
        "Pull request: Merged, Declined, Deleted",
        "pr:merged, pr:declined, pr:deleted",
    ),
    (
        "Pull request: Reviewers updated, Approved, Unapproved, Needs work",
        "pr:reviewer:updated, pr:reviewer:approved, pr:reviewer:unapproved, pr:reviewer:needs_work",
    ),
    ("Repository: Push", "repo:refs_changed"),
];

/// Checks for all roles and prints what they would find here and each connection's webhook. What is not here is no
/// failure: the configuration may be checked on another machine than it is used on.
pub(crate) async fn check(config: &Config) -> ExitCode {
    if let Err(code) = roles::checked_together(config) {
        return code;
    }
    say::line("The configuration is valid.");
    match coding_agent::found(config) {
        Ok(line) => say::line(&line),
        Err(error) => {
            // Cannot be: the check above has looked at the same.
            say::line(&format!("Agent: {error}"));
            return ExitCode::FAILURE;
        }
    }
    say::line(&nats_server(config));
    for line in sandbox(config).await {
        say::line(&line);
    }
    for connection in &config.connections {
        say::line("");
        say::line(&format!(
            "Connection {} to {}",
            connection.id, connection.base_url
        ));
        match config.webhook_url(connection) {
            Some(url) => say::line(&format!("  Webhook URL: {url}")),
            None => say::line(&format!(
                "  Webhook URL: <public_url>/integration/bitbucket-dc/connections/{}/events  (set [ingest] public_url to have it printed in full)",
                connection.id
            )),
        }
        say::line("  Secret: the text in the first of webhook_secret_files");
        say::line("  Events to tick:");
        for (form, keys) in EVENTS {
            say::line(&format!("    {form}  ({keys})"));
        }
    }
    ExitCode::SUCCESS
}

/// Where `up` would find its nats-server.
fn nats_server(config: &Config) -> String {
    if config.nats.url.is_some() {
        return "NATS: the server in [nats] url; it was not asked".to_owned();
    }
    let found = match &config.nats.server_path {
        Some(path) => Some(path.clone()).filter(|path| path.is_file()),
        None => config::find_on_path("nats-server"),
    };
    match found {
        Some(path) => format!("NATS: nats-server found at {}", path.display()),
        None => "NATS: nats-server NOT found here; `up` needs it, or [nats] url".to_owned(),
    }
}

/// How runs would be confined here, found out as a resolver finds it out, and what that leaves open.
async fn sandbox(config: &Config) -> Vec<String> {
    let sandbox = match workshop::find(config).await {
        Ok(sandbox) => sandbox,
        Err(unavailable) => {
            return vec![format!(
                "Sandbox: NOT available here, no run would be started: {unavailable}"
            )];
        }
    };
    let is_root = rustix::process::geteuid().is_root();
    let whose = match (sandbox.level(), is_root) {
        (Level::Off, true) => ", AND AS ROOT: whoever instructs an agent can do anything to this machine",
        (Level::Off, false) => ", with all rights of this user",
        (Level::One | Level::Two, _) => "",
    };
    let mut lines = vec![format!("Sandbox: {}{whose}", sandbox.level())];
    if let Some(why) = sandbox.passed_over() {
        lines.push(format!("  Weaker than this version has: {why}"));
    }
    let residue = sandbox.residue().iter();
    lines.extend(residue.map(|residue| format!("  Does not protect from: {}", residue.sentence)));
    lines
}
