//! Any agent of the Agent Client Protocol, version 1, over standard input and output.
//!
//! Six methods are enough for one task, and they are written here rather than taken from a library: the agents differ
//! in what they do beyond the protocol, and reading what they send must be tolerant and bounded. No capability is
//! offered: agents edit files and run commands themselves, inside their cell (agents-and-tools.md 2).

mod connection;
mod session;
mod settings;
mod updates;

use std::path::PathBuf;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::driver::{Driver, Launch, Said, Streams};
use crate::launcher::Launcher;
use crate::{Ended, Error, Progress};
use connection::Connection;
use session::Session;

/// An agent that speaks the protocol.
pub(crate) struct Acp {
    launcher: Launcher,
}

impl Acp {
    pub(crate) fn new(launcher: Launcher) -> Self {
        Self { launcher }
    }
}

#[async_trait]
impl Driver for Acp {
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
        self.launcher.prepare(launch, sandbox::Stdin::Piped).await
    }

    async fn drive(
        &self,
        launch: &Launch<'_>,
        streams: Streams,
        progress: &mpsc::Sender<Progress>,
    ) -> Result<Said, Error> {
        let (connection, writing) = Connection::over(streams);
        let session = Session::new(launch, connection, progress.clone());
        let talking = session.talk(!self.launcher.is_preset());
        let said = tokio::select! {
            said = talking => said,
            never = writing.run() => match never {},
        };
        if said.ended == Some(Ended::Crashed) {
            tracing::info!(run.id = %launch.task.run, agent = self.name(), "the agent broke off the conversation");
        }
        Ok(said)
    }
}
