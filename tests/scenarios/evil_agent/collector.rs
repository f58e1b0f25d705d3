//! What listens outside for anything that gets out: sockets of every kind, which answer whoever comes.

use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket, UnixListener};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What is kept of one visit.
const VISIT_BYTES_MAX: usize = 8 * 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// A visitor who says nothing for so long has gone.
const VISIT_MAX: Duration = Duration::from_secs(10);
const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The open doors, and what came through them.
pub(super) struct Collector {
    pub(super) tcp: SocketAddr,
    pub(super) tcp6: SocketAddr,
    pub(super) udp: SocketAddr,
    pub(super) udp6: SocketAddr,
    /// The name of the abstract socket.
    pub(super) name: String,
    seen: Seen,
    _doors: JoinSet<()>,
}

type Seen = Arc<Mutex<Vec<(&'static str, Vec<u8>)>>>;

impl Collector {
    /// Opens all doors; the socket file at `path`.
    pub(super) async fn open(path: &Path) -> std::io::Result<Self> {
        let (seen, mut doors) = (Seen::default(), JoinSet::new());
        let mut tcp = Vec::new();
        for (door, address) in [("tcp", "127.0.0.1:0"), ("tcp over IPv6", "[::1]:0")] {
            let listener = TcpListener::bind(address).await?;
            tcp.push(listener.local_addr()?);
            let seen = Arc::clone(&seen);
            doors.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(visit(door, stream, Arc::clone(&seen)));
                }
            });
        }
        let name = format!("evil-{}", uuid()?);
        let abstract_address = std::os::unix::net::SocketAddr::from_abstract_name(&name)?;
        let abstract_listener = std::os::unix::net::UnixListener::bind_addr(&abstract_address)?;
        abstract_listener.set_nonblocking(true)?;
        for (door, listener) in [
            ("unix", UnixListener::bind(path)?),
            ("abstract unix", UnixListener::from_std(abstract_listener)?),
        ] {
            let seen = Arc::clone(&seen);
            doors.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(visit(door, stream, Arc::clone(&seen)));
                }
            });
        }
        let mut udp = Vec::new();
        for (door, address) in [("udp", "127.0.0.1:0"), ("udp over IPv6", "[::1]:0")] {
            let socket = UdpSocket::bind(address).await?;
            udp.push(socket.local_addr()?);
            let seen = Arc::clone(&seen);
            doors.spawn(async move {
                let mut datagram = vec![0; READ_BYTES];
                while let Ok((length, _)) = socket.recv_from(&mut datagram).await {
                    keep(&seen, door, datagram[..length].to_vec());
                }
            });
        }
        Ok(Self {
            tcp: tcp[0],
            tcp6: tcp[1],
            udp: udp[0],
            udp6: udp[1],
            name,
            seen,
            _doors: doors,
        })
    }

    /// Everything that came, by door.
    pub(super) fn seen(&self) -> Vec<(&'static str, Vec<u8>)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A visit counts from the moment somebody is there, whether they say anything or not. Answered at their first words.
async fn visit(door: &'static str, mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: Seen) {
    let number = keep(&seen, door, Vec::new());
    let (mut said, mut piece, mut is_answered) = (0, vec![0; READ_BYTES], false);
    while let Ok(Ok(length @ 1..)) = timeout(VISIT_MAX, stream.read(&mut piece)).await {
        said += length;
        if said <= VISIT_BYTES_MAX {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen[number].1.extend_from_slice(&piece[..length]);
        }
        if !is_answered {
            is_answered = true;
            // Whoever has gone already has been seen.
            let _ = stream.write_all(ANSWER).await;
        }
    }
}

fn keep(seen: &Seen, door: &'static str, said: Vec<u8>) -> usize {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.push((door, said));
    seen.len() - 1
}

fn uuid() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/uuid")?
        .trim()
        .to_owned())
}
