//! `runs list`.

use std::collections::BTreeMap;

use anyhow::Result;
use pipeline::run::Run;
use serde_json::json;
use webhook_ingest::ConnectionActivity;
use worker::Nats;

use crate::say;

/// Characters of a request shown in the table.
const REQUEST_CHARS_MAX: usize = 48;

/// Prints the connections and the latest runs.
pub(crate) async fn list(nats: &Nats, limit: usize, as_json: bool) -> Result<()> {
    let connections = nats
        .records::<ConnectionActivity>(ConnectionActivity::BUCKET)
        .list()
        .await?;
    let runs = latest(nats, limit).await?;
    if as_json {
        say::json(&json!({"connections": connections, "runs": runs}));
        return Ok(());
    }
    if connections.is_empty() {
        say::line("No delivery has arrived yet. `config check` prints the webhook's URL.");
    }
    for connection in &connections {
        say::line(&connection_line(connection));
    }
    say::line("");
    if runs.is_empty() {
        say::line("No runs yet. `runs why <X-Request-Id or comment id>` says why a comment started none.");
        return Ok(());
    }
    say::line(&format!(
        "{:<14}  {:<20}  {:<11}  {:<24}  {}",
        "RUN", "QUEUED", "STATE", "PULL REQUEST", "REQUEST"
    ));
    for run in &runs {
        say::line(&run_line(run));
    }
    Ok(())
}

/// The runs that were asked for last, the last one first.
async fn latest(nats: &Nats, limit: usize) -> Result<Vec<Run>> {
    let mut runs = BTreeMap::new();
    let keep_if_late = |run: Run| {
        runs.insert((run.queued_at, run.id.clone()), run);
        if runs.len() > limit {
            runs.pop_first();
        }
    };
    nats.runs().visit(keep_if_late).await?;
    Ok(runs.into_values().rev().collect())
}

fn connection_line(activity: &ConnectionActivity) -> String {
    let last = match (&activity.last_delivery_at, &activity.last_event_key) {
        (Some(at), Some(key)) => format!("last delivery {} ({key})", say::seconds(*at)),
        (Some(at), None) => format!("last delivery {}", say::seconds(*at)),
        _ => "no delivery yet".to_owned(),
    };
    let refused = match activity.last_refused_at {
        Some(at) if activity.refused_401 > 0 => {
            format!(
                "; {} refused as 401, last {}: is the webhook's secret right?",
                activity.refused_401,
                say::seconds(at)
            )
        }
        _ => String::new(),
    };
    format!(
        "connection {}: {last}, {} accepted{refused}",
        activity.connection, activity.accepted
    )
}

fn run_line(run: &Run) -> String {
    let place = format!(
        "{}/{} #{}",
        run.repository.project, run.repository.slug, run.pull_request
    );
    let code = run
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.failure.as_ref())
        .map(|failure| failure.code);
    let code = code.map(|code| format!("[{code}] ")).unwrap_or_default();
    let request = run
        .command
        .text()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let request = if request.is_empty() {
        "(the mention alone)".to_owned()
    } else {
        request
    };
    let request: String = request
        .chars()
        .filter(|c| !c.is_control())
        .take(REQUEST_CHARS_MAX)
        .collect();
    format!(
        "{:<14}  {:<20}  {:<11}  {place:<24}  {code}{request}",
        run.id.as_str(),
        say::seconds(run.queued_at),
        run.state.as_str()
    )
}
