//! The repository's checks, run by us: on the commit the work started from and on the one it ends with, each in a fresh
//! check-out, in the sandbox, without model and without network. They are evidence for people and stop nothing; what
//! the agent says about tests is no part of them.

use std::ffi::OsString;
use std::time::Duration;

use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use pipeline::run::{Check, Measured};
use sandbox::{CellEnd, CellLimits, CellOutput, CellSpec, How, Level, Needs, Program, Sandbox, Stdin};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempt;
use crate::gate::Gate;
use crate::git_door::GitDoor;
use crate::handler::Resolver;
use crate::repository_config::CheckCommand;
use crate::secrets::{self, Known};
use crate::work_tree::{WorkDirectory, WorkTree};

mod outputs;
mod refused;

use outputs::Outputs;

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

/// What one run of a check came to, with what it printed.
struct Ran {
    measured: Measured,
    /// None where it was not run.
    end: Option<CellEnd>,
    output: Option<CellOutput>,
}

/// What the changed side's run came to beside that of the side before. The change could print what a refusal looks like,
/// to hide its failure: one is believed only where the sandbox refused the same check before the change, too.
fn compared(before: &Ran, after: &Ran) -> Measured {
    let is_refused = |ran: &Ran| matches!(ran.measured, Measured::NotMeasurable { .. });
    match after.end {
        Some(end) if is_refused(after) && !is_refused(before) => plain(end),
        _ => after.measured.clone(),
    }
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

/// What a check's end means for people.
fn verdict(end: CellEnd, level: Level, printed: &str) -> Measured {
    // The number is shown beside it: what was printed is a claim of the code under test.
    let ended = match end.how {
        How::Exited(0) => return plain(end),
        How::Exited(code) => format!("exit {code}"),
        How::Signalled(signal) => format!("signal {signal}"),
        _ => return plain(end),
    };
    // At level 1 there is no network to serve or to ask on: that says nothing about the code.
    if level == Level::One && refused::names_a_refused_socket(printed) {
        return Measured::NotMeasurable {
            why: format!("{ended}, and the sandbox refused it a network socket"),
        };
    }
    plain(end)
}

/// The same, whatever was printed.
fn plain(end: CellEnd) -> Measured {
    let milliseconds = u64::try_from(end.wall.as_millis()).unwrap_or(u64::MAX);
    let stopped = |limit: &str| Measured::Stopped {
        limit: limit.to_owned(),
        milliseconds,
    };
    match end.how {
        How::Exited(code) => Measured::Exited { code, milliseconds },
        How::Signalled(signal) => Measured::Exited {
            code: 128 + signal,
            milliseconds,
        },
        How::Cancelled => Measured::NotRun {
            why: STOPPED.to_owned(),
        },
        How::TimeLimit => Measured::TimedOut { milliseconds },
        How::OutputLimit => stopped("output"),
        How::MemoryLimit => stopped("memory"),
        How::ProcessLimit => stopped("process"),
        How::DiskLimit => stopped("disk"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "listen tcp 127.0.0.1:0: bind: permission denied";

    fn end(how: How) -> CellEnd {
        CellEnd {
            how,
            wall: Duration::from_millis(1_500),
            memory_peak_bytes: 0,
            left_behind: 0,
            over_for: None,
        }
    }

    fn verdict_of(how: How, level: Level, printed: &str) -> Measured {
        verdict(end(how), level, printed)
    }

    fn ran(how: How, printed: &str) -> Ran {
        Ran {
            measured: verdict_of(how, Level::One, printed),
            end: Some(end(how)),
            output: None,
        }
    }

    #[test]
    fn a_change_cannot_print_its_failure_away() {
        let after = || ran(How::Exited(1), REFUSED);
        assert!(
            matches!(after().measured, Measured::NotMeasurable { .. }),
            "the control"
        );
        for before in [
            ran(How::Exited(0), "ok"),
            ran(How::Exited(1), "2 failed"),
            ran(How::TimeLimit, REFUSED),
        ] {
            let compared = compared(&before, &after());
            assert!(
                matches!(compared, Measured::Exited { code: 1, .. }),
                "{:?}: {compared:?}",
                before.measured
            );
        }
        // Where the sandbox refused it before, too, people still see how it ended.
        let Measured::NotMeasurable { why } = compared(&after(), &after()) else {
            panic!("it was refused on both sides");
        };
        assert!(why.starts_with("exit 1, and the sandbox refused"), "{why}");
        let aborted = compared(&after(), &ran(How::Signalled(6), REFUSED));
        assert!(matches!(&aborted, Measured::NotMeasurable { why } if why.starts_with("signal 6")));
    }

    #[test]
    fn a_check_ends_as_its_program_did() {
        let milliseconds = 1_500;
        let stopped = |limit: &str| Measured::Stopped {
            limit: limit.to_owned(),
            milliseconds,
        };
        let exited = |code| Measured::Exited { code, milliseconds };
        for (how, measured) in [
            (How::Exited(0), exited(0)),
            (How::Exited(3), exited(3)),
            (How::Signalled(11), exited(139)),
            (How::TimeLimit, Measured::TimedOut { milliseconds }),
            (How::OutputLimit, stopped("output")),
            (How::MemoryLimit, stopped("memory")),
            (How::ProcessLimit, stopped("process")),
            (How::DiskLimit, stopped("disk")),
        ] {
            assert_eq!(verdict_of(how, Level::Two, "2 failed"), measured);
        }
        let stopped_run = verdict_of(How::Cancelled, Level::Two, "");
        assert!(matches!(stopped_run, Measured::NotRun { .. }), "{stopped_run:?}");
    }

    #[test]
    fn only_at_level_1_a_refused_socket_is_no_failure() {
        let is_unmeasurable =
            |how, level, printed| matches!(verdict_of(how, level, printed), Measured::NotMeasurable { .. });
        assert!(is_unmeasurable(How::Exited(1), Level::One, REFUSED));
        assert!(is_unmeasurable(How::Signalled(6), Level::One, REFUSED));
        assert!(
            !is_unmeasurable(How::Exited(0), Level::One, REFUSED),
            "it passed all the same"
        );
        assert!(!is_unmeasurable(How::Exited(1), Level::One, "2 failed"));
        assert!(!is_unmeasurable(How::Exited(1), Level::Two, REFUSED));
        assert!(!is_unmeasurable(How::Exited(1), Level::Off, REFUSED));
        assert!(!is_unmeasurable(How::TimeLimit, Level::One, REFUSED));
    }
}
