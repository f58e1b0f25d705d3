#![doc = include_str!("../README.md")]

mod app;
mod control;
mod effects;
mod entity;
mod git;
mod git_door;
mod http;
mod json;
mod page;
mod rest;
mod state;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The flavour of webhook payloads (bitbucket-dc.md 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payloads {
    /// Times in epoch milliseconds, the key order of 9.x.
    #[default]
    V9,
    /// ISO 8601 times, the key order of 10.x.
    V10,
    /// One delivery in one flavour, the next in the other.
    Mixed,
}

impl std::str::FromStr for Payloads {
    type Err = String;

    /// Reads `9`, `10` or `mixed`.
    fn from_str(text: &str) -> Result<Payloads, String> {
        match text {
            "9" => Ok(Payloads::V9),
            "10" => Ok(Payloads::V10),
            "mixed" => Ok(Payloads::Mixed),
            other => Err(format!("payloads are 9, 10 or mixed, not {other}")),
        }
    }
}

/// How a simulator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; loopback only, port 0 for any free one.
    pub listen: SocketAddr,
    /// Where the bare git repositories go. What an earlier simulator left there is removed.
    pub data: PathBuf,
    /// `""` or, for example, `"/bitbucket"`.
    pub context_path: String,
    /// The flavour of webhook payloads.
    pub payloads: Payloads,
}

/// A running simulator; it ends when shut down or dropped.
#[derive(Debug)]
pub struct Simulator {
    addr: SocketAddr,
    base_url: String,
    stop: CancellationToken,
    server: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts one. Errors: an address that is not loopback or not free, a context path that is
    /// neither empty nor `/name`, a data directory that cannot be written.
    pub async fn start(options: Options) -> anyhow::Result<Simulator> {
        anyhow::ensure!(
            options.listen.ip().is_loopback(),
            "the simulator listens on loopback only"
        );
        let path = &options.context_path;
        let well_formed = path.is_empty() || (path.starts_with('/') && !path.ends_with('/'));
        anyhow::ensure!(
            well_formed,
            "a context path is empty or like /bitbucket, not {path}"
        );
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("cannot listen on {}", options.listen))?;
        let addr = listener.local_addr()?;
        let stop = CancellationToken::new();
        let app = app::App::start(&options, addr, &stop)?;
        let base_url = app.base_url().to_owned();
        let server = Some(tokio::spawn(http::server::run(app, listener, stop.clone())));
        Ok(Simulator {
            addr,
            base_url,
            stop,
            server,
        })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT` and the context path, without a slash at the end.
    pub fn base_url(&self) -> String {
        self.base_url.clone()
    }

    /// Stops it: connections are closed, deliveries end.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take()
            && let Err(error) = server.await
        {
            tracing::error!(%error, "the server did not end well");
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
