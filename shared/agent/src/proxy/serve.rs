//! The listener and its connections.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::exchange;
use super::shared::Shared;

/// Agents keep some connections open and open one per parallel request; further ones wait in the kernel's queue. Each
/// may be owed one answer when a budget ends, so there are not many.
const CONNECTIONS_MAX: usize = 16;

/// From the connection, or the last answer, to the end of the next head. An agent that runs a tool for longer than
/// this finds its connection closed and opens another one.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);

/// Longest head of a request; agents' are below 4 KiB.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// More headers than any agent sends; codex and Claude Code send about thirty.
const HEADERS_MAX: usize = 100;

/// The listener rests this long when the process is out of file descriptors; retrying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`; then gives the port back and breaks off what is under way. Nothing runs any more when it
/// returns.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(run = %shared.run, %error, "a connection of the model proxy broke off");
                }
            }
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&shared)));
                }
                Err(error) => {
                    tracing::warn!(run = %shared.run, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Small answers must not wait for the client's delayed acknowledgement. Failing costs latency only.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(exchange::respond(shared, request).await) }
    });
    let ended = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = ended {
        // Clients that go away, or speak something else; nothing an operator has to act on.
        tracing::debug!(run = %shared.run, %error, "a connection of the model proxy ended");
    }
}
