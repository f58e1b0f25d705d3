//! The server process: its files, its start, its end.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::identity::{Process, TERM_TIMEOUT};
use super::lock::DataDirLock;
use super::{Access, Error};

/// How long the server may take to recover its store and answer.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// How often it is looked at while it starts.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What the store may grow to: more than all streams' limits together in thirty busy days.
const FILE_STORE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Nothing is kept in memory but short-lived readers' positions.
const MEMORY_STORE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The log is for looking at after something went wrong; it is rotated at this size.
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Rotated logs that are kept.
const LOG_FILES_MAX: u32 = 2;
/// Lines of the log that explain a failed start.
const LOG_LINES_SHOWN: usize = 3;
/// Random bytes in the generated password.
const PASSWORD_BYTES: usize = 24;

/// Where the server's files are.
pub(super) struct Files {
    root: PathBuf,
}

impl Files {
    pub(super) fn at(data_dir: &Path) -> Self {
        Self {
            root: data_dir.join("nats"),
        }
    }

    /// Makes the directories, readable by us alone.
    pub(super) fn prepare(data_dir: &Path) -> Result<Self, Error> {
        // The server resolves paths against its own working directory.
        let data_dir = std::path::absolute(data_dir).map_err(|cause| Error::file(data_dir, cause))?;
        let files = Self::at(&data_dir);
        for directory in [files.root.clone(), files.ports()] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.map_err(|cause| Error::file(&directory, cause))?;
        }
        Ok(files)
    }

    /// The record of how to reach the server, of now or of last time.
    pub(super) fn access(&self) -> Option<Access> {
        serde_json::from_slice(&std::fs::read(self.root.join("access.json")).ok()?).ok()
    }

    fn ports(&self) -> PathBuf {
        self.root.join("ports")
    }

    fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    /// Writes the server's configuration. JSON is a subset of its language, so paths need no escaping of their own.
    fn write_configuration(&self, port: Option<u16>, user: &str, password: &str) -> Result<PathBuf, Error> {
        let path = self.root.join("server.conf");
        let configuration = json!({
            "server_name": "openhands-resolver-managed",
            "host": "127.0.0.1",
            "port": port.map_or(-1, i32::from),
            "jetstream": {
                "store_dir": self.root.join("store"),
                "max_file_store": FILE_STORE_BYTES_MAX,
                "max_memory_store": MEMORY_STORE_BYTES_MAX,
                // Without this an acknowledged message is lost with the power (reliability-security.md 0, 4).
                "sync_interval": "always",
            },
            "authorization": { "user": user, "password": password },
            "ports_file_dir": self.ports(),
            "log_file": self.log(),
            "logfile_size_limit": LOG_BYTES_MAX,
            "logfile_max_num": LOG_FILES_MAX,
        });
        write_private(&path, configuration.to_string().as_bytes())?;
        Ok(path)
    }

    fn record(&self, access: &Access) -> Result<(), Error> {
        let text = serde_json::to_vec(access).expect("text, numbers and nothing else");
        write_private(&self.root.join("access.json"), &text)
    }

    /// Ports files of servers that were killed would be taken for the new one's, should a pid come back.
    fn forget_ports(&self) -> Result<(), Error> {
        let ports = self.ports();
        let entries = std::fs::read_dir(&ports).map_err(|cause| Error::file(&ports, cause))?;
        for entry in entries.flatten() {
            std::fs::remove_file(entry.path()).map_err(|cause| Error::file(&entry.path(), cause))?;
        }
        Ok(())
    }

    /// The port of the server with this pid, once it has written its own ports file.
    fn port_of(&self, pid: u32) -> Option<u16> {
        #[derive(Deserialize)]
        struct Ports {
            nats: Vec<String>,
        }
        let suffix = format!("_{pid}.ports");
        let entries = std::fs::read_dir(self.ports()).ok()?;
        let file = entries
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().ends_with(&suffix))?;
        // A file that is not complete yet does not parse; it is read again.
        let ports: Ports = serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
        ports
            .nats
            .iter()
            .find_map(|url| url.rsplit(':').next()?.parse().ok())
    }

    /// The last lines of the log, without the times.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("[FTL]") || line.contains("[ERR]"))
            .collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        if shown.is_empty() {
            "no word in its log".to_owned()
        } else {
            shown.join("; ")
        }
    }
}

