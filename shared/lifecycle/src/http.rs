//! The one HTTP server: HTTP/1.1 with a header time-out, connection limits, optional TLS and a graceful end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::pace::{Pace, Paced};
use crate::shutdown::Shutdown;

/// A client that has not sent its headers by then is not going to.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest head of a request; Bitbucket's are below 2 KiB. Also hyper's buffer per connection, so it bounds memory.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// More headers than any honest client sends.
const HEADERS_MAX: usize = 64;

/// The listener rests this long when the process is out of file descriptors; retrying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener allows.
#[derive(Clone)]
pub struct HttpLimits {
    /// From the connection, or a request's first byte, to the end of its headers. A TLS handshake has as long.
    pub header_timeout: Duration,
    /// From an answer to the next request's first byte.
    pub idle_timeout: Duration,
    /// Open connections; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Open connections of one address; further ones are closed. A reverse proxy is one address.
    pub connections_per_peer_max: usize,
    /// Serves TLS with this.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_timeout: HEADER_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            connections_max: 1024,
            connections_per_peer_max: 512,
            tls: None,
        }
    }
}

/// Longer than reverse proxies keep their connections (60 s is usual), so that they close them and not we.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// Clients that honour `Keep-Alive` stop reusing a connection this fraction of the idle time-out before it is closed.
const KEEP_ALIVE_MARGIN: u32 = 5;

/// After the soft token, connections without a request stay open for this long: what a client had already sent when
/// it was cancelled is still on its way through the kernel and gets its answer.
const LINGER: Duration = Duration::from_millis(500);

/// Serves until the soft token; then takes no new connection, finishes the requests in flight, and ends. The hard
/// token ends it at once. Handlers may extract `ConnectInfo<SocketAddr>`.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: HttpLimits,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let mut doors = Doors {
        listener,
        slots,
        peers: Peers::default(),
    };
    let server = Arc::new(Server::new(app, limits, &shutdown));
    while let Some(guest) = doors.next(&shutdown).await {
        let server = server.clone();
        if let Some(place) = doors
            .peers
            .enter(guest.peer.ip(), server.limits.connections_per_peer_max)
        {
            connections.spawn(async move {
                server.connection(guest).await;
                drop(place);
            });
        } else {
            tracing::warn!(peer = %guest.peer, "too many connections from one address");
        }
    }
    // Closes the port: a client that connects now is refused and tries another instance.
    drop(doors);
    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = shutdown.hard.cancelled() => {}
    }
    Ok(())
}

/// The listener with what it counts.
struct Doors {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    peers: Peers,
}

/// A connection that was let in.
struct Guest {
    stream: TcpStream,
    peer: SocketAddr,
    /// Held as long as the connection is open.
    _slot: OwnedSemaphorePermit,
}

impl Doors {
    /// The next connection; after the soft token those the kernel already accepted, then `None`.
    async fn next(&mut self, shutdown: &Shutdown) -> Option<Guest> {
        loop {
            let slot = tokio::select! {
                slot = self.slots.clone().acquire_owned() => slot.ok()?,
                () = shutdown.hard.cancelled() => return None,
            };
            let accepted = tokio::select! {
                biased;
                accepted = self.listener.accept() => accepted,
                () = shutdown.soft.cancelled() => return None,
            };
            match accepted {
                Ok((stream, peer)) => {
                    return Some(Guest {
                        stream,
                        peer,
                        _slot: slot,
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// What every connection is served with.
struct Server {
    app: Router,
    limits: HttpLimits,
    keep_alive: HeaderValue,
    shutdown: Shutdown,
}

impl Server {
    fn new(app: Router, limits: HttpLimits, shutdown: &Shutdown) -> Self {
        let announced = limits.idle_timeout / KEEP_ALIVE_MARGIN * (KEEP_ALIVE_MARGIN - 1);
        let seconds = announced.as_secs();
        let keep_alive =
            HeaderValue::try_from(format!("timeout={seconds}")).expect("digits are a header value");
        Self {
            app,
            limits,
            keep_alive,
            shutdown: shutdown.clone(),
        }
    }

    async fn connection(&self, guest: Guest) {
        // Small answers must not wait for the client's delayed acknowledgement. Failing costs latency only.
        let _ = guest.stream.set_nodelay(true);
        let Some(config) = &self.limits.tls else {
            return self.speak(guest.stream, guest.peer).await;
        };
        let handshake = TlsAcceptor::from(config.clone()).accept(guest.stream);
        match tokio::time::timeout(self.limits.header_timeout, handshake).await {
            Ok(Ok(stream)) => self.speak(stream, guest.peer).await,
            Ok(Err(error)) => tracing::debug!(peer = %guest.peer, error = %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(peer = %guest.peer, "TLS handshake took too long"),
        }
    }

    async fn speak<S>(&self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let pace = Pace::new();
        let service = service_fn(|request| self.answer(request, peer, &pace));
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(Paced::new(stream, pace.clone())), service);
        let mut connection = pin!(connection);
        let used_up = pace.used_up(self.limits.header_timeout, self.limits.idle_timeout);
        let mut used_up = pin!(used_up);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = used_up.as_mut() => return,
            () = self.lingered() => {
                // From here on idle connections are closed; a request in flight is finished.
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = used_up => return,
                    () = self.shutdown.hard.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            // Slow, broken and foreign clients; nothing an operator has to act on.
            tracing::debug!(peer = %peer, error = %error, "connection ended");
        }
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        pace: &Pace,
    ) -> Result<Response, Infallible> {
        pace.busy();
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut response = self.app.clone().oneshot(request).await?;
        pace.idle();
        if self.shutdown.is_soft() {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        } else {
            let name = header::HeaderName::from_static("keep-alive");
            response.headers_mut().insert(name, self.keep_alive.clone());
        }
        Ok(response)
    }

    /// Some time after the soft token, or the hard one.
    async fn lingered(&self) {
        self.shutdown.soft.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(LINGER) => {}
            () = self.shutdown.hard.cancelled() => {}
        }
    }
}

/// Open connections by address.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of an address's connections, until dropped.
struct Place {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    fn enter(&self, address: IpAddr, max: usize) -> Option<Place> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place {
            peers: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}
