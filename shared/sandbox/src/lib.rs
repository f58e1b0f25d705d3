//! The only place where the product starts a child process: a command in, its output and how it ended out.
//!
//! Every child gets an empty environment but for what the caller lists, no standard input, a process group of its own,
//! a time limit and an output limit; its whole group is killed at the end in every case, also when the caller's future
//! is dropped.
//!
//! What this does **not** do yet: it confines nothing. A child may read what this user may read, open network
//! connections, and leave its process group with `setsid`, which [`Output::escaped`] reports only when the escapee
//! still holds the output open. A worker killed with SIGKILL leaves its children behind. [`available`] therefore says
//! that no sandbox is available, and who asks for [`Mode::Enforce`] is refused before anything starts.

mod captured;
mod group;
mod run;

use std::fmt;
use std::str::FromStr;

pub use captured::Captured;
pub use run::{Command, Ended, Error, Output, Stderr, run};

/// Whether agents have to run confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Confined, or not at all.
    Enforce,
    /// Unconfined; has to be written out, and `/readyz` and every reply say so.
    Off,
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "off" => Ok(Self::Off),
            other => Err(UnknownMode(other.to_owned())),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Enforce => "enforce",
            Self::Off => "off",
        })
    }
}

/// A sandbox mode that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a sandbox mode; it is \"enforce\" or \"off\"")]
pub struct UnknownMode(String);

/// Whether this machine can confine an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Available,
    /// It cannot.
    Unavailable {
        /// Why not, as a sentence for an operator.
        reason: &'static str,
    },
}

/// Says whether [`Mode::Enforce`] can be honoured here. Today it cannot, on any machine.
pub fn available() -> Availability {
    Availability::Unavailable {
        reason: "this version starts agents without confinement: files and network of its user are open to them",
    }
}
