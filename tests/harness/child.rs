//! The executable as a child process: started, killed like a power cut, ended like a deployment.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child as Process, Command};

/// How long a program may take to say where it listens.
const START_MAX: Duration = Duration::from_secs(30);
/// How long a program may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(20);

/// A running program that has said where it listens.
pub struct Child {
    process: Process,
    log: PathBuf,
    /// The JSON line it printed.
    pub says: Value,
}

impl Child {
    /// Starts `program`, its log going to `log`, and waits for its line.
    pub async fn start(program: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        let log_file = std::fs::File::options().create(true).append(true).open(log)?;
        #[expect(clippy::disallowed_methods, reason = "the harness starts what it tests")]
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = process.stdout.take().context("standard output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(START_MAX, lines.next_line()).await;
        let Ok(Ok(Some(line))) = line else {
            let status = tokio::time::timeout(END_MAX, process.wait()).await;
            bail!("{} did not start ({status:?}):\n{}", program.display(), tail(log));
        };
        let says = serde_json::from_str(&line).with_context(|| format!("not a JSON line: {line}"))?;
        // Whatever else it prints must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            process,
            log: log.to_owned(),
            says,
        })
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Signal 9, as a power cut would.
    pub async fn kill(mut self) -> Result<()> {
        self.process.kill().await.context("kill -9")
    }

    /// SIGTERM, and the exit code.
    pub async fn end(mut self) -> Result<i32> {
        if let Some(pid) = self.process.id() {
            signal(pid, "TERM").await?;
        }
        let status = tokio::time::timeout(END_MAX, self.process.wait()).await;
        let status = status.with_context(|| format!("did not end on SIGTERM:\n{}", tail(&self.log)))??;
        status
            .code()
            .with_context(|| format!("ended by a signal: {status}"))
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        tail(&self.log)
    }
}

/// Sends a signal by name to a process this harness started.
pub async fn signal(pid: u32, name: &str) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the harness signals what it started")]
    let status = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .await?;
    if !status.success() {
        bail!("kill -{name} {pid}: {status}");
    }
    Ok(())
}

/// A program of this workspace, built beside the running one.
pub fn program(name: &str) -> Result<PathBuf> {
    let mut directory = std::env::current_exe()?;
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let path = directory.join(name);
    if !path.exists() {
        bail!(
            "{} is not built: run the tests through `./dev test`",
            path.display()
        );
    }
    Ok(path)
}

/// The last lines of a log, for messages.
pub fn tail(log: &Path) -> String {
    const LINES: usize = 60;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
