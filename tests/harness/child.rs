//! The executable as a child process: started, killed like a power cut, ended like a deployment.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child as Process, Command};

use crate::waiting::LOOK_INTERVAL;

/// How long a program may take to say where it listens.
const START_MAX: Duration = Duration::from_secs(30);
/// How long a program may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(20);
/// How long a program may take to end when the scenario has failed. What it waits for may be simulated by the thread
/// that now waits for the program.
const DROP_MAX: Duration = Duration::from_secs(5);

/// A running program that has said where it listens. Dropped, it is ended: asked first, because a program that is
/// killed leaves its own children behind, and made to soon after.
pub struct Child {
    process: Process,
    log: PathBuf,
    /// The JSON line it printed.
    pub says: Value,
}

impl Child {
    /// Starts `program`, its log going to `log`, and waits for its line.
    pub async fn start(program: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        Self::start_with(program, arguments, &[], log).await
    }

    /// The same with variables beside those of this process's environment.
    pub async fn start_with(
        program: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
        log: &Path,
    ) -> Result<Self> {
        let log_file = std::fs::File::options().create(true).append(true).open(log)?;
        #[expect(clippy::disallowed_methods, reason = "the harness starts what it tests")]
        let mut process = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
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
        self.ask_to_end();
        let status = tokio::time::timeout(END_MAX, self.process.wait()).await;
        let status = status.with_context(|| format!("did not end on SIGTERM:\n{}", tail(&self.log)))??;
        status
            .code()
            .with_context(|| format!("ended by a signal: {status}"))
    }

    /// SIGTERM, if it still runs.
    pub fn ask_to_end(&self) {
        if let Some(pid) = self.process.id() {
            // A process that has ended and was not waited for still has its pid: there is no other one to hit.
            if let Err(error) = signal(pid, Signal::TERM) {
                eprintln!("{error:#}");
            }
        }
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.ask_to_end();
        let until = Instant::now() + DROP_MAX;
        // One that has been waited for says so at once; after the limit `kill_on_drop` sends signal 9.
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < until {
            #[expect(clippy::disallowed_methods, reason = "between two looks of a bounded wait")]
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// Sends a signal to a process this harness started.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.context("not a process id")?;
    kill_process(pid, signal).with_context(|| format!("{signal:?} to {pid:?}"))
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
