//! `runs list`.

use std::collections::BTreeMap;

use anyhow::Result;
use config::Config;
use pipeline::ids::ConnectionId;
use pipeline::mention::GrammarRefusal;
use pipeline::run::Run;
use serde_json::json;
use webhook_ingest::ConnectionActivity;
use worker::Nats;

use crate::say;

/// Characters of a request shown in the table.
const REQUEST_CHARS_MAX: usize = 48;

/// Prints the connections and the latest runs.
pub(crate) async fn list(nats: &Nats, config: &Config, limit: usize, as_json: bool) -> Result<()> {
    let heard = nats
        .records::<ConnectionActivity>(ConnectionActivity::BUCKET)
        .list()
        .await?;
    let configured = config.connections.iter().map(|connection| &connection.id);
    let connections = every_connection(configured, heard);
    let runs = latest(nats, limit).await?;
    if as_json {
        say::json(&json!({"connections": connections, "runs": runs}));
        return Ok(());
    }
    for connection in &connections {
        say::line(&connection_line(connection));
    }
    if connections
        .iter()
        .all(|connection| connection.last_delivery_at.is_none())
    {
        say::line("No delivery has arrived yet. `config check` prints the webhook's URL.");
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

/// What was heard on every configured connection, also where it was nothing, and after them on those that are not
/// configured any more.
fn every_connection<'a>(
    configured: impl Iterator<Item = &'a ConnectionId>,
    mut heard: Vec<ConnectionActivity>,
) -> Vec<ConnectionActivity> {
    let mut all: Vec<ConnectionActivity> = configured
        .map(
            |id| match heard.iter().position(|activity| activity.connection == *id) {
                Some(at) => heard.remove(at),
                None => ConnectionActivity::none(id.clone()),
            },
        )
        .collect();
    all.append(&mut heard);
    all
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
        .asked()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let request = match (&run.command.refused, request.is_empty()) {
        (Some(refusal), _) => format!("(refused: {})", refused(refusal)),
        (None, true) => "(the mention alone)".to_owned(),
        (None, false) => request,
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

/// What was typed that is no request.
fn refused(refusal: &GrammarRefusal) -> String {
    match refusal {
        GrammarRefusal::UnknownOption { name } => format!("--{name}"),
        GrammarRefusal::BadValue { option, .. } | GrammarRefusal::Twice { option } => {
            format!("--{}", option.row().key)
        }
        GrammarRefusal::NotHere { option, verb } => format!("{} --{}", verb.name(), option.row().key),
        GrammarRefusal::NoId { verb, word } => format!("{} {word}", verb.name()),
        GrammarRefusal::NearMiss(near) => near.word.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configured_connection_is_listed_also_one_that_never_heard_anything() {
        let id = |text: &str| ConnectionId::new(text).unwrap();
        let heard = |text: &str, accepted| ConnectionActivity {
            accepted,
            ..ConnectionActivity::none(id(text))
        };
        let configured = [id("silent"), id("busy")];
        let listed = every_connection(configured.iter(), vec![heard("gone", 1), heard("busy", 2)]);
        let lines: Vec<String> = listed.iter().map(connection_line).collect();
        assert_eq!(
            lines,
            [
                "connection silent: no delivery yet, 0 accepted",
                "connection busy: no delivery yet, 2 accepted",
                "connection gone: no delivery yet, 1 accepted",
            ]
        );
    }
}
