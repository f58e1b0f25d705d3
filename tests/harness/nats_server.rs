//! A nats-server of the harness's own, for roles that run apart and for pulling its plug.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::waiting::{WAIT_MAX, until};

/// A running nats-server that keeps its port over restarts.
pub struct NatsServer {
    directory: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts one with its store below `directory`.
    pub async fn start(directory: &Path) -> Result<Self> {
        // The port is free now; a test machine does not hand it out again within milliseconds.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = Self {
            directory: directory.join("nats"),
            port,
            process: None,
        };
        server.restart().await?;
        Ok(server)
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it with signal 9.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await.context("kill -9 nats-server"),
            None => Ok(()),
        }
    }

    /// Starts it again on the same store and port.
    pub async fn restart(&mut self) -> Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        let config = self.directory.join("server.conf");
        std::fs::write(
            &config,
            format!(
                "listen: 127.0.0.1:{}\njetstream {{ store_dir: \"{}\", max_file_store: 64GB, sync_interval: always }}\n",
                self.port,
                self.directory.display()
            ),
        )?;
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("server.log"))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the harness starts what the scenario pulls the plug of"
        )]
        let process = Command::new("nats-server")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("nats-server is not on PATH: run the tests through `./dev test`")?;
        self.process = Some(process);
        let port = self.port;
        until(WAIT_MAX, || async move {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await
        .context("nats-server did not come up")
        .map(drop)
    }
}
