//! TCP by every variant, UDP, and socket families that have no business in a cell (`sandbox.md` Network).

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use super::calls::{Arg, address, call, descriptor, words};
use super::plan::{self, Plan, Question};
use super::{Attempt, Failure, ask_outside};

/// How long a planted target may take to greet. All are on this machine, which may be under load.
const GREETING_WAIT: Duration = Duration::from_secs(10);

const STREAM: i64 = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as i64;
const DATAGRAM: i64 = (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as i64;
const RAW: i64 = (libc::SOCK_RAW | libc::SOCK_CLOEXEC) as i64;

pub(super) fn tcp_to_nats(plan: &Plan) -> Attempt {
    connect(plan, Ipv4Addr::LOCALHOST.into(), plan.ports.nats)
}

pub(super) fn tcp_to_metrics(plan: &Plan) -> Attempt {
    connect(plan, Ipv4Addr::LOCALHOST.into(), plan.ports.metrics)
}

pub(super) fn tcp_to_another_run(plan: &Plan) -> Attempt {
    connect(plan, Ipv4Addr::LOCALHOST.into(), plan.ports.other_run)
}

pub(super) fn tcp_over_ipv6(plan: &Plan) -> Attempt {
    connect(plan, Ipv6Addr::LOCALHOST.into(), planted(plan.ports.ipv6)?)
}

/// Rules of landlock know ports, not hosts. The attacker's host listens on every port.
pub(super) fn tcp_to_another_host(plan: &Plan) -> Attempt {
    connect(plan, plan::OTHER_HOST.into(), planted(plan.other_host)?)
}

/// An IPv6 socket speaks IPv4 through the mapped addresses.
pub(super) fn tcp_by_mapped_address(plan: &Plan) -> Attempt {
    connect(plan, Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), plan.ports.nats)
}

fn planted(port: Option<u16>) -> Result<u16, Failure> {
    port.ok_or_else(|| Failure::NotTried("no target could be planted".to_owned()))
}

fn connect(plan: &Plan, ip: IpAddr, port: u16) -> Attempt {
    let stream = TcpStream::connect_timeout(&SocketAddr::new(ip, port), GREETING_WAIT)?;
    greeting(plan, stream)
}

/// A connection alone proves nothing: inside an own network a port may mean somebody else. The canary is proof.
pub(super) fn greeting(plan: &Plan, stream: impl GreetedBy) -> Attempt {
    expect_canary(plan, &what_is_said(stream, plan.canary.len())?)
}

/// The first bytes that the other side sends.
pub(super) fn what_is_said(mut stream: impl GreetedBy, length: usize) -> io::Result<Vec<u8>> {
    stream.wait_at_most(GREETING_WAIT)?;
    let mut said = vec![0; length];
    stream.read_exact(&mut said)?;
    Ok(said)
}

/// A stream that can be told to wait no longer than this for what it reads.
pub(super) trait GreetedBy: io::Read {
    fn wait_at_most(&self, wait: Duration) -> io::Result<()>;
}

impl GreetedBy for TcpStream {
    fn wait_at_most(&self, wait: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(wait))
    }
}

pub(super) fn expect_canary(plan: &Plan, read: &[u8]) -> Attempt {
    if read
        .windows(plan.canary.len())
        .any(|window| window == plan.canary.as_bytes())
    {
        Ok("read the canary".to_owned())
    } else {
        Err(Failure::Refused("the canary was not there".to_owned()))
    }
}

/// Multipath TCP is TCP by another protocol number, which a landlock rule does not see.
pub(super) fn multipath_tcp(plan: &Plan) -> Attempt {
    let socket = socket(libc::AF_INET, STREAM, libc::IPPROTO_MPTCP)?;
    let to = ipv4_address(plan.ports.nats);
    call(
        libc::SYS_connect,
        &mut [
            Arg::Int(socket.as_raw_fd().into()),
            Arg::In(&to),
            Arg::Length(to.len()),
        ],
    )?;
    greeting(plan, TcpStream::from(socket))
}

