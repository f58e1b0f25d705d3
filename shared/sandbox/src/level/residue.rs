//! What a level does not protect from.

use super::Level;
use crate::cell::Built;

/// Without a sandbox.
pub(super) const NO_SANDBOX: &str =
    "Nothing is confined: agents may read, write and connect to whatever their user may.";
const SAME_KERNEL: &str = "Agents share the kernel with this machine: a hole in it is a way out.";
const PROCESS_LIST: &str = "Agents see the names and command lines of other processes in /proc.";
const COUNTED_PER_USER: &str = "Processes are counted per user: one run can keep another from starting more.";
const SAME_USER: &str =
    "Agents run as the worker's own user; an own one is used where the worker is started as root.";
const NO_LANDLOCK: &str = "Landlock is missing: namespaces alone keep agents from what is outside.";

/// What a cell of this level does not protect from, one sentence each, for `/readyz` and for replies. `found` is what
/// the self-test saw.
pub(super) fn residue(
    level: Level,
    built: Built,
    own_user: bool,
    found: Vec<&'static str>,
) -> Vec<&'static str> {
    if level == Level::Off {
        return vec![NO_SANDBOX];
    }
    let namespaces = level == Level::Two;
    let told = [
        (true, SAME_KERNEL),
        (!namespaces || !built.own_proc, PROCESS_LIST),
        (!namespaces, COUNTED_PER_USER),
        (!namespaces && !own_user, SAME_USER),
        (!built.landlock, NO_LANDLOCK),
    ];
    let told = told
        .into_iter()
        .filter_map(|(holds, sentence)| holds.then_some(sentence));
    told.chain(found).collect()
}
