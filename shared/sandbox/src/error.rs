//! Why something could not be run.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// Why a command or a cell could not be run. What ran and failed is an output, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started. The kind of `source` says whether it is missing or not executable.
    #[error("cannot start {program:?} in {work_dir}")]
    Start {
        /// The program asked for.
        program: OsString,
        /// The working directory asked for; it may be what is missing.
        work_dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Its output or its end could not be followed; it was killed.
    #[error("cannot follow {program:?}")]
    Follow {
        /// The program.
        program: OsString,
        /// What the operating system said.
        source: io::Error,
    },
    /// It was killed but has not ended: it is stuck in the kernel, and still there.
    #[error("{program:?} was killed and does not end")]
    Stuck {
        /// The program.
        program: OsString,
    },
    /// The cell could not be built. Nothing was started in it.
    #[error("cannot build a sandbox: {reason}")]
    Cell {
        /// Which step failed, and what the operating system said.
        reason: String,
    },
    /// The run could not be watched any more, so everything of it was killed.
    #[error("a run was ended: {reason}")]
    Unwatched {
        /// What could not be seen.
        reason: String,
    },
    /// The user agents run as cannot get to a directory of the run.
    #[error("user {user} cannot reach {path}: every directory above it needs its x bit (chmod o+x {closed})")]
    Unreachable {
        /// The user agents run as.
        user: u32,
        /// The directory the run needs.
        path: PathBuf,
        /// The topmost directory that is closed to that user.
        closed: PathBuf,
    },
    /// Nobody can say that everything of the run is dead. Its directories must not be touched.
    #[error("processes of a run may still be alive: {reason}")]
    NotKilled {
        /// What is known.
        reason: String,
    },
}
