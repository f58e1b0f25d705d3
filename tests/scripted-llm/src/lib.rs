#![doc = include_str!("../README.md")]

mod answer;
mod conversation;
mod ledger;
mod routes;
mod script;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use ledger::{REQUESTS_KEPT_MAX, Request};
pub use script::{Delivery, Reply, Rule, SaidUsage, Script, Tokens, ToolCall};

use ledger::Ledger;

/// How long [`ScriptedLlm::shutdown`] waits for answers in flight; everything it answers itself takes milliseconds.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// A running scripted model endpoint. Dropping it stops it as [`ScriptedLlm::shutdown`] does, without waiting.
pub struct ScriptedLlm {
    addr: SocketAddr,
    ledger: Arc<Ledger>,
    stop: watch::Sender<bool>,
    server: JoinHandle<std::io::Result<()>>,
}

impl ScriptedLlm {
    /// Binds `listen` (port 0 takes a free one) and answers by `script` until shut down.
    ///
    /// Fails when the address cannot be bound.
    pub async fn start(listen: SocketAddr, script: Script) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        let addr = listener.local_addr().context("cannot read the bound address")?;
        let (stop, stopped) = watch::channel(false);
        let ledger = Arc::new(Ledger::new(script));
        let router = routes::router(Arc::clone(&ledger), stopped.clone());
        let server = tokio::spawn(
            axum::serve(listener, router)
                .with_graceful_shutdown(routes::until_stopped(stopped))
                .into_future(),
        );
        Ok(Self {
            addr,
            ledger,
            stop,
            server,
        })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a client takes as base URL: `http://127.0.0.1:PORT/v1`, without a trailing slash.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Every request so far, oldest first; at most the last [`REQUESTS_KEPT_MAX`] are kept.
    pub fn requests(&self) -> Vec<Request> {
        self.ledger.requests(0)
    }

    /// Waits until at least `count` requests arrived (held and delayed ones count on arrival) and returns them all.
    ///
    /// Fails after `limit`, with what did arrive in the message.
    pub async fn wait_for_requests(&self, count: u64, limit: Duration) -> anyhow::Result<Vec<Request>> {
        let arrived = tokio::time::timeout(limit, self.ledger.arrival(count)).await;
        let requests = self.ledger.requests(0);
        arrived.map_err(|_| {
            anyhow::anyhow!(
                "{} of {count} requests arrived within {limit:?}: {requests:#?}",
                requests.len()
            )
        })?;
        Ok(requests)
    }

    /// Replaces the script; every rule starts with all its uses. Recorded requests stay.
    pub fn set_script(&self, script: Script) {
        self.ledger.set_script(script);
    }

    /// Lets every request go that a `hold` holds now; later ones are held again.
    pub fn release(&self) {
        self.ledger.release();
    }

    /// Stops accepting, answers 503 to what is still held or delayed, and waits for the connections to end.
    ///
    /// Fails when they do not end within 5 s.
    pub async fn shutdown(mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        tokio::time::timeout(SHUTDOWN_WAIT, &mut self.server)
            .await
            .with_context(|| format!("connections still open {SHUTDOWN_WAIT:?} after shutdown"))?
            .context("the server task ended abnormally")?
            .context("the server failed")
    }
}

impl Drop for ScriptedLlm {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
