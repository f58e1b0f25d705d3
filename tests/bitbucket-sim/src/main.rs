//! The Bitbucket Data Center simulator as a program: `bitbucket-sim --listen 127.0.0.1:7990 --data DIR`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use bitbucket_sim::{Options, Payloads, Simulator};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Behaves like Bitbucket Data Center, for tests and demos. Loopback only.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:7990")]
    listen: SocketAddr,
    /// Directory for the git repositories; emptied at start.
    #[arg(long)]
    data: PathBuf,
    /// For example /bitbucket.
    #[arg(long, default_value = "")]
    context_path: String,
    /// Flavour of webhook payloads: 9, 10 or mixed.
    #[arg(long, default_value = "9")]
    payloads: Payloads,
    /// What to log to standard error.
    #[arg(long, default_value = "warn,bitbucket_sim=info")]
    log: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_new(&arguments.log).context("--log")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let simulator = Simulator::start(Options {
        listen: arguments.listen,
        data: arguments.data,
        context_path: arguments.context_path,
        payloads: arguments.payloads,
    })
    .await?;
    let addresses = serde_json::json!({
        "listen": simulator.addr().to_string(),
        "base_url": simulator.base_url(),
    });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{addresses}")?;
    stdout.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.shutdown().await;
    Ok(())
}
