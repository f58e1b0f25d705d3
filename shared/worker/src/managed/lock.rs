//! The lock on `data_dir`: one `up` at a time, and no nats-server of an earlier one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::Error;
use super::identity::Process;
use super::server::Files;

/// How long the lock is waited for after an orphan was told to end; longer than ending one takes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// Held for as long as it lives, also by every child that was given its descriptor.
pub struct DataDirLock(File);

impl DataDirLock {
    /// Takes the lock of an existing directory. Refuses while another process uses it; a nats-server that a killed
    /// `up` left behind is ended first.
    pub async fn take(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|cause| Error::file(&path, cause))?;
        let until = Instant::now() + LOCK_TIMEOUT;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(Error::file(&path, error.into()));
            }
            if let Some(holder) = holder(&mut file).filter(|holder| holder.is_alive()) {
                return Err(in_use(data_dir, format!("process {}", holder.pid)));
            }
            end_orphan(data_dir).await;
            if Instant::now() >= until {
                return Err(in_use(
                    data_dir,
                    "a process that cannot be seen from here".to_owned(),
                ));
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        // Whoever removed the lock file may have left a server all the same.
        end_orphan(data_dir).await;
        record(&mut file).map_err(|cause| Error::file(&path, cause))?;
        Ok(Self(file))
    }

    /// A duplicate of the descriptor for a child: while either is open, the directory is locked.
    pub(super) fn share(&self) -> std::io::Result<File> {
        self.0.try_clone()
    }
}

/// Ends the server that is recorded in `data_dir`, if it still runs.
async fn end_orphan(data_dir: &Path) {
    let Some(access) = Files::at(data_dir).access() else {
        return;
    };
    if !access.process.is_alive() {
        return;
    }
    let pid = access.process.pid;
    tracing::warn!(pid, "ending the nats-server that an earlier process left behind");
    if !access.process.end().await {
        tracing::error!(pid, "it does not end");
    }
}

fn in_use(data_dir: &Path, by: String) -> Error {
    Error::InUse {
        data_dir: data_dir.display().to_string(),
        by,
    }
}

fn holder(file: &mut File) -> Option<Process> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn record(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    if let Some(this) = Process::this() {
        serde_json::to_writer(&mut *file, &this)?;
    }
    file.flush()
}
