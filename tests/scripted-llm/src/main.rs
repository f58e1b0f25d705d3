//! `scripted-llm --listen ADDR --script FILE`: the scripted model endpoint as a process of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use scripted_llm::{Script, ScriptedLlm};
use tokio::signal::unix::{SignalKind, signal};

/// Answers OpenAI and Anthropic requests by a script.
#[derive(Parser)]
#[command(name = "scripted-llm", version)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The script, a JSON list of rules.
    #[arg(long)]
    script: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let file = arguments.script.display();
    let text = std::fs::read_to_string(&arguments.script).with_context(|| format!("cannot read {file}"))?;
    let script = Script::parse(&text).with_context(|| format!("in {file}"))?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let model = ScriptedLlm::start(arguments.listen, script).await?;

    let line = serde_json::json!({"listen": model.addr(), "base_url": model.base_url()});
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .context("cannot print the bound address")?;

    tokio::select! {
        _ = terminate.recv() => {}
        pressed = tokio::signal::ctrl_c() => pressed.context("cannot wait for SIGINT")?,
    }
    model.shutdown().await
}
