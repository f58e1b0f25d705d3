//! Any program that is given its task on the command line, works and ends.
//!
//! Its exit code says nothing (agents exit 0 on a refused key, agents-and-tools.md 1), and neither does its output:
//! the end of it is shown to people as what the agent said.

mod output;

use std::path::PathBuf;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::driver::{Driver, Launch, Said, Streams, tell};
use crate::launcher::Launcher;
use crate::lines::Lines;
use crate::{Error, Progress};
use output::Output;

/// The longest line that is looked at. JSON lines repeat whole files.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A program that does one task.
pub(crate) struct Command {
    launcher: Launcher,
}

impl Command {
    pub(crate) fn new(launcher: Launcher) -> Self {
        Self { launcher }
    }
}

#[async_trait]
impl Driver for Command {
    fn name(&self) -> &str {
        self.launcher.name()
    }

    fn needs(&self) -> sandbox::Needs {
        self.launcher.needs()
    }

    fn read_paths(&self) -> Vec<PathBuf> {
        self.launcher.read_paths()
    }

    async fn prepare(&self, launch: &Launch<'_>) -> Result<sandbox::Program, Error> {
        self.launcher.prepare(launch, sandbox::Stdin::Null).await
    }

    async fn drive(
        &self,
        launch: &Launch<'_>,
        streams: Streams,
        progress: &mpsc::Sender<Progress>,
    ) -> Result<Said, Error> {
        let mut lines = Lines::new(streams.stdout, LINE_BYTES_MAX);
        let mut output = Output::new(self.launcher.lines());
        loop {
            match lines.next().await {
                Ok(Some(line)) => {
                    if let Some(step) = output.read(&line) {
                        tell(progress, Progress::Step(step));
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(run.id = %launch.task.run, %error, "the agent's output cannot be read");
                    break;
                }
            }
        }
        if lines.too_long() > 0 {
            tracing::debug!(run.id = %launch.task.run, lines = lines.too_long(), "lines of the agent were too long");
        }
        Ok(Said {
            summary: output.summary(),
            ..Said::default()
        })
    }
}
