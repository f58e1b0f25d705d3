//! The processes of a scenario. They end with it, however it ends: a scenario that panics leaves nothing running.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::child::Child;
use crate::waiting::LOOK_INTERVAL;

/// How long killed processes may take to disappear.
const GONE_MAX: Duration = Duration::from_secs(5);

/// Running processes of the resolver, by role (`up` for all in one).
pub struct Children {
    /// What belongs to the scenario names this directory or works in it.
    directory: PathBuf,
    running: Vec<(String, Child)>,
}

impl Children {
    /// None yet. `directory` is the scenario's own.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            running: Vec::new(),
        }
    }

    /// Adds a process.
    pub fn push(&mut self, role: &str, child: Child) {
        self.running.push((role.to_owned(), child));
    }

    /// Those that run, in the order of their start.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Child)> {
        self.running.iter().map(|(role, child)| (role.as_str(), child))
    }

    /// A running role.
    pub fn get(&self, role: &str) -> Result<&Child> {
        let found = self.iter().find(|(name, _)| *name == role);
        found
            .map(|(_, child)| child)
            .with_context(|| format!("{role} does not run"))
    }

    /// A role, for the caller to end.
    pub fn take(&mut self, role: &str) -> Result<Child> {
        let at = self.running.iter().position(|(name, _)| name == role);
        let at = at.with_context(|| format!("{role} does not run"))?;
        Ok(self.running.remove(at).1)
    }

    /// All of them, for the caller to end.
    pub fn take_all(&mut self) -> Vec<(String, Child)> {
        std::mem::take(&mut self.running)
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for (_, child) in &self.running {
            child.ask_to_end();
        }
        self.running.clear();
        // What a process that was killed has left behind: the managed nats-server, an agent's tools.
        let until = Instant::now() + GONE_MAX;
        while Instant::now() < until {
            let left = processes_of(&self.directory).unwrap_or_default();
            if left.is_empty() {
                return;
            }
            for process in left {
                process.kill();
            }
            #[expect(clippy::disallowed_methods, reason = "between two looks of a bounded wait")]
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// A process that belongs to a scenario.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    /// How it was called.
    pub command: String,
}

impl Process {
    fn kill(&self) {
        if let Err(error) = kill_process(self.pid, Signal::KILL)
            && error != Errno::SRCH
        {
            eprintln!("{} cannot be killed: {error}", self.command);
        }
    }
}

/// The processes, this one aside, that work in `directory` or name it on their command line. The directory's name is
/// random: nothing else does.
pub fn processes_of(directory: &Path) -> Result<Vec<Process>> {
    let name = directory.to_str().context("a path of ours is UTF-8")?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let pid = entry.file_name().to_str().and_then(|text| text.parse().ok());
        let Some(pid) = pid
            .and_then(Pid::from_raw)
            .filter(|pid| *pid != rustix::process::getpid())
        else {
            continue;
        };
        // A process may end between listing and reading; one of another user's is none of ours.
        let Ok(command) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let works_here = std::fs::read_link(entry.path().join("cwd"))
            .is_ok_and(|works_in| works_in.starts_with(directory));
        if works_here || command.contains(name) {
            found.push(Process { pid, command });
        }
    }
    Ok(found)
}
