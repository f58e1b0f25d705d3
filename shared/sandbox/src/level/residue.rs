//! What a level does not protect from.

use std::fmt;

use super::Level;
use crate::cell::Built;

/// Something that a level does not protect from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Residue {
    /// In a few words, for a line of details: "the shared kernel".
    pub short: &'static str,
    /// What it means, as a sentence for an operator.
    pub sentence: &'static str,
}

impl fmt::Display for Residue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.sentence)
    }
}

/// Without a sandbox.
pub(super) const NO_SANDBOX: Residue = Residue {
    short: "everything",
    sentence: "Nothing is confined: agents may read, write and connect to whatever their user may.",
};
const SAME_KERNEL: Residue = Residue {
    short: "the shared kernel",
    sentence: "Agents share the kernel with this machine: a hole in it is a way out.",
};
const PROCESS_LIST: Residue = Residue {
    short: "names of other processes",
    sentence: "Agents see the names and command lines of other processes in /proc.",
};
const COUNTED_PER_USER: Residue = Residue {
    short: "the number of processes",
    sentence: "Processes are counted per user: one run can keep another from starting more.",
};
const SAME_USER: Residue = Residue {
    short: "the worker's user",
    sentence: "Agents run as the worker's own user; an own one is used where the worker is started as root.",
};
const ONE_USER: Residue = Residue {
    short: "one user for all runs",
    sentence: "Agents of all runs are one user: what a run's files and processes give away to their own user, other runs \
        at the same time have too. They cannot read or write them, nor signal them.",
};
const NO_LANDLOCK: Residue = Residue {
    short: "no landlock",
    sentence: "Landlock is missing: namespaces alone keep agents from what is outside.",
};

/// What a cell of this level does not protect from, for `/readyz` and for replies. `found` is what the self-test saw.
pub(super) fn residue(level: Level, built: Built, own_user: bool, found: Vec<Residue>) -> Vec<Residue> {
    if level == Level::Off {
        return vec![NO_SANDBOX];
    }
    let namespaces = level == Level::Two;
    let told = [
        (true, SAME_KERNEL),
        (!namespaces || !built.own_proc, PROCESS_LIST),
        (!namespaces, COUNTED_PER_USER),
        (!namespaces && !own_user, SAME_USER),
        (!namespaces && own_user, ONE_USER),
        (!built.landlock, NO_LANDLOCK),
    ];
    let told = told
        .into_iter()
        .filter_map(|(holds, residue)| holds.then_some(residue));
    told.chain(found).collect()
}