/// Replaces a file that only we may read, so that a reader sees the old one or the new one.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = path.with_extension("new");
    let write = || {
        // A leftover of a crash may have other permissions.
        match std::fs::remove_file(&written) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&written)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&written, path)
    };
    write().map_err(|cause| Error::file(path, cause))
}

/// The server as a child process, or what is needed to start it.
pub(super) struct Child {
    executable: PathBuf,
    files: Files,
    lock: DataDirLock,
    process: Option<tokio::process::Child>,
    credentials: (String, String),
}

impl Child {
    pub(super) fn new(executable: PathBuf, files: Files, lock: DataDirLock) -> Self {
        let credentials = (
            "openhands-resolver".to_owned(),
            hex::encode(rand::random::<[u8; PASSWORD_BYTES]>()),
        );
        Self {
            executable,
            files,
            lock,
            process: None,
            credentials,
        }
    }

    /// The port of last time.
    pub(super) fn recorded_port(&self) -> Option<u16> {
        self.files.access().map(|access| access.port)
    }

    /// Starts the server on `port`, or on one it chooses, and waits until JetStream answers.
    pub(super) async fn start(
        &mut self,
        port: Option<u16>,
        abort: &CancellationToken,
    ) -> Result<Access, Error> {
        self.files.forget_ports()?;
        let (user, password) = self.credentials.clone();
        let configuration = self.files.write_configuration(port, &user, &password)?;
        let child = self.process.insert(self.spawn(&configuration)?);
        let Some(process) = child.id().and_then(Process::of) else {
            return Err(Error::NotStarted(self.files.last_words()));
        };
        // Recorded before it is ready: should we be killed now, the next `up` has to find it.
        let mut access = Access {
            process,
            port: port.unwrap_or(0),
            user,
            password,
        };
        self.files.record(&access)?;
        let files = &self.files;
        let ready = tokio::select! {
            () = abort.cancelled() => Err(Error::Stopped),
            status = child.wait() => Err(Error::NotStarted(format!("{}: {}", ended(status), files.last_words()))),
            port = tokio::time::timeout(START_TIMEOUT, answers(files, &access)) => {
                port.map_err(|_| Error::NotStarted(format!("no answer in time: {}", files.last_words())))
            }
        };
        match ready {
            Ok(port) => {
                access.port = port;
                self.files.record(&access)?;
                Ok(access)
            }
            Err(error) => {
                self.stop().await;
                Err(error)
            }
        }
    }

    fn spawn(&self, configuration: &Path) -> Result<tokio::process::Child, Error> {
        let lock = self
            .lock
            .share()
            .map_err(|cause| Error::file(configuration, cause))?;
        #[expect(clippy::disallowed_methods, reason = "the managed nats-server starts here")]
        let mut command = tokio::process::Command::new(&self.executable);
        command
            .arg("-c")
            .arg(configuration)
            .env_clear()
            // A terminal's Ctrl-C is for us; the server has to outlive the roles that hand their messages back.
            .process_group(0)
            .stdin(Stdio::from(lock))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
            .spawn()
            .map_err(|cause| Error::file(&self.executable, cause))
    }

    /// Waits until the server has ended and says how.
    pub(super) async fn ended(&mut self) -> String {
        match &mut self.process {
            Some(child) => ended(child.wait().await),
            None => "not running".to_owned(),
        }
    }

    /// SIGTERM, then SIGKILL.
    pub(super) async fn stop(&mut self) {
        let Some(mut child) = self.process.take() else {
            return;
        };
        if let Some(process) = child.id().and_then(Process::of) {
            process.signal(Signal::TERM);
        }
        if tokio::time::timeout(TERM_TIMEOUT, child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!("nats-server does not end, killing it");
        if let Err(error) = child.kill().await {
            tracing::error!(%error, "nats-server cannot be killed");
        }
    }
}

/// Waits until the server has written its ports file and JetStream answers on that port.
async fn answers(files: &Files, access: &Access) -> u16 {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(port) = files.port_of(access.process.pid) else {
            continue;
        };
        let options = async_nats::ConnectOptions::new()
            .user_and_password(access.user.clone(), access.password.clone())
            .max_reconnects(Some(1));
        let Ok(client) = options.connect(format!("nats://127.0.0.1:{port}")).await else {
            continue;
        };
        // `$JS.API.INFO`
        if async_nats::jetstream::new(client).query_account().await.is_ok() {
            return port;
        }
    }
}

fn ended(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
