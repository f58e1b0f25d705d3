//! What the back ends have in common: each prepares a program for a cell, and then talks to it.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::net::unix::pipe::Sender;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::endpoint::Provider;
use crate::{Ended, Error, Progress, Task};

/// One kind of agent. Everything that must hold whatever the agent does (cell, budget, time, kill) is the caller's.
#[async_trait]
pub(crate) trait Driver: Send + Sync {
    /// The agent's name, for logs and replies.
    fn name(&self) -> &str;

    /// What its program cannot work without.
    fn needs(&self) -> sandbox::Needs;

    /// Where its program is installed, beyond what every cell may read.
    fn read_paths(&self) -> Vec<PathBuf>;

    /// Writes what the agent wants to find in its home, and says what to start. The cell exists already and nothing
    /// runs in it, so what is written here is not watched by anybody.
    async fn prepare(&self, launch: &Launch<'_>) -> Result<sandbox::Program, Error>;

    /// Talks to the started program until it says it is done, or its output ends.
    ///
    /// Returns what was said so far in both cases. When the budget or the time is over the program is killed, which
    /// ends its output; this must return soon after. Errors are those of this side alone: what the program does wrong
    /// is [`Ended::Crashed`].
    async fn drive(
        &self,
        launch: &Launch<'_>,
        streams: Streams,
        progress: &mpsc::Sender<Progress>,
    ) -> Result<Said, Error>;
}

/// One start of an agent.
pub(crate) struct Launch<'a> {
    /// What it is to do.
    pub(crate) task: &'a Task,
    /// Where the model proxy of this run listens: `http://127.0.0.1:PORT`, without path.
    pub(crate) base_url: String,
    /// The proxy's throw-away key.
    pub(crate) key: String,
    /// The model's name.
    pub(crate) model: &'a str,
    /// The language the endpoint speaks.
    pub(crate) provider: Provider,
    /// Our own executable.
    pub(crate) executable: &'a Path,
    /// Cancelled when the agent should come to its end: cancelled, out of budget or out of time. Soon after, it is
    /// killed.
    pub(crate) stop: CancellationToken,
    /// A loopback port of the run's own, where [`sandbox::Needs::private_port`] asked for one.
    pub(crate) private_port: Option<u16>,
}

/// The ends of a started program's pipes. Its standard error is read elsewhere.
pub(crate) struct Streams {
    /// Its standard input, where the program was to have one; dropping it closes it.
    pub(crate) stdin: Option<Sender>,
    /// Its standard output.
    pub(crate) stdout: sandbox::OutputStream,
}

/// What an agent said. Nothing of it is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// What was done.
    pub(crate) summary: String,
    /// What was not.
    pub(crate) not_done: Vec<String>,
    /// What it needs to know.
    pub(crate) questions: Vec<String>,
    /// Why it ended; none where it said nothing about that.
    pub(crate) ended: Option<Ended>,
}

/// Tells how the work goes. Progress is for watching: a receiver that is behind or gone does not hold up the work.
pub(crate) fn tell(progress: &mpsc::Sender<Progress>, said: Progress) {
    if let Err(error) = progress.try_send(said) {
        tracing::trace!(%error, "progress not delivered");
    }
}
