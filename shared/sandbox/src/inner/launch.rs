//! The last steps before the program: its environment and streams, then its confinement, then its start.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use super::calls::Filters;
use super::domain::Rules;
use super::{identity, process, rlimits, step};
use crate::cell::wire::{Failure, Launch, Plan};
use crate::level::Level;

/// Where programs are looked for unless the program's environment says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes the program; returns only if that fails.
pub(super) fn execute(plan: &Plan, order: &Launch, descriptors: Vec<OwnedFd>) -> Failure {
    match prepare(plan, order, descriptors) {
        Ok(mut command) => {
            let error = command.exec();
            Failure::Program(error.raw_os_error().unwrap_or(libc::EINVAL))
        }
        Err(failure) => failure,
    }
}

fn prepare(plan: &Plan, order: &Launch, descriptors: Vec<OwnedFd>) -> Result<std::process::Command, Failure> {
    // A session of its own: without a controlling terminal it can neither read from nor type into the worker's.
    rustix::process::setsid().map_err(step("setsid"))?;
    process::polite_signals(libc::SIG_DFL).map_err(step("signals"))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rlimits::set(plan)?;
    let [stdin, stdout, stderr] = streams(order.stdin, descriptors)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place where child processes start"
    )]
    let mut command = std::process::Command::new(&order.program);
    command
        .args(&order.args)
        .env_clear()
        .envs(environment(plan, &order.env))
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    if plan.level == Level::Off {
        rustix::process::chdir(&plan.work_tree).map_err(step("entering the work tree"))?;
    } else {
        confine(plan)?;
    }
    Ok(command)
}

/// In this order: what needs rights comes before they are lost.
fn confine(plan: &Plan) -> Result<(), Failure> {
    let filters = Filters::new(plan)?;
    let rules = Rules::new(plan)?;
    if plan.level == Level::One {
        identity::shrink_bounding_set()?;
        identity::switch(plan)?;
    }
    rustix::process::chdir(&plan.work_tree).map_err(step("entering the work tree"))?;
    identity::drop_capabilities()?;
    close_at_exec()?;
    if let Some(rules) = rules {
        rules.enforce()?;
    }
    filters.enforce()
}

/// Everything but the three streams is closed when the program starts, also what somebody forgot to mark so.
fn close_at_exec() -> Result<(), Failure> {
    const FIRST: libc::c_uint = 3;
    // SAFETY: close_range takes numbers; with this flag it closes nothing now.
    #[expect(unsafe_code, reason = "no crate in use wraps close_range")]
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result < 0 {
        return Err(step("closing descriptors")(std::io::Error::last_os_error()));
    }
    Ok(())
}

fn streams(stdin: bool, descriptors: Vec<OwnedFd>) -> Result<[Stdio; 3], Failure> {
    let count = descriptors.len();
    let mut given = descriptors.into_iter().map(Stdio::from);
    let stdin = if stdin { given.next() } else { Some(Stdio::null()) };
    match (stdin, given.next(), given.next(), given.next()) {
        (Some(stdin), Some(stdout), Some(stderr), None) => Ok([stdin, stdout, stderr]),
        _ => Err(Failure::Cell(format!(
            "{count} descriptors came with the program"
        ))),
    }
}

/// Address sanitizers look for leaks at the end by tracing their own process, which no process here may.
const SANITIZER: &str = "detect_leaks=0";

/// What is given, and what every program expects where it is not given.
fn environment(plan: &Plan, given: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let tmp = if plan.level == Level::Two {
        Path::new("/tmp")
    } else {
        &plan.tmp
    };
    let shell = if Path::new("/bin/bash").exists() {
        "/bin/bash"
    } else {
        "/bin/sh"
    };
    let mut defaults: Vec<(&str, &OsStr)> = vec![
        ("PATH", PATH.as_ref()),
        ("HOME", plan.home.as_os_str()),
        ("TMPDIR", tmp.as_os_str()),
        ("LANG", "C.UTF-8".as_ref()),
        ("USER", "agent".as_ref()),
        ("SHELL", shell.as_ref()),
    ];
    if plan.level != Level::Off {
        defaults.push(("ASAN_OPTIONS", SANITIZER.as_ref()));
    }
    // Java knows no TMPDIR, and at level 1 it is not allowed the /tmp that it takes instead.
    let java = OsString::from_iter([
        "-Djava.io.tmpdir=\"".as_ref(),
        plan.tmp.as_os_str(),
        "\"".as_ref(),
    ]);
    if plan.level == Level::One {
        defaults.push(("JAVA_TOOL_OPTIONS", &java));
    }
    let missing = defaults
        .into_iter()
        .filter(|(name, _)| given.iter().all(|(other, _)| other != name))
        .map(|(name, value)| (name.into(), value.to_owned()));
    given.iter().cloned().chain(missing).collect()
}