/// A send with Fast Open connects by itself.
pub(super) fn fast_open_by_sendto(plan: &Plan) -> Attempt {
    let socket = socket(libc::AF_INET, STREAM, 0)?;
    let to = ipv4_address(plan.ports.nats);
    call(
        libc::SYS_sendto,
        &mut [
            Arg::Int(socket.as_raw_fd().into()),
            Arg::In(b"?"),
            Arg::Int(1),
            Arg::Int(libc::MSG_FASTOPEN.into()),
            Arg::In(&to),
            Arg::Length(to.len()),
        ],
    )?;
    greeting(plan, TcpStream::from(socket))
}

pub(super) fn fast_open_by_sendmsg(plan: &Plan) -> Attempt {
    let socket = socket(libc::AF_INET, STREAM, 0)?;
    let to = ipv4_address(plan.ports.nats);
    let vector = words(&[address(b"?"), 1]);
    let message = words(&[address(&to), to.len() as u64, address(&vector), 1, 0, 0, 0]);
    call(
        libc::SYS_sendmsg,
        &mut [
            Arg::Int(socket.as_raw_fd().into()),
            Arg::In(&message),
            Arg::Int(libc::MSG_FASTOPEN.into()),
        ],
    )?;
    greeting(plan, TcpStream::from(socket))
}

pub(super) fn fast_open_by_sendmmsg(plan: &Plan) -> Attempt {
    let socket = socket(libc::AF_INET, STREAM, 0)?;
    let to = ipv4_address(plan.ports.nats);
    let vector = words(&[address(b"?"), 1]);
    // A msghdr, and the word that takes the number of bytes sent.
    let mut messages = words(&[address(&to), to.len() as u64, address(&vector), 1, 0, 0, 0, 0]);
    call(
        libc::SYS_sendmmsg,
        &mut [
            Arg::Int(socket.as_raw_fd().into()),
            Arg::Out(&mut messages),
            Arg::Int(1),
            Arg::Int(libc::MSG_FASTOPEN.into()),
        ],
    )?;
    greeting(plan, TcpStream::from(socket))
}

/// `listen` without `bind` takes a random port on all interfaces, and no landlock rule is asked.
pub(super) fn listening_without_bind(_: &Plan) -> Attempt {
    let socket = socket(libc::AF_INET, STREAM, 0)?;
    call(
        libc::SYS_listen,
        &mut [Arg::Int(socket.as_raw_fd().into()), Arg::Int(1)],
    )?;
    be_reached(TcpListener::from(socket))
}

pub(super) fn listening_on_any_port(_: &Plan) -> Attempt {
    be_reached(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
}

fn be_reached(listener: TcpListener) -> Attempt {
    let port = listener.local_addr()?.port();
    // The outside may have found another listener with this number; then nothing waits here.
    if !ask_outside(Question::Reach(port))? {
        return Err(Failure::Refused(
            "it listens where nobody outside gets to".to_owned(),
        ));
    }
    listener.set_nonblocking(true)?;
    let (_, peer) = listener.accept()?;
    Ok(format!("reached from outside by {peer}"))
}

pub(super) fn udp(plan: &Plan) -> Attempt {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let token = format!("{} udp", plan.canary);
    socket.send_to(token.as_bytes(), (Ipv4Addr::LOCALHOST, plan.ports.udp))?;
    arrived(token)
}

pub(super) fn udp_over_ipv6(plan: &Plan) -> Attempt {
    let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0))?;
    let token = format!("{} udp over ipv6", plan.canary);
    socket.send_to(
        token.as_bytes(),
        (Ipv6Addr::LOCALHOST, planted(plan.ports.udp_ipv6)?),
    )?;
    arrived(token)
}

