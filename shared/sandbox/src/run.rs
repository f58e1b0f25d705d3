//! Starts a command, waits for its end within its limits, and leaves nothing of its group behind.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::captured::Captured;
use crate::error::Error;
use crate::group::Group;

/// How long a killed child may take to end. Only a process stuck in the kernel, on a dead network file system for
/// instance, takes longer.
const REAP_WAIT: Duration = Duration::from_secs(10);

/// How long the pipes are read after the kill. What the group wrote is in them already; whoever still holds them open
/// has left the group.
const DRAIN_WAIT: Duration = Duration::from_millis(250);

/// The size of one read; a pipe holds 64 KiB.
const READ_BYTES: usize = 16 * 1024;

/// What to run, and within which limits.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program; without a slash it is looked for in the `PATH` of `env`.
    pub program: OsString,
    /// Its arguments. Never a secret: every user of the machine can read them.
    pub args: Vec<OsString>,
    /// The working directory.
    pub work_dir: PathBuf,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Wall-clock time after which it is killed.
    pub time_limit: Duration,
    /// How many bytes are kept of each output stream.
    pub output_bytes_max: usize,
    /// Where its standard error goes.
    pub stderr: Stderr,
    /// Kills it when cancelled.
    pub cancel: CancellationToken,
}

/// Where a child's standard error goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stderr {
    /// Into [`Output::stderr`].
    Separate,
    /// Into [`Output::stdout`], in the order in which the child wrote, as on a terminal.
    WithStdout,
}

/// What came of a command.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub ended: Ended,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error; empty with [`Stderr::WithStdout`].
    pub stderr: Captured,
    /// Wall-clock time from start to reaping.
    pub wall: Duration,
    /// True when a process that left the group still held the output open after the kill: it is still running.
    pub escaped: bool,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal, which was not ours.
    Signalled(i32),
    /// Killed at its time limit.
    TimeLimit,
    /// Killed because it was cancelled.
    Cancelled,
}

/// Runs a command to its end, which comes at its time limit or when it is cancelled, at the latest.
///
/// Its whole process group is killed before this returns, also after a normal exit; what it had started in the
/// background ends with it. Dropping the future kills the group as well.
pub async fn run(command: Command) -> Result<Output, Error> {
    let started = Instant::now();
    let follow = |source| Error::Follow {
        program: command.program.clone(),
        source,
    };
    // Declaration order matters when this future is dropped: the group is killed before the child can be reaped.
    let (mut child, mut out, mut err) = start(&command)?;
    let mut group = child
        .id()
        .map(Group::of)
        .ok_or_else(|| follow(io::Error::other("it has no id")))?
        .map_err(follow)?;

    let cut_short = tokio::select! {
        // In this order, so that a command cancelled before it starts is reported as cancelled.
        biased;
        () = command.cancel.cancelled() => Some(Ended::Cancelled),
        () = tokio::time::sleep(command.time_limit) => Some(Ended::TimeLimit),
        ended = group.leader_ended() => ended.map(|()| None).map_err(follow)?,
        failed = read_for_ever(&mut out, &mut err) => match failed { Err(source) => return Err(follow(source)) },
    };
    group.kill();

    let status = reap(&mut child).await.map_err(follow)?;
    let status = status.ok_or_else(|| Error::Stuck {
        program: command.program.clone(),
    })?;
    let drained = timeout(DRAIN_WAIT, read_to_end(&mut out, &mut err)).await;
    let escaped = drained.is_err();
    drained.unwrap_or(Ok(())).map_err(follow)?;
    if escaped {
        tracing::warn!(program = ?command.program, "a process that left its group outlives its command");
    }
    let ended = cut_short.unwrap_or_else(|| ended_by_itself(status));
    Ok(Output {
        ended,
        stdout: out.captured,
        stderr: err.captured,
        wall: started.elapsed(),
        escaped,
    })
}

fn ended_by_itself(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) => Ended::Signalled(signal),
        // A reaped process has one or the other; this is the shells' number for "could not be told".
        (None, None) => Ended::Exited(255),
    }
}

async fn reap(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    timeout(REAP_WAIT, child.wait())
        .await
        .map_or(Ok(None), |status| status.map(Some))
}

/// One output stream of the child.
struct Stream {
    pipe: Option<Receiver>,
    buffer: Box<[u8]>,
    captured: Captured,
}

impl Stream {
    fn new(pipe: Option<io::PipeReader>, bytes_max: usize) -> io::Result<Self> {
        let pipe = pipe
            .map(|pipe| Receiver::from_owned_fd(OwnedFd::from(pipe)))
            .transpose()?;
        Ok(Self {
            pipe,
            buffer: vec![0; READ_BYTES].into(),
            captured: Captured::new(bytes_max),
        })
    }

    /// Reads until every holder of the other end has closed it. Can be dropped and called again without losing bytes.
    async fn read(&mut self) -> io::Result<()> {
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut self.buffer).await? {
                0 => self.pipe = None,
                count => self.captured.push(&self.buffer[..count]),
            }
        }
        Ok(())
    }
}

async fn read_to_end(out: &mut Stream, err: &mut Stream) -> io::Result<()> {
    tokio::try_join!(out.read(), err.read()).map(drop)
}

/// As [`read_to_end`], but the end of the output is not the end of the child.
async fn read_for_ever(out: &mut Stream, err: &mut Stream) -> Result<Infallible, io::Error> {
    read_to_end(out, err).await?;
    std::future::pending().await
}

fn start(command: &Command) -> Result<(Child, Stream, Stream), Error> {
    let start = |source| Error::Start {
        program: command.program.clone(),
        work_dir: command.work_dir.clone(),
        source,
    };
    let (out_reader, out_writer) = io::pipe().map_err(start)?;
    let (err_reader, err_writer) = match command.stderr {
        Stderr::WithStdout => (None, out_writer.try_clone().map_err(start)?),
        Stderr::Separate => io::pipe()
            .map(|(reader, writer)| (Some(reader), writer))
            .map_err(start)?,
    };
    let out = Stream::new(Some(out_reader), command.output_bytes_max).map_err(start)?;
    let err = Stream::new(err_reader, command.output_bytes_max).map_err(start)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place where child processes start"
    )]
    let mut process = tokio::process::Command::new(&command.program);
    process
        .args(&command.args)
        .current_dir(&command.work_dir)
        .env_clear()
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(out_writer)
        .stderr(err_writer)
        .process_group(0)
        .kill_on_drop(true);
    // `process` ends here and closes our copies of the pipes' writing ends: the child alone keeps them open.
    let child = process.spawn().map_err(start)?;
    Ok((child, out, err))
}
