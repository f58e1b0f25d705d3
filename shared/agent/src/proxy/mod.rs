//! The model proxy of one run: the only way from an agent's cell to the world, and the one that counts.
//!
//! It stands on a loopback port, opens to a throw-away key, and passes three APIs on to one fixed [`Endpoint`], whose
//! key the agent never sees. It is an exit, too: whatever the endpoint would execute or fetch on the agent's behalf is
//! removed or refused (see [`mod@rewrite`]). Requests, tokens and money are counted from the endpoint's own answers,
//! and end with the run's [`Budget`]; budgets per person, repository or day would be further [`Budget`]s of the
//! ledger.
//!
//! A budget may be exceeded by what cannot be known before: one answer that does not stream, per request under way,
//! and the difference between an estimate and the count.

mod answer;
mod api;
mod exchange;
mod failed;
mod faults;
mod intake;
mod key;
mod ledger;
mod redact;
mod relay;
mod reply;
mod rewrite;
mod serve;
mod shared;
mod sse;
mod transcript;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pipeline::ids::RunId;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::endpoint::Endpoint;
use crate::http_client::ANSWER_TIMEOUT;
use crate::{Ended, Error, Usage};
pub use redact::Redactor;
use shared::Shared;

/// What a run may spend. Zero of anything means that nothing is ever sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Answers of the model.
    pub turns: u32,
    /// Tokens in and out, cached ones included.
    pub tokens: u64,
    /// US dollars; only counts where the endpoint has [`crate::Prices`].
    pub usd: Option<f64>,
}

/// How long the endpoint is waited for, and how often and how fast a failed request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Requests in all, the first one included.
    pub tries: u32,
    /// The wait before the second; it doubles with each one, and is jittered.
    pub first_wait: Duration,
    /// The longest wait without a `Retry-After`.
    pub wait_max: Duration,
    /// The longest `Retry-After` that is waited for. A longer one is passed on.
    pub retry_after_max: Duration,
    /// From a request to the first byte of its answer, which is all of it where it does not stream.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
}

impl Default for Patience {
    /// Bridges the restart of a gateway, half a minute, and the usual one-minute windows of rate limits. Models that
    /// think at length on a slow machine take minutes to begin, and pause for minutes.
    fn default() -> Self {
        Self {
            tries: 6,
            first_wait: Duration::from_secs(1),
            wait_max: Duration::from_secs(20),
            retry_after_max: Duration::from_mins(2),
            first_byte: ANSWER_TIMEOUT,
            idle: Duration::from_mins(5),
        }
    }
}

/// A running proxy. Dropping it stops it as [`Proxy::stop`] does, without waiting.
pub struct Proxy {
    shared: Arc<Shared>,
    addr: SocketAddr,
    server: JoinHandle<()>,
    stop: DropGuard,
}

impl Proxy {
    /// Serves `listener` for one run, within a tokio runtime.
    ///
    /// Fails with [`Error::Client`] when the endpoint's settings or the listener cannot be used.
    pub fn start(
        listener: std::net::TcpListener,
        endpoint: Arc<Endpoint>,
        budget: Budget,
        run: RunId,
    ) -> Result<Self, Error> {
        Self::start_with(listener, endpoint, budget, run, Patience::default())
    }

    /// The same with other times than the default ones.
    pub fn start_with(
        listener: std::net::TcpListener,
        endpoint: Arc<Endpoint>,
        budget: Budget,
        run: RunId,
        patience: Patience,
    ) -> Result<Self, Error> {
        let unusable = |error: std::io::Error| Error::Client {
            reason: format!("the listener for the agent cannot be used: {error}"),
        };
        listener.set_nonblocking(true).map_err(unusable)?;
        let listener = TcpListener::from_std(listener).map_err(unusable)?;
        let addr = listener.local_addr().map_err(unusable)?;
        let shared = Arc::new(Shared::new(endpoint, budget, run, patience)?);
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve::serve(listener, Arc::clone(&shared), stop.clone()));
        Ok(Self {
            shared,
            addr,
            server,
            stop: stop.drop_guard(),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The throw-away key that opens it.
    pub fn key(&self) -> &str {
        self.shared.key.as_str()
    }

    /// What was used so far by requests that have ended.
    pub fn usage(&self) -> Usage {
        self.shared.ledger.usage()
    }

    /// The same, whenever it changes.
    pub fn watch(&self) -> watch::Receiver<Usage> {
        self.shared.ledger.watch()
    }

    /// Returns why, once a request has met the end of a budget; pends until then, also for ever. The last answer that
    /// the budget has is still delivered: only a further request, or an answer that streams past it, is cut off.
    pub async fn cut_off(&self) -> Ended {
        let mut cut_off = self.shared.ledger.cut_off();
        match cut_off.wait_for(Option::is_some).await.map(|ended| *ended) {
            Ok(Some(ended)) => ended,
            // The sender lives in self.
            _ => std::future::pending().await,
        }
    }

    /// Returns once several requests in a row have failed for good, each after its retries; pends until then. Agents
    /// may go on asking for as long as they are let, whatever the answer.
    pub async fn hopeless(&self) {
        self.shared.faults.hopeless().await;
    }

    /// Stops serving, breaks off what is under way, gives the port back, and says what it has seen.
    ///
    /// For when nothing of the run is alive any more: who holds the port next could otherwise be asked by it.
    pub async fn stop(self) -> ProxyEnd {
        drop(self.stop);
        if let Err(error) = self.server.await {
            tracing::error!(run = %self.shared.run, %error, "the model proxy broke off");
        }
        self.shared.end()
    }
}

/// What a proxy has seen.
#[derive(Debug)]
pub struct ProxyEnd {
    /// What was used.
    pub usage: Usage,
    /// How many answers of [`ProxyEnd::usage`] were estimated at four bytes per token, as the endpoint did not say.
    pub estimated: u32,
    /// How many requests the endpoint failed for good, whatever the agent made of that.
    pub errors: u32,
    /// Why the last request failed; absent when it was answered, or there was none.
    pub last_error: Option<Error>,
    /// How many requests were refused here: a wrong key, path or model, or something the endpoint would have fetched.
    pub refused: u32,
    /// How many pieces were taken out of requests: tools of the provider's, unknown fields.
    pub removed: u32,
    /// Why the run was cut off, if it was.
    pub cut_off: Option<Ended>,
    /// The requests as JSON lines, without secrets, bounded.
    pub transcript: Vec<u8>,
}
