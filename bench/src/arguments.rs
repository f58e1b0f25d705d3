//! The command line.

use std::fmt;

use clap::{Parser, ValueEnum};

/// Rounds of product and baseline each. The median of seven is steady enough on a busy two-core machine.
const ROUNDS: usize = 7;
/// Enough to see that everything works.
const ROUNDS_QUICK: usize = 2;

/// Measures the product against plain NATS and plain git, and prints the ratios.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Arguments {
    /// Only these rows (may be repeated)
    #[arg(long, value_enum)]
    only: Vec<Group>,
    /// Rounds of product and baseline each
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=50))]
    rounds: Option<u16>,
    /// Few and short rounds, to see that it works; results are not written
    #[arg(long)]
    pub(crate) quick: bool,
}

impl Arguments {
    /// The groups to measure, each once, in the table's order.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let wanted = |group: &Group| self.only.is_empty() || self.only.contains(group);
        Group::value_variants().iter().copied().filter(wanted).collect()
    }

    /// Rounds of each.
    pub(crate) fn rounds(&self) -> usize {
        let usual = if self.quick { ROUNDS_QUICK } else { ROUNDS };
        self.rounds.map_or(usual, usize::from)
    }
}

/// Rows that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// Signed deliveries, against a raw publish-and-ack loop
    Ingest,
    /// Comment to status reply, whole runs, REST calls, memory of `up`
    Runs,
    /// Cold and warm work trees, against git clone
    WorkTree,
    /// A push, against git push
    Push,
    /// The start of a program in the sandbox, over a plain spawn
    Sandbox,
    /// What the model proxy adds to calls and streams
    Proxy,
}

impl Group {
    /// As on the command line and in file names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Runs => "runs",
            Self::WorkTree => "work-tree",
            Self::Push => "push",
            Self::Sandbox => "sandbox",
            Self::Proxy => "proxy",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
