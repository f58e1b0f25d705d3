//! For our own processes that read what an agent left: they need no network, so they have none.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// The system calls by which a process gets a socket, or has the kernel get one.
const CALLS: [libc::c_long; 6] = [
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// The network could not be given up.
#[derive(Debug, thiserror::Error)]
#[error("cannot give up the network: {0}")]
pub struct NoFilter(String);

/// Takes sockets away from the calling thread, its children and the threads it starts, for ever; asking for one is
/// EPERM then. For the beginning of `main`. Descriptors that are open stay open.
pub fn without_network() -> Result<(), NoFilter> {
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(|error| NoFilter(format!("{error}")))?;
    let rules: BTreeMap<_, _> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)
        .map_err(|error| NoFilter(error.to_string()))?;
    let program: BpfProgram = filter
        .try_into()
        .map_err(|error: seccompiler::BackendError| NoFilter(error.to_string()))?;
    apply_filter(&program).map_err(|error| NoFilter(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_without_network_gets_no_socket() {
        let bind = || {
            std::net::TcpListener::bind("127.0.0.1:0")
                .map(drop)
                .map_err(|error| error.kind())
        };
        // The filter stays with the thread and ends with it.
        let refused = std::thread::spawn(move || {
            let before = bind();
            without_network().expect("seccomp is there");
            (before, bind())
        });
        let (before, after) = refused.join().expect("it does not panic");
        assert_eq!(before, Ok(()), "the control");
        assert_eq!(after, Err(std::io::ErrorKind::PermissionDenied));
    }
}
