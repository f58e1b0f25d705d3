//! Unix sockets of others: docker, `DBus`, the system log, abstract names.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::time::Duration;

use super::Attempt;
use super::calls::{Arg, call, descriptor};
use super::network::{GreetedBy, arrived, greeting};
use super::plan::Plan;

impl GreetedBy for UnixStream {
    fn wait_at_most(&self, wait: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(wait))
    }
}

/// Where docker.sock or a `DBus` socket would be.
pub(super) fn stream_in_the_file_system(plan: &Plan) -> Attempt {
    greeting(plan, UnixStream::connect(&plan.unix.stream)?)
}

pub(super) fn abstract_stream(plan: &Plan) -> Attempt {
    let name = SocketAddr::from_abstract_name(&plan.unix.abstract_stream)?;
    greeting(plan, UnixStream::connect_addr(&name)?)
}

/// Where `/dev/log` would be.
pub(super) fn datagram_in_the_file_system(plan: &Plan) -> Attempt {
    let socket = UnixDatagram::unbound()?;
    let token = format!("{} datagram", plan.canary);
    socket.send_to(token.as_bytes(), &plan.unix.datagram)?;
    arrived(token)
}

pub(super) fn abstract_datagram(plan: &Plan) -> Attempt {
    let socket = UnixDatagram::unbound()?;
    let token = format!("{} abstract datagram", plan.canary);
    let name = SocketAddr::from_abstract_name(&plan.unix.abstract_datagram)?;
    socket.send_to_addr(token.as_bytes(), &name)?;
    arrived(token)
}

/// One end of a `socketpair` of datagram sockets can be connected anew, to anybody: a socket without `socket`.
pub(super) fn datagram_by_socketpair(plan: &Plan) -> Attempt {
    let (socket, _other_end) = UnixDatagram::pair()?;
    to_the_file_system(plan, &socket, "socketpair")
}

/// Of unix sockets, raw ones are datagram ones, but for a filter that knows types by their number.
pub(super) fn datagram_by_raw_socketpair(plan: &Plan) -> Attempt {
    let kind = Arg::Int((libc::SOCK_RAW | libc::SOCK_CLOEXEC).into());
    let mut ends = [0; 8];
    let family = Arg::Int(libc::AF_UNIX.into());
    call(
        libc::SYS_socketpair,
        &mut [family, kind, Arg::Int(0), Arg::Out(&mut ends)],
    )?;
    let [first, _] = [&ends[..4], &ends[4..]].map(|end| end.try_into().map_or(-1, i32::from_ne_bytes));
    // A duplicate has an owner; the pair itself ends with the battery.
    let socket = UnixDatagram::from(descriptor(libc::SYS_dup, &mut [Arg::Int(first.into())])?);
    to_the_file_system(plan, &socket, "raw socketpair")
}

fn to_the_file_system(plan: &Plan, socket: &UnixDatagram, mark: &str) -> Attempt {
    let token = format!("{} {mark}", plan.canary);
    socket.connect(&plan.unix.datagram)?;
    socket.send(token.as_bytes())?;
    arrived(token)
}

/// The same to an abstract name.
pub(super) fn abstract_by_socketpair(plan: &Plan) -> Attempt {
    let (socket, _other_end) = UnixDatagram::pair()?;
    let token = format!("{} abstract socketpair", plan.canary);
    socket.connect_addr(&SocketAddr::from_abstract_name(&plan.unix.abstract_datagram)?)?;
    socket.send(token.as_bytes())?;
    arrived(token)
}
