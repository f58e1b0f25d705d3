//! How much one run may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Half an hour: what a person still waits for; the configured time of a run replaces it.
const WALL: Duration = Duration::from_secs(30 * 60);
/// A build log of a large project is some MB; a program that prints more than this is stuck in a loop.
const OUTPUT_BYTES: u64 = 64 * 1024 * 1024;
/// Processes and threads. A parallel build and a language server stay under 300.
const PROCESSES: u64 = 512;
/// Enough for a JVM build and an agent on node next to it.
const MEMORY_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Build output and package caches of one run.
const DISK_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// One file. Larger ones are core dumps, disk images and loops.
const FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// What a cell may use. A run over one of these is killed at most two seconds later (`sandbox.md Limits`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellLimits {
    /// Wall-clock time from the program's start.
    pub wall: Duration,
    /// Bytes on standard output and standard error together.
    pub output_bytes: u64,
    /// Processes and threads at one time.
    pub processes: u64,
    /// Anonymous and shared memory of all processes together, in bytes.
    pub memory_bytes: u64,
    /// Bytes added to the work tree, HOME and tmp together, deleted files that are still open included.
    pub disk_bytes: u64,
    /// Bytes of one file; a write beyond fails with EFBIG.
    pub file_bytes: u64,
}

impl Default for CellLimits {
    fn default() -> Self {
        Self {
            wall: WALL,
            output_bytes: OUTPUT_BYTES,
            processes: PROCESSES,
            memory_bytes: MEMORY_BYTES,
            disk_bytes: DISK_BYTES,
            file_bytes: FILE_BYTES,
        }
    }
}