/// A DNS question with the canary as its name: the way out that firewalls forget.
pub(super) fn dns(plan: &Plan) -> Attempt {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, plan.ports.udp))?;
    // Header: an id, recursion desired, one question. Then the name, type TXT, class IN (RFC 1035, 4.1).
    let mut query = vec![0x4f, 0x48, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let label: String = format!("dns{}", plan.canary).chars().take(63).collect();
    query.push(u8::try_from(label.len()).unwrap_or(63));
    query.extend_from_slice(label.as_bytes());
    query.extend_from_slice(&[0, 0, 16, 0, 1]);
    socket.send(&query)?;
    arrived(label)
}

pub(super) fn arrived(token: String) -> Attempt {
    if ask_outside(Question::Datagram(token))? {
        Ok("the datagram arrived outside".to_owned())
    } else {
        Err(Failure::Refused("sent, but it did not arrive outside".to_owned()))
    }
}

/// Echo requests need no right where `ping_group_range` says so.
pub(super) fn icmp(_: &Plan) -> Attempt {
    opened(libc::AF_INET, DATAGRAM, libc::IPPROTO_ICMP)
}

pub(super) fn raw_ip(_: &Plan) -> Attempt {
    opened(libc::AF_INET, RAW, libc::IPPROTO_ICMP)
}

pub(super) fn raw_ipv6(_: &Plan) -> Attempt {
    opened(libc::AF_INET6, RAW, libc::IPPROTO_ICMPV6)
}

pub(super) fn packet_socket(_: &Plan) -> Attempt {
    opened(libc::AF_PACKET, RAW, 0)
}

pub(super) fn netlink(_: &Plan) -> Attempt {
    opened(libc::AF_NETLINK, RAW, libc::NETLINK_ROUTE)
}

/// The way to the hypervisor of a virtual machine.
pub(super) fn vsock(_: &Plan) -> Attempt {
    opened(libc::AF_VSOCK, STREAM, 0)
}

fn opened(family: libc::c_int, kind: i64, protocol: libc::c_int) -> Attempt {
    socket(family, kind, protocol)
        .map(|_| "the socket was made".to_owned())
        .map_err(Failure::from)
}

/// Every other family this kernel has or may load a module for, and the stream protocols besides TCP.
pub(super) fn other_families(_: &Plan) -> Attempt {
    /// One above the highest family of Linux 6.18 (`AF_MCTP`).
    const FAMILIES: libc::c_int = 46;
    let mut made = String::new();
    let ordinary = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    for family in (0..FAMILIES).filter(|family| !ordinary.contains(family)) {
        for kind in [
            STREAM,
            DATAGRAM,
            RAW,
            (libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC).into(),
        ] {
            if socket(family, kind, 0).is_ok() {
                write!(made, " {family}").expect("a string takes everything");
                break;
            }
        }
    }
    for (kind, protocol) in [(STREAM, libc::IPPROTO_SCTP), (DATAGRAM, libc::IPPROTO_UDPLITE)] {
        if socket(libc::AF_INET, kind, protocol).is_ok() {
            write!(made, " ip/{protocol}").expect("a string takes everything");
        }
    }
    if made.is_empty() {
        Err(Failure::Refused("none could be made".to_owned()))
    } else {
        Ok(format!("made sockets of the families{made}"))
    }
}

fn socket(family: libc::c_int, kind: i64, protocol: libc::c_int) -> io::Result<OwnedFd> {
    descriptor(
        libc::SYS_socket,
        &mut [Arg::Int(family.into()), Arg::Int(kind), Arg::Int(protocol.into())],
    )
}

/// A `sockaddr_in` of this port on 127.0.0.1.
fn ipv4_address(port: u16) -> Vec<u8> {
    let family = u16::try_from(libc::AF_INET).expect("AF_INET is 2");
    let mut bytes = family.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&port.to_be_bytes());
    bytes.extend_from_slice(&Ipv4Addr::LOCALHOST.octets());
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

#[cfg(test)]
mod tests;
