//! The planted sockets: whoever gets to them reads the canary, or is seen from here.

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{
    SocketAddr as UnixAddress, UnixDatagram as StdUnixDatagram, UnixListener as StdUnixListener,
};
use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::probe::plan::{OTHER_HOST, Ports, Question, UnixSockets};

/// How long a datagram may take on this machine, and a connection to be made. Only asked for after it was sent, so what
/// is awaited is nearly always there; a machine under load takes its time.
const ARRIVAL_WAIT: Duration = Duration::from_secs(5);
/// How long one is looked for among the datagrams. On one machine it is there as soon as it is sent.
const DATAGRAM_WAIT: Duration = Duration::from_secs(1);

/// Longer than any datagram the battery sends.
const DATAGRAM_BYTES_MAX: usize = 1024;

/// The sockets outside, open until dropped.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) ports: Ports,
    pub(super) unix: UnixSockets,
    datagrams: Vec<Datagrams>,
    /// Greet whoever connects; end when dropped.
    _greeters: JoinSet<()>,
}

/// Greets on another address: on this port, or where that is taken, on any. Without such an address there is none.
pub(super) fn greet_elsewhere(port: u16, canary: String) -> io::Result<Option<(u16, JoinSet<()>)>> {
    let bound = std::net::TcpListener::bind((OTHER_HOST, port));
    let Ok(listener) = bound.or_else(|_| std::net::TcpListener::bind((OTHER_HOST, 0))) else {
        return Ok(None);
    };
    listener.set_nonblocking(true)?;
    Ok(Some((listener.local_addr()?.port(), greet(listener, canary)?)))
}

/// Greets everybody who connects with this, until the set is dropped.
pub(super) fn greet(listener: std::net::TcpListener, greeting: String) -> io::Result<JoinSet<()>> {
    let mut greeters = JoinSet::new();
    greet_tcp(&mut greeters, TcpListener::from_std(listener)?, greeting);
    Ok(greeters)
}

/// Listens on a port that is taken on `127.0.0.1`: no model proxy has that one, and a landlock rule knows ports only.
async fn listen_on_ipv6(taken: u16) -> Option<TcpListener> {
    match TcpListener::bind((Ipv6Addr::LOCALHOST, taken)).await {
        Ok(listener) => Some(listener),
        Err(_) => TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.ok(),
    }
}

impl Listeners {
    /// Opens all of them; those in the file system in `folder`. Without IPv6 there are none for it.
    pub(super) async fn open(folder: &Path, canary: &str) -> io::Result<Self> {
        let mut greeters = JoinSet::new();
        let mut tcp = Vec::new();
        for _ in 0..3 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            tcp.push(listener.local_addr()?.port());
            greet_tcp(&mut greeters, listener, canary.to_owned());
        }
        let ipv6 = listen_on_ipv6(tcp[0]).await;
        let ipv6_port = ipv6
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()?
            .as_ref()
            .map(SocketAddr::port);
        if let Some(listener) = ipv6 {
            greet_tcp(&mut greeters, listener, canary.to_owned());
        }
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let udp_ipv6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.ok();
        let udp_ipv6_port = udp_ipv6
            .as_ref()
            .map(UdpSocket::local_addr)
            .transpose()?
            .as_ref()
            .map(SocketAddr::port);
        let unix = UnixSockets {
            stream: folder.join("docker.sock"),
            datagram: folder.join("log.sock"),
            abstract_stream: format!("{canary}-stream"),
            abstract_datagram: format!("{canary}-datagram"),
        };
        let mut datagrams = open_unix(&unix, &mut greeters, canary)?;
        let udp_port = udp.local_addr()?.port();
        datagrams.extend([Some(udp), udp_ipv6].into_iter().flatten().map(Datagrams::Ip));
        Ok(Self {
            ports: Ports {
                nats: tcp[0],
                metrics: tcp[1],
                other_run: tcp[2],
                ipv6: ipv6_port,
                udp: udp_port,
                udp_ipv6: udp_ipv6_port,
            },
            unix,
            datagrams,
            _greeters: greeters,
        })
    }

    /// Answers what only the outside can know.
    pub(super) async fn answer(&self, question: &Question) -> bool {
        match question {
            Question::Reach(port) => {
                let connecting = TcpStream::connect((Ipv4Addr::LOCALHOST, *port));
                // The connection may be closed at once: it stays in the other's queue.
                matches!(timeout(ARRIVAL_WAIT, connecting).await, Ok(Ok(_)))
            }
            Question::Datagram(token) => timeout(DATAGRAM_WAIT, self.wait_for_datagram(token.as_bytes()))
                .await
                .is_ok(),
        }
    }

    async fn wait_for_datagram(&self, token: &[u8]) {
        let mut waits: Vec<_> = self
            .datagrams
            .iter()
            .map(|socket| Box::pin(socket.gets(token)))
            .collect();
        poll_fn(|context| {
            let come = waits
                .iter_mut()
                .any(|wait| wait.as_mut().poll(context).is_ready());
            if come { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// A socket that takes datagrams from everybody.
#[derive(Debug)]
enum Datagrams {
    Ip(UdpSocket),
    Unix(UnixDatagram),
}

impl Datagrams {
    /// Returns when a datagram with this text has come.
    async fn gets(&self, token: &[u8]) {
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        loop {
            let received = match self {
                Self::Ip(socket) => socket.recv(&mut datagram).await,
                Self::Unix(socket) => socket.recv(&mut datagram).await,
            };
            match received {
                Ok(length) if holds(&datagram[..length], token) => return,
                Ok(_) => {}
                // Of an earlier datagram; the next answer is of the next one.
                Err(error) => tracing::debug!(%error, "a planted datagram socket"),
            }
        }
    }
}

fn holds(datagram: &[u8], token: &[u8]) -> bool {
    datagram.windows(token.len().max(1)).any(|window| window == token)
}

fn open_unix(unix: &UnixSockets, greeters: &mut JoinSet<()>, canary: &str) -> io::Result<Vec<Datagrams>> {
    let stream = UnixListener::bind(&unix.stream)?;
    let abstract_stream =
        StdUnixListener::bind_addr(&UnixAddress::from_abstract_name(&unix.abstract_stream)?)?;
    abstract_stream.set_nonblocking(true)?;
    for listener in [stream, UnixListener::from_std(abstract_stream)?] {
        let canary = canary.to_owned();
        greeters.spawn(async move {
            let mut greeted = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                // Who is gone before the greeting has gained nothing.
                let _ = stream.write_all(canary.as_bytes()).await;
                greeted.push(stream);
            }
        });
    }
    let name = UnixAddress::from_abstract_name(&unix.abstract_datagram)?;
    let abstract_datagram = StdUnixDatagram::bind_addr(&name)?;
    abstract_datagram.set_nonblocking(true)?;
    let datagrams = [
        UnixDatagram::bind(&unix.datagram)?,
        UnixDatagram::from_std(abstract_datagram)?,
    ];
    Ok(datagrams.map(Datagrams::Unix).into())
}

/// Connections stay open: one that is closed with bytes unread is reset, and the greeting could be lost.
fn greet_tcp(greeters: &mut JoinSet<()>, listener: TcpListener, greeting: String) {
    greeters.spawn(async move {
        let mut greeted = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(greeting.as_bytes()).await;
            greeted.push(stream);
        }
    });
}
