//! What bounds an agent and its change: `[sandbox]` and `[policy]`.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::read_sections::absolute_paths;
use crate::reader::Reader;

/// `[sandbox]`
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Whether agents are confined.
    pub mode: SandboxMode,
    /// Whether namespaces are used, the stronger of the two levels.
    pub namespaces: Namespaces,
    /// Started as root, the user id that agents run as.
    pub user: u32,
    /// What agents may read beyond the system's own programs and their HOME: toolchains, caches.
    pub read_paths: Vec<PathBuf>,
    /// Memory of a run's processes together, in bytes.
    pub memory_bytes_max: u64,
    /// Processes and threads of a run.
    pub processes_max: u64,
    /// What a run may write to its directories, in bytes.
    pub disk_bytes_max: u64,
    /// What an agent may print, in bytes.
    pub output_bytes_max: u64,
}

impl Sandbox {
    /// `nobody` on every Linux: owns nothing and may do nothing.
    pub const USER: u32 = 65_534;
}

/// Whether agents run in namespaces of their own (sandbox.md: level 2), or confined without them (level 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespaces {
    /// Where the kernel allows it.
    Auto,
    /// Not even where it does.
    Never,
    /// Or not at all.
    Always,
}

/// `[policy]`: what a change may contain.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Globs of protected paths that may be changed after all: CI files, CODEOWNERS, agents' own configuration.
    pub allow_protected_paths: Vec<String>,
    /// Changed files at most.
    pub files_max: usize,
    /// Bytes of one changed file at most.
    pub file_bytes_max: u64,
    /// Whether a request may leave out the repository's checks.
    pub allow_no_test: bool,
}

/// Whether agents are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxMode {
    /// They are.
    Enforce,
    /// Written out by an operator who accepts it; `/readyz` and every reply say "unsandboxed".
    Off,
}

impl fmt::Display for SandboxMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Off => "off",
        })
    }
}

const MIB: u64 = 1024 * 1024;

/// User ids; 0 would be root, and the last one means "none" to the kernel.
const USER_RANGE: RangeInclusive<u32> = 1..=u32::MAX - 1;
/// Coding agents on node need about 500 MiB to start; a run beyond 1 TiB is a mistake of units.
const MEMORY_BYTES_RANGE: RangeInclusive<u64> = 64 * MIB..=1024 * 1024 * MIB;
/// Enough for an agent, a compiler and a test runner with a thread for each of many cores.
const MEMORY_BYTES: u64 = 4096 * MIB;
/// A shell in a pipe needs a few; beyond the kernel's own bound there is nothing to bound.
const PROCESSES_RANGE: RangeInclusive<u64> = 16..=4_194_304;
/// Agents on node start about 30 threads, compilers one for each core, test suites several of those.
const PROCESSES: u64 = 512;
/// Smaller than any build; a tree and what is built from it beyond 10 TiB is a mistake of units.
const DISK_BYTES_RANGE: RangeInclusive<u64> = 16 * MIB..=10 * 1024 * 1024 * MIB;
/// A large repository and its build directory.
const DISK_BYTES: u64 = 8192 * MIB;
/// Agents that speak JSON lines print their whole conversation.
const OUTPUT_BYTES_RANGE: RangeInclusive<u64> = 64 * 1024..=64 * 1024 * MIB;
/// Ten times what a day of the most talkative agent prints.
const OUTPUT_BYTES: u64 = 64 * MIB;

/// Files of one commit: beyond this nobody reviews it.
const FILES_RANGE: RangeInclusive<usize> = 1..=100_000;
const FILES: usize = 500;
/// Larger files belong into another store than git.
const FILE_BYTES_RANGE: RangeInclusive<u64> = 1024..=1024 * MIB;
const FILE_BYTES: u64 = 10 * MIB;

pub(crate) fn sandbox(mut reader: Reader<'_>) -> Sandbox {
    let words = [("enforce", SandboxMode::Enforce), ("off", SandboxMode::Off)];
    let mode = reader.choice("mode", &words, SandboxMode::Enforce);
    let words = [
        ("auto", Namespaces::Auto),
        ("never", Namespaces::Never),
        ("always", Namespaces::Always),
    ];
    let namespaces = reader.choice("namespaces", &words, Namespaces::Auto);
    let user = reader.whole("user", USER_RANGE, Sandbox::USER);
    let read_paths = absolute_paths(&mut reader, "read_paths");
    let memory_bytes_max = reader.whole("memory_bytes_max", MEMORY_BYTES_RANGE, MEMORY_BYTES);
    let processes_max = reader.whole("processes_max", PROCESSES_RANGE, PROCESSES);
    let disk_bytes_max = reader.whole("disk_bytes_max", DISK_BYTES_RANGE, DISK_BYTES);
    let output_bytes_max = reader.whole("output_bytes_max", OUTPUT_BYTES_RANGE, OUTPUT_BYTES);
    reader.finish();
    Sandbox {
        mode,
        namespaces,
        user,
        read_paths,
        memory_bytes_max,
        processes_max,
        disk_bytes_max,
        output_bytes_max,
    }
}

pub(crate) fn policy(mut reader: Reader<'_>) -> Policy {
    let allow_protected_paths = reader.texts("allow_protected_paths").unwrap_or_default();
    for glob in &allow_protected_paths {
        if glob.starts_with('/') || glob.split('/').any(|part| part == "..") {
            let text =
                format!("{glob:?} must be a path from the repository's root, without a leading '/' or '..'");
            reader.problem("allow_protected_paths", text);
        }
    }
    let files_max = reader.whole("files_max", FILES_RANGE, FILES);
    let file_bytes_max = reader.whole("file_bytes_max", FILE_BYTES_RANGE, FILE_BYTES);
    let allow_no_test = reader.flag("allow_no_test", false);
    reader.finish();
    Policy {
        allow_protected_paths,
        files_max,
        file_bytes_max,
        allow_no_test,
    }
}
