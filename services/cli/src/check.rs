//! `config check`: everything that is wrong, or what to paste into Bitbucket.

use std::process::ExitCode;

use config::Config;

use crate::{coding_agent, roles, say};

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

/// Checks for all roles and prints each connection's webhook.
pub(crate) fn check(config: &Config) -> ExitCode {
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
