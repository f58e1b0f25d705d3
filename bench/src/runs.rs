//! Whole runs through `up`, as the person who comments sees them: comment, status reply, final reply. The agent takes
//! no time: a scripted model asks for one shell command and finishes.

mod requests;

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::setup::Setup;
use tests::world::World;
use tokio::time::Instant;

use crate::memory;
use crate::repository;
use crate::runs::requests::{Answer, Requests};
use crate::samples::Samples;
use crate::table::{Goal, Row, spread};

/// Runs for each round of the other rows: percentiles want more than medians.
const RUNS_PER_ROUND: usize = 5;
/// Runs before those that count: the first makes the mirror and opens connections.
const WARM_UP: usize = 2;
/// From a run's end to the next comment. The client-side limiter earns one request each 210 ms; without this pause the
/// runs would wait for it instead of for themselves, which no pace of people's comments comes to.
const PAUSE: Duration = Duration::from_secs(3);
/// No further run is started after this; on a slow machine there are fewer.
const RUNS_MAX: Duration = Duration::from_secs(150);
/// From start to when `up` counts as idle.
const IDLE_AFTER: Duration = Duration::from_secs(5);
/// The comment. The model does not read it.
const REQUEST: &str = "@openhands please fix this";

/// All rows of whole runs.
pub(crate) async fn measure(rounds: usize) -> Result<Vec<Row>> {
    let setup = Setup {
        document: Some(document().await?),
        ack_wait_seconds: 30,
        ..Setup::default()
    };
    let world = World::start(setup).await?;
    let mut requests = Requests::new(&world);
    requests.watch_for(IDLE_AFTER).await?;
    let idle = resident(&world)?;

    let Sampled {
        status,
        end,
        calls,
        builds,
    } = sample(&world, &mut requests, rounds).await?;
    let worked = resident(&world)?;
    let runs = status.len() + WARM_UP;
    // Every run must have ended in one commit and one reply, with nothing left over.
    world.tear_down().await?;

    let replies = format!("{} runs, {}", status.len(), spread(&status));
    Ok(vec![
        Row::value(
            "comment posted to status reply, p50",
            "ms",
            status.median(),
            Goal::AtMost(100.0),
        )
        .noting(replies),
        Row::value(
            "comment posted to status reply, p95",
            "ms",
            status.percentile(95),
            Goal::AtMost(250.0),
        ),
        Row::value("whole run, warm, p50", "ms", end.median(), Goal::AtMost(600.0)).noting(format!(
            "{} runs, {}",
            end.len(),
            spread(&end)
        )),
        Row::value(
            "Bitbucket REST calls of a plain run",
            "calls",
            calls.median(),
            Goal::AtMost(12.0),
        )
        .noting(format!(
            "{} runs, {}; {} of the median are build statuses, which an option turns off",
            calls.len(),
            spread(&calls),
            builds.median()
        )),
        Row::value("resident memory of up, idle", "MB", idle, Goal::AtMost(60.0))
            .noting("without nats-server"),
        Row::value(
            "resident memory of up, idle again after runs",
            "MB",
            worked,
            Goal::AtMost(60.0),
        )
        .noting(format!("{runs} runs")),
    ])
}

/// What the runs took, each once.
#[derive(Default)]
struct Sampled {
    status: Samples,
    end: Samples,
    calls: Samples,
    builds: Samples,
}

async fn sample(world: &World, requests: &mut Requests<'_>, rounds: usize) -> Result<Sampled> {
    let mut sampled = Sampled::default();
    let started = Instant::now();
    for number in 0..WARM_UP + rounds * RUNS_PER_ROUND {
        if started.elapsed() > RUNS_MAX {
            break;
        }
        let run = one(world, requests)
            .await
            .with_context(|| format!("run {number}\n{}", world.logs()))?;
        if number >= WARM_UP {
            sampled.status.add_ms(run.status_reply);
            sampled.end.add_ms(run.final_reply);
            sampled.calls.add(run.calls);
            sampled.builds.add(run.builds);
        }
    }
    Ok(sampled)
}

/// What one run took, from when the person sent the comment.
struct Run {
    status_reply: Duration,
    final_reply: Duration,
    /// Calls of the bot, until the pause after the run was over.
    calls: f64,
    /// Those of them that set build statuses.
    builds: f64,
}

async fn one(world: &World, requests: &mut Requests<'_>) -> Result<Run> {
    let started = Instant::now();
    let comment = world.alice().comments(1, REQUEST).await?;
    let mut seen = requests.until(|answer| answer.is_reply_to(comment)).await?;
    let status_reply = started.elapsed();
    // The first reply may already be the final one.
    if !seen.iter().any(Answer::is_final_reply) {
        seen.extend(requests.until(Answer::is_final_reply).await?);
    }
    let final_reply = started.elapsed();
    seen.extend(requests.watch_for(PAUSE).await?);
    let count = |is: fn(&Answer) -> bool| u32::try_from(seen.iter().filter(|answer| is(answer)).count());
    Ok(Run {
        status_reply,
        final_reply,
        calls: f64::from(count(Answer::is_bots_rest_call)?),
        builds: f64::from(count(Answer::is_build_status)?),
    })
}

fn resident(world: &World) -> Result<f64> {
    memory::resident_mb(world.child("up")?.pid().context("up has ended")?)
}

/// The harness's people, and the large repository.
async fn document() -> Result<Value> {
    let mut document = Setup::default().document();
    let repository = &mut document["repositories"][0];
    repository["bundle"] = json!(repository::bundle().await?);
    if let Some(repository) = repository.as_object_mut() {
        repository.remove("branches");
    }
    Ok(document)
}
