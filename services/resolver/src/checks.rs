//! The repository's checks, run by us: on the commit the work started from and on the one it ends with, each in a fresh
//! check-out, in the sandbox, without model and without network. They are evidence for people and stop nothing; what
//! the agent says about tests is no part of them.

use std::ffi::OsString;
use std::time::Duration;

use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use pipeline::run::{Check, Measured};
use sandbox::{CellLimits, CellSpec, How, Needs, Program, Sandbox, Stdin};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempt;
use crate::gate::Gate;
use crate::git_door::GitDoor;
use crate::handler::Resolver;
use crate::secrets::{self, Known};
use crate::work_tree::{WorkDirectory, WorkTree};
use config::CheckCommand;

mod outputs;
mod refused;
mod verdict;

use outputs::Outputs;
use verdict::{Ran, compared, verdict};

/// For all runs of all checks together: as much as two runs of the longest check there may be, and what a person who
/// waits for a push can be expected to wait.
pub(crate) const TIME_MAX: Duration = Duration::from_mins(20);
/// Less time than this is not worth starting a check in.
const TIME_MIN: Duration = Duration::from_secs(1);
/// Kept of each run's output, half from its start and half from its end.
const OUTPUT_BYTES_KEPT: usize = 16 * 1024;
/// Said of a check that there was no time left for.
const NO_TIME: &str = "the time for checks was used up";
/// Said of all checks when a commit could not be checked out.
const NO_FILES: &str = "its files could not be checked out";
/// Said of a check at whose turn the run was stopped.
const STOPPED: &str = "the run was stopped";

/// On what a check is measured, in this order.
const SIDES: [&str; 2] = ["before", "after"];

/// Where checks run.
pub(crate) struct Bench<'a> {
    /// Confines them.
    sandbox: &'a Sandbox,
    /// Told of what does not die.
    gate: &'a Gate,
    /// What one check's processes may use; its time is the check's own.
    limits: CellLimits,
    /// Where their trees go.
    work: &'a WorkDirectory,
    /// Gives them their files.
    door: &'a GitDoor,
    /// The run they belong to.
    attempt: &'a Attempt,
}

/// Measures the checks on both commits. What cannot be measured says so in its place and stops nothing; the one error
/// is a process that does not die.
pub(crate) async fn measure(
    bench: &Bench<'_>,
    checks: &[CheckCommand],
    (base, work): (&CommitId, &CommitId),
    known: &Known,
) -> Result<Vec<Check>, Failure> {
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let trees = match bench.sides(base, work).await {
        Ok(trees) => trees,
        Err(failure) => {
            tracing::warn!(run.id = %bench.attempt.run.id, ?failure, "nothing could be checked out for the checks");
            return Ok(checks.iter().map(without_files).collect());
        }
    };
    let (stopped, _watch) = bench.attempt.watch();
    let until = Instant::now() + TIME_MAX;
    let mut outputs = Outputs::default();
    let mut measured = Vec::with_capacity(checks.len());
    for check in checks {
        let mut sides = Vec::with_capacity(trees.len());
        for (name, tree) in SIDES.into_iter().zip(&trees) {
            bench.note(check, name).await;
            sides.push(bench.run(check, tree, until, &stopped).await?);
        }
        if let (Some(mut after), Some(before)) = (sides.pop(), sides.pop()) {
            after.measured = compared(&before, &after);
            for (name, ran) in SIDES.into_iter().zip([&before, &after]) {
                outputs.add(check, name, &ran.measured, ran.output.as_ref());
            }
            measured.push(check_of(check, before.measured, after.measured));
        }
    }
    let text = secrets::redacted(outputs.text(), known);
    let keep = || bench.attempt.keep_check_outputs(text.as_bytes());
    let patience = &bench.attempt.patience;
    if let Err(failure) = patience.with("keep what the checks printed", keep).await {
        tracing::warn!(run.id = %bench.attempt.run.id, ?failure, "what the checks printed is not kept");
    }
    Ok(measured)
}

fn check_of(check: &CheckCommand, before: Measured, after: Measured) -> Check {
    Check {
        name: check.name.clone(),
        command: check.command.clone(),
        before,
        after,
    }
}

fn without_files(check: &CheckCommand) -> Check {
    let not_run = Measured::NotRun {
        why: NO_FILES.to_owned(),
    };
    check_of(check, not_run.clone(), not_run)
}

