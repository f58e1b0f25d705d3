#![doc = include_str!("../README.md")]

mod captured;
mod cell;
mod error;
mod group;
pub mod inner;
mod level;
mod limits;
mod no_network;
pub mod probe;
mod run;
mod self_test;
mod sweep;

use std::fmt;
use std::str::FromStr;

pub use captured::Captured;
pub use cell::{Cell, CellEnd, CellOutput, CellSpec, How, Needs, OutputStream, Program, Running, Stdin};
pub use error::Error;
pub use level::{Level, Namespaces, Residue, Sandbox, Settings, Unavailable, protect_this_process};
pub use limits::CellLimits;
pub use no_network::{NoFilter, without_network};
pub use run::{Command, Ended, Output, Stderr, run};
pub use self_test::{Examination, Leak, SelfTest, SelfTestError};
pub use sweep::{Removed, SweepError, SweepRules, Swept, Why, Withheld, remove, sweep};

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
