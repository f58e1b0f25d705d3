//! A nats-server of the harness's own, for roles that run apart and for pulling its plug; alone or three in a cluster.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::waiting::{WAIT_MAX, until};

/// Servers of a cluster: the fewest of which one can be lost.
const CLUSTER_SERVERS: usize = 3;

/// A running nats-server that keeps its ports over restarts.
pub struct NatsServer {
    directory: PathBuf,
    name: String,
    port: u16,
    /// Where it tells who is connected; only in a cluster.
    monitor: Option<u16>,
    /// Lines of its configuration that make it part of a cluster.
    cluster: String,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts one with its store below `directory`.
    pub async fn start(directory: &Path) -> Result<Self> {
        let [port] = free_ports()?;
        let mut server = Self {
            directory: directory.join("nats"),
            name: "alone".to_owned(),
            port,
            monitor: None,
            cluster: String::new(),
            process: None,
        };
        server.restart().await?;
        Ok(server)
    }

    /// Starts a cluster with its stores below `directory`. JetStream works some seconds later, when the servers have
    /// found each other.
    pub async fn cluster(directory: &Path) -> Result<Vec<Self>> {
        let ports = free_ports::<{ 3 * CLUSTER_SERVERS }>()?;
        let (ports, others) = ports.split_at(CLUSTER_SERVERS);
        let (monitors, peers) = others.split_at(CLUSTER_SERVERS);
        let routes: Vec<String> = peers
            .iter()
            .map(|port| format!("\"nats-route://127.0.0.1:{port}\""))
            .collect();
        let routes = routes.join(", ");
        let mut servers = Vec::new();
        for ((port, monitor), peer) in ports.iter().zip(monitors).zip(peers) {
            let name = format!("n{}", servers.len());
            let mut server = Self {
                directory: directory.join(&name),
                name,
                port: *port,
                monitor: Some(*monitor),
                cluster: format!(
                    "http: 127.0.0.1:{monitor}\n\
                     cluster {{ name: three, listen: 127.0.0.1:{peer}, routes: [{routes}] }}\n"
                ),
                process: None,
            };
            server.restart().await?;
            servers.push(server);
        }
        Ok(servers)
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What the others of its cluster call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the clients that are connected to it, as a server of a cluster tells them.
    pub async fn clients(&self, http: &reqwest::Client) -> Result<Vec<String>> {
        let port = self.monitor.context("only a server of a cluster tells")?;
        let url = format!("http://127.0.0.1:{port}/connz");
        let told: serde_json::Value = http.get(url).send().await?.json().await?;
        let clients = told["connections"].as_array().context("connections")?;
        let names = clients.iter().filter_map(|client| client["name"].as_str());
        Ok(names.map(str::to_owned).collect())
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
                "server_name: {}\nlisten: 127.0.0.1:{}\n\
                 jetstream {{ store_dir: \"{}\", max_file_store: 64GB, sync_interval: always }}\n{}",
                self.name,
                self.port,
                self.directory.display(),
                self.cluster
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

/// Ports that are free now; a test machine does not hand them out again within milliseconds.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    // All are held until all are known, so that they differ.
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
