//! `runs why`: the recorded decisions for a delivery, a comment or a run, the ignored ones included.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Result, bail};
use jiff::Timestamp;
use pipeline::decision::Decision;
use pipeline::ids::RunId;
use pipeline::message::decode;
use pipeline::run::Run;
use pipeline::subject;
use worker::Nats;

use crate::say;

/// Decisions looked through at most, the newest: about two weeks of a busy site.
const DECISIONS_MAX: u64 = 200_000;

/// The decisions that were looked through.
struct Looked {
    /// By their place in the stream.
    decisions: BTreeMap<u64, Decision>,
    /// When the oldest of them was made, if there are older ones that were not looked at.
    only_since: Option<Timestamp>,
}

/// Prints what each role decided, in the order it was decided, and what became of the runs.
pub(crate) async fn why(nats: &Nats, id: &str) -> Result<()> {
    let looked = look(nats).await?;
    let deliveries: HashSet<&str> = looked
        .decisions
        .values()
        .filter(|decision| is_about(decision, id))
        .map(|decision| decision.delivery.as_str())
        .collect();
    if deliveries.is_empty() {
        bail!(nothing_recorded(id, looked.only_since));
    }
    if let Some(since) = looked.only_since {
        let since = say::seconds(since);
        say::warning(&format!("decisions from before {since} were not looked at"));
    }
    let mut runs: Vec<&RunId> = Vec::new();
    for decision in looked
        .decisions
        .values()
        .filter(|decision| deliveries.contains(decision.delivery.as_str()))
    {
        say::line(&line(decision));
        if let Some(run) = decision.run.as_ref().filter(|run| !runs.contains(run)) {
            runs.push(run);
        }
    }
    for id in runs {
        match nats.runs().get(&subject::run_key(id)).await? {
            Some(run) => say::line(&became(&run)),
            None => say::line(&format!(
                "run {id}: it has not begun, for it may wait for what `/readyz` says is away; or its record is no longer kept"
            )),
        }
    }
    Ok(())
}

async fn look(nats: &Nats) -> Result<Looked> {
    let mut decisions = BTreeMap::new();
    let keep = |message: worker::StoredMessage| {
        if let Ok(decision) = decode::<Decision>(&message.payload) {
            decisions.insert(message.sequence, decision);
        }
    };
    let more = nats.visit_newest(subject::DECISIONS, DECISIONS_MAX, keep).await?;
    let oldest = decisions.first_key_value().map(|(_, decision)| decision.at);
    Ok(Looked {
        decisions,
        only_since: oldest.filter(|_| more),
    })
}

fn nothing_recorded(id: &str, only_since: Option<Timestamp>) -> String {
    if let Some(since) = only_since {
        return format!(
            "nothing is recorded for {id} since {}. There are older decisions, which were not looked at",
            say::seconds(since)
        );
    }
    format!(
        "nothing is recorded for {id}. If Bitbucket's webhook page shows the delivery as answered 401, its signature \
         was refused: compare the webhook's secret; if it does not show it, Bitbucket never sent it"
    )
}

/// Where the run stands, in one line.
fn became(run: &Run) -> String {
    let mut parts = vec![format!("run {}: {}", run.id, run.state)];
    if let Some(ended) = run.ended_at {
        parts.push(say::seconds(ended));
    }
    let outcome = run.outcome.as_ref();
    if let Some(pushed) = outcome.and_then(|outcome| outcome.pushed.as_ref()) {
        parts.push(format!("pushed {} to {}", pushed.commit, pushed.branch));
    }
    if let Some(failure) = outcome.and_then(|outcome| outcome.failure.as_ref()) {
        let sentence = failure.code.sentence().trim_end_matches('.');
        parts.push(format!("[{}] {sentence}", failure.code));
    }
    parts.push(match run.reply.comment {
        Some(reply) => format!("reply is comment {reply}"),
        None => "no reply yet".to_owned(),
    });
    parts.join(", ")
}

fn is_about(decision: &Decision, id: &str) -> bool {
    decision.delivery.as_str() == id
        || decision.comment.is_some_and(|comment| comment.to_string() == id)
        || decision.run.as_ref().is_some_and(|run| run.as_str() == id)
}

fn line(decision: &Decision) -> String {
    let at = say::seconds(decision.at);
    let verdict = serde_json::to_value(decision.verdict).ok();
    let verdict = verdict
        .as_ref()
        .and_then(serde_json::Value::as_str)
        .unwrap_or("?");
    let place = match (&decision.repository, decision.pull_request, decision.comment) {
        (Some(r), Some(pr), Some(comment)) => format!(" {}/{} #{pr}, comment {comment}", r.project, r.slug),
        (Some(r), Some(pr), None) => format!(" {}/{} #{pr}", r.project, r.slug),
        (Some(r), None, _) => format!(" {}/{}", r.project, r.slug),
        _ => String::new(),
    };
    let run = decision
        .run
        .as_ref()
        .map(|run| format!(" (run {run})"))
        .unwrap_or_default();
    format!(
        "{at}  {:<15}  {verdict:<9}  {}{run}\n    delivery {},{place}",
        decision.role, decision.reason, decision.delivery
    )
}
