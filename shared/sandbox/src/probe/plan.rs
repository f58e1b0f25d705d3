//! What the self-test and the battery tell each other: one plan in, JSON lines out, one-word answers in.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The argument that makes the executable a bystander.
pub(crate) const BYSTANDER: &str = "bystander";
/// Stands for another host: an address of this machine that no cell is to reach.
pub(crate) const OTHER_HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The answer to a [`Question`]: it got through.
pub(crate) const YES: &str = "yes";
/// The answer to a [`Question`]: it did not.
pub(crate) const NO: &str = "no";

/// Where the planted targets are. None of them exists for anything else, and nothing is lost when an attack works.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// What every target gives away to whoever reaches it.
    pub(crate) canary: String,
    pub(crate) ports: Ports,
    pub(crate) unix: UnixSockets,
    /// The folder outside the cell that holds the planted files; see `self_test/plant_files.rs`.
    pub(crate) outside: PathBuf,
    /// A process outside, with the agent's own user where that is known.
    pub(crate) bystander: Bystander,
    /// The process that runs the self-test: the worker.
    pub(crate) worker: i32,
    pub(crate) namespaces: Namespaces,
    pub(crate) ipc: Ipc,
    /// The subordinate end of a pseudo terminal.
    pub(crate) terminal: Option<PathBuf>,
    /// The writable places of the cell.
    pub(crate) cell: Places,
    /// The port of the model proxy's stand-in, inside a cell only.
    pub(crate) model_port: Option<u16>,
    /// What the stand-in says. Not the canary: in a network of its own it may have the very number of a target outside.
    pub(crate) model_greeting: String,
    /// A port of another address that stands for another host: inside a cell, the same one as the model proxy's.
    pub(crate) other_host: Option<u16>,
    /// The names of the variables that a run is given.
    pub(crate) environment: Vec<String>,
    /// Who kills the run: the parent of the battery inside a cell, the bystander outside.
    pub(crate) killer: Option<i32>,
}

impl Plan {
    /// Whether this battery runs outside of any cell.
    pub(crate) fn is_control(&self) -> bool {
        self.killer.is_some()
    }
}

/// TCP and UDP ports on the loopback addresses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) nats: u16,
    pub(crate) metrics: u16,
    /// The model listener of another run.
    pub(crate) other_run: u16,
    /// On `::1`; `None` where there is no IPv6.
    pub(crate) ipv6: Option<u16>,
    pub(crate) udp: u16,
    pub(crate) udp_ipv6: Option<u16>,
}

/// Unix sockets, two in the file system and two abstract ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UnixSockets {
    /// A stream socket, where docker or `DBus` would be.
    pub(crate) stream: PathBuf,
    /// A datagram socket, where the system log would be.
    pub(crate) datagram: PathBuf,
    pub(crate) abstract_stream: String,
    pub(crate) abstract_datagram: String,
}

/// A process to attack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bystander {
    pub(crate) pid: i32,
    /// Where the canary is in its memory.
    pub(crate) address: u64,
    /// The descriptor under which it holds the secret file open.
    pub(crate) descriptor: i32,
}

/// The worker's namespaces as `/proc/self/ns` names them: where the battery's differ, ids and numbers from outside mean
/// nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Namespaces {
    pub(crate) pid: String,
    pub(crate) ipc: String,
}

/// System V objects, a message queue and a file in shared memory; `None` where the kernel has none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ipc {
    pub(crate) shared_memory: Option<i32>,
    pub(crate) messages: Option<i32>,
    pub(crate) semaphores: Option<i32>,
    /// Its name, without the slash.
    pub(crate) queue: Option<String>,
    /// Below `/dev/shm`.
    pub(crate) file: Option<PathBuf>,
}

/// What a run may write to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Places {
    pub(crate) work_tree: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) tmp: PathBuf,
}

/// One line of the battery.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Tried(Tried),
    Asked(Question),
}

/// What came of one probe.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tried {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    /// What was gained, or who said no.
    pub(crate) detail: String,
}

/// How a probe ended. A positive probe is `Held` when the thing works and `Error` when not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Held,
    Leaked,
    Error,
}

/// What only the outside can know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// Can you connect to this port on 127.0.0.1?
    Reach(u16),
    /// Did one of your datagram sockets get a datagram with this text?
    Datagram(String),
}
