//! `./dev bench`: how fast and how large, as ratios against plain NATS and plain git measured in the same run.
//!
//! Product and baseline take turns, round by round, so that a busy machine slows both. Prints a table and writes
//! `bench/results/<group>.json`. A missed goal is a row that says so, not a failure; a row that cannot be measured is.

mod arguments;
mod cell;
mod file_system;
mod git_rows;
mod ingest;
mod memory;
mod proxy;
mod repository;
mod runs;
mod samples;
mod table;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;

use crate::arguments::{Arguments, Group};
use crate::table::Row;

/// A group that takes longer hangs.
const GROUP_MAX: Duration = Duration::from_secs(240);
/// All groups together; a usual run takes about five minutes.
const BENCH_MAX: Duration = Duration::from_secs(590);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match bench(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every group could be measured.
async fn bench(arguments: &Arguments) -> Result<bool> {
    if let Some(warning) = file_system::warning(&std::env::temp_dir()) {
        eprintln!("note: {warning}");
    }
    let end = Instant::now() + BENCH_MAX;
    let mut rows = Vec::new();
    let mut all_measured = true;
    for group in arguments.groups() {
        eprintln!("{group}: measuring, {} rounds", arguments.rounds());
        let limit = GROUP_MAX.min(end.saturating_duration_since(Instant::now()));
        let measured = tokio::time::timeout(limit, measure(group, arguments)).await;
        let measured = measured.unwrap_or_else(|_| Err(anyhow::anyhow!("did not end within {limit:?}")));
        match measured {
            Ok(found) => {
                if !arguments.quick {
                    table::write(group.name(), &found).with_context(|| format!("results of {group}"))?;
                }
                rows.extend(found);
            }
            Err(error) => {
                all_measured = false;
                eprintln!("{group}: cannot be measured: {error:#}");
            }
        }
    }
    table::print(&rows)?;
    if arguments.quick {
        eprintln!("--quick: too few rounds to keep; bench/results is as it was");
    }
    Ok(all_measured)
}

async fn measure(group: Group, arguments: &Arguments) -> Result<Vec<Row>> {
    let rounds = arguments.rounds();
    match group {
        Group::Ingest => ingest::measure(rounds, arguments.quick).await,
        Group::WorkTree => git_rows::work_tree::measure(rounds).await,
        Group::Push => git_rows::push::measure(rounds).await,
        Group::Sandbox => cell::measure(rounds).await,
        Group::Proxy => proxy::measure(rounds).await,
        Group::Runs => runs::measure(rounds).await,
    }
}
