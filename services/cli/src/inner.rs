//! Subcommands that the executable starts itself as: the programs around and inside an agent's sandbox. Not for people,
//! so no help lists them, and none of them may find threads or a runtime where it starts.

use std::process::ExitCode;

/// Runs the hidden subcommand that the process was started as; `None` where it was started as anything else.
///
/// Called before everything else: `sandbox-exec` must be single-threaded, and none of them may read the configuration,
/// the environment's proxies or a secret.
pub(crate) fn dispatch() -> Option<ExitCode> {
    let name = std::env::args_os().nth(1)?;
    let (_, main) = PROGRAMS.iter().find(|(known, _)| name == *known)?;
    Some(main())
}

/// Where a program begins.
type Main = fn() -> ExitCode;

/// Their names and where they begin.
const PROGRAMS: &[(&str, Main)] = &[
    ("sandbox-exec", sandbox::inner::main),
    ("sandbox-probe", sandbox::probe::main),
    ("builtin-agent", agent::builtin_main),
    (git::READ_CHANGES, git::read_changes_main),
];
