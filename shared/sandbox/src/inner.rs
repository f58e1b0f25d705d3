//! What the executable does as `sandbox-exec`: it is the warden of one cell.
//!
//! The warden has one thread and no runtime, so it may fork, enter namespaces and set parent-death signals. Its standard
//! input is the socket to the worker. It forks the first process of the cell (`init`), which starts the program; the
//! warden itself stays outside, watches, kills, and says when everything is dead.

mod calls;
mod disk;
mod domain;
mod eyes;
mod held;
mod identity;
mod init;
mod kill;
mod launch;
mod memory;
mod namespaces;
mod paths;
mod process;
mod rlimits;
mod root;
mod slice;
mod warden;
mod watch;

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::cell::wire::Failure;

/// What the worker gives as second argument to see that this executable can be started inside a cell.
pub(crate) const STARTED: &str = "started";

/// The whole program. Call it before anything else: no thread may have been started yet.
pub fn main() -> ExitCode {
    if std::env::args_os()
        .nth(2)
        .is_some_and(|argument| argument == STARTED)
    {
        return ExitCode::SUCCESS;
    }
    match warden::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It goes where the worker's own errors go; the worker is told by the socket's closing.
            let _ = writeln!(io::stderr(), "the warden of a sandbox failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A step of building the cell that failed, in the words of an operator.
fn step<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Cell(format!("{what}: {error}"))
}
