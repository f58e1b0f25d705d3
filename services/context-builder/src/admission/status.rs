//! `status` and `ping`: what is going on, from the lane, the run records and the connection.

use bitbucket::Client;
use config::Connection;
use jiff::Timestamp;
use pipeline::failure::Failure;
use pipeline::ids::RunId;
use pipeline::run::{Run, RunState, Usage};
use pipeline::subject;

use super::Case;
use super::say::{age, code, count, spent, time};
use crate::limits::HISTORY_MAX;

impl Case<'_> {
    /// What runs and waits on the pull request, and what it cost so far.
    pub(super) async fn status(&self) -> Result<String, Failure> {
        let lane = self.builder.lanes.get(&self.lane).await?.unwrap_or_default();
        let now = Timestamp::now();
        let mut lines = Vec::new();
        let pause = self.builder.pauses.get(&self.lane).await?.unwrap_or_default();
        if let Some(by) = &pause.paused {
            lines.push(format!(
                "Paused by {} since {}: requests start nothing until somebody types `resume`.",
                code(&by.person),
                time(by.at)
            ));
        }
        if let Some(running) = &lane.running {
            let record = self.record(&running.entry.run).await?;
            lines.push(format!("- {}", at_work(&running.entry.run, record.as_ref(), now)));
        }
        for (run, ahead) in lane.ahead() {
            let record = self.record(&run).await?;
            lines.push(format!("- {}", waits(&run, ahead, record.as_ref(), now)));
        }
        if lane.is_at_rest() {
            lines.push("Nothing runs or waits on this pull request.".to_owned());
        }
        let instance = &self.mention.origin.instance;
        let runs = self.builder.runs_of(&lane, instance).await?;
        lines.push(format!("\n{}", cost(&runs)));
        Ok(lines.join("\n"))
    }

    async fn record(&self, run: &RunId) -> Result<Option<Run>, Failure> {
        Ok(self.builder.runs.get(&subject::run_key(run)).await?)
    }

    /// That the bot is there, which version, and what it knows of its Bitbucket.
    pub(super) async fn ping(&self, connection: &Connection, client: &Client) -> Result<String, Failure> {
        let bot = client.bot().await?;
        let asked = Timestamp::now();
        let reached = match client.check().await {
            Ok(()) => format!(
                "reaches Bitbucket as {}, which answered within {} ms",
                code(&bot.name),
                Timestamp::now().duration_since(asked).as_millis()
            ),
            Err(error) => format!("has trouble with Bitbucket: {}", code(&error.to_string())),
        };
        Ok(format!(
            "I am here: openhands-resolver {}. Connection `{}` {reached}.",
            env!("CARGO_PKG_VERSION"),
            connection.id
        ))
    }
}

/// The run that has its turn.
fn at_work(run: &RunId, record: Option<&Run>, now: Timestamp) -> String {
    let Some(record) = record else {
        return format!("Begins: `{run}`");
    };
    let since = match record.started_at {
        Some(at) if record.state == RunState::Running => format!("Working for {}", age(at, now)),
        _ => format!("Begins, asked for {} ago", age(record.queued_at, now)),
    };
    let step = record
        .steps
        .last()
        .map_or_else(String::new, |step| format!(", step {}", code(step)));
    format!(
        "{since}: `{run}`, {} for {}{step}; {} so far",
        wish(record),
        requester(record),
        spent(record.usage)
    )
}

/// A run that waits, with its place.
fn waits(run: &RunId, ahead: u32, record: Option<&Run>, now: Timestamp) -> String {
    let place = match ahead {
        0 => "Next".to_owned(),
        ahead => format!("Waits behind {ahead}"),
    };
    match record {
        None => format!("{place}: `{run}`"),
        Some(record) => format!(
            "{place}: `{run}`, {} for {}, since {}",
            wish(record),
            requester(record),
            age(record.queued_at, now)
        ),
    }
}

fn wish(record: &Run) -> String {
    match record.command.verb.name() {
        "" => "a request".to_owned(),
        verb => format!("`{verb}`"),
    }
}

fn requester(record: &Run) -> String {
    let name = record.requester.as_ref().map(|person| person.name.as_str());
    name.map_or_else(|| "somebody who is gone".to_owned(), code)
}

/// What all runs of the pull request used, as far as they are remembered.
fn cost(history: &[Run]) -> String {
    let worked: Vec<&Run> = history.iter().filter(|run| run.usage.turns > 0).collect();
    let total = worked
        .iter()
        .fold(Usage::default(), |total, run| total.plus(run.usage));
    let bound = if history.len() >= HISTORY_MAX {
        format!(" (of the last {HISTORY_MAX} requests)")
    } else {
        String::new()
    };
    format!(
        "Spent on this pull request so far: {} in {}{bound}.",
        spent(total),
        count(worked.len(), "run", "runs")
    )
}