impl<'a> Bench<'a> {
    /// Where the checks of one attempt run.
    pub(crate) fn new(resolver: &'a Resolver, door: &'a GitDoor, attempt: &'a Attempt) -> Self {
        Self {
            sandbox: &resolver.workshop.sandbox,
            gate: &resolver.gate,
            limits: resolver.settings.cell,
            work: &resolver.settings.work,
            door,
            attempt,
        }
    }

    /// Fresh check-outs of both commits.
    async fn sides(&self, base: &CommitId, work: &CommitId) -> Result<[WorkTree; 2], Failure> {
        let [before, after] = SIDES;
        let patience = &self.attempt.patience;
        let step = "check out what is measured";
        Ok([
            patience.with(step, || self.side(before, base)).await?,
            patience.with(step, || self.side(after, work)).await?,
        ])
    }

    /// A fresh check-out of one commit, with a home and temporary files of its own.
    async fn side(&self, name: &str, commit: &CommitId) -> Result<WorkTree, Failure> {
        let attempt = self.attempt;
        let tree = WorkTree::create_for_checks(self.work, &attempt.run.id, attempt.number, name)?;
        self.door.files_of(commit, tree.path()).await?;
        Ok(tree)
    }

    /// Says what goes on. A step that cannot be noted is only missed by readers.
    async fn note(&self, check: &CheckCommand, side: &str) {
        let step = format!("measuring the check {} ({side})", check.name);
        if let Err(failure) = self.attempt.note(step).await {
            tracing::warn!(run.id = %self.attempt.run.id, ?failure, "a step could not be noted");
        }
    }

    async fn run(
        &self,
        check: &CheckCommand,
        tree: &WorkTree,
        until: Instant,
        stopped: &CancellationToken,
    ) -> Result<Ran, Failure> {
        let not_run = |why: &str| {
            Ok(Ran {
                measured: Measured::NotRun { why: why.to_owned() },
                end: None,
                output: None,
            })
        };
        let left = until.saturating_duration_since(Instant::now());
        if stopped.is_cancelled() {
            return not_run(STOPPED);
        }
        if left < TIME_MIN {
            return not_run(NO_TIME);
        }
        let spec = self.spec(tree, check.time_limit.min(left));
        let ran = self
            .sandbox
            .run(spec, shell(&check.command), OUTPUT_BYTES_KEPT, stopped.clone())
            .await;
        match ran {
            Ok(output) if output.end.how == How::TimeLimit && left < check.time_limit => Ok(Ran {
                measured: Measured::NotRun {
                    why: NO_TIME.to_owned(),
                },
                end: Some(output.end),
                output: Some(output),
            }),
            Ok(output) => Ok(Ran {
                measured: verdict(output.end, self.sandbox.level(), &output.stdout.text()),
                end: Some(output.end),
                output: Some(output),
            }),
            // Nothing is pushed while something of the run may still be alive.
            Err(error @ (sandbox::Error::NotKilled { .. } | sandbox::Error::Stuck { .. })) => {
                tree.leave();
                self.gate.may_live_on(&self.attempt.run.id, &error);
                Err(Failure::abandon(FailureCode::Internal, None, error.into()))
            }
            Err(error) => {
                let cause = anyhow::Error::new(error);
                tracing::warn!(
                    run.id = %self.attempt.run.id,
                    check = check.name,
                    cause = format!("{cause:#}"),
                    "a check could not be run"
                );
                not_run("the sandbox could not run it")
            }
        }
    }

    fn spec(&self, tree: &WorkTree, wall: Duration) -> CellSpec {
        CellSpec {
            work_tree: tree.path().to_owned(),
            home: tree.home().to_owned(),
            tmp: tree.tmp().to_owned(),
            read_paths: Vec::new(),
            needs: needs(),
            model_listener: false,
            limits: CellLimits { wall, ..self.limits },
        }
    }
}

/// What test suites of servers need (sandbox.md, Agents inside). Unix sockets are left to level 2, where they are there
/// anyway: at level 1 they would reach those of the machine.
fn needs() -> Needs {
    Needs {
        pty: true,
        udp: true,
        netlink: true,
        ..Needs::default()
    }
}

/// The command with one output, in the order in which it was written.
fn shell(command: &str) -> Program {
    Program {
        program: OsString::from("/bin/sh"),
        args: ["-c", "exec /bin/sh -c \"$0\" 2>&1", command]
            .map(OsString::from)
            .into(),
        env: vec![(OsString::from("CI"), OsString::from("true"))],
        stdin: Stdin::Null,
    }
}
