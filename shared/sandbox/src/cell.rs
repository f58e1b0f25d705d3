//! A cell: a place for one program and all it starts, that is gone when the run is over.

mod output;
mod warden;
pub(crate) mod wire;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use self::output::Count;
pub use self::output::OutputStream;
use self::warden::Warden;
pub(crate) use self::wire::Ready as Built;
use self::wire::{Launch, Order, Plan};
use crate::captured::Captured;
use crate::error::Error;
use crate::level::{Level, Sandbox};
use crate::limits::CellLimits;

/// The size of one read; a pipe holds 64 KiB.
const READ_BYTES: usize = 16 * 1024;

/// How long output is read after everything that could write it is dead; what is left is in the pipes already.
const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// What a cell is to contain. All paths are absolute, exist, and are the same inside.
#[derive(Debug, Clone)]
pub struct CellSpec {
    /// Where the work is done, read-write; the program's working directory.
    pub work_tree: PathBuf,
    /// HOME, read-write.
    pub home: PathBuf,
    /// For temporary files, read-write: `/tmp` at level 2, TMPDIR at all levels.
    pub tmp: PathBuf,
    /// The program's installation, read-only.
    pub read_paths: Vec<PathBuf>,
    /// What the program cannot work without.
    pub needs: Needs,
    /// Whether a listener for the model proxy is wanted.
    pub model_listener: bool,
    /// What it may use.
    pub limits: CellLimits,
}

/// What a program cannot work without; each widens what it can do (`sandbox.md Agents inside`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent, and each is off or on"
)]
pub struct Needs {
    /// Unix sockets. At level 2 always there, and only to be used within the run.
    pub unix_sockets: bool,
    /// Pseudo terminals.
    pub pty: bool,
    /// A loopback port to listen on and connect to. At level 2 every port is the run's own.
    pub private_port: Option<u16>,
    /// Datagrams on the run's own network; only at level 2.
    pub udp: bool,
    /// Questions about the run's own network interfaces; only at level 2.
    pub netlink: bool,
}

/// What to start in a cell.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program; without a slash it is looked for in PATH.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment, except that PATH, HOME, TMPDIR, LANG, USER and SHELL are set where they are not given, in a
    /// sandbox `ASAN_OPTIONS` (no search for leaks, which needs tracing), at level 1 `JAVA_TOOL_OPTIONS` (where temporary
    /// files go).
    pub env: Vec<(OsString, OsString)>,
    /// Its standard input.
    pub stdin: Stdin,
}

/// A program's standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// Empty.
    Null,
    /// Comes from [`Running::stdin`].
    Piped,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// The program ended with this exit code.
    Exited(i32),
    /// The program was ended by this signal, which was not ours.
    Signalled(i32),
    /// Killed because it was cancelled.
    Cancelled,
    /// Killed at [`CellLimits::wall`].
    TimeLimit,
    /// Killed at [`CellLimits::output_bytes`].
    OutputLimit,
    /// Killed at [`CellLimits::memory_bytes`].
    MemoryLimit,
    /// Killed at [`CellLimits::processes`].
    ProcessLimit,
    /// Killed at [`CellLimits::disk_bytes`], or because the disk itself was nearly full.
    DiskLimit,
}

/// The end of a run: everything of it is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellEnd {
    /// How it came to its end.
    pub how: How,
    /// From the program's start to the confirmed kill.
    pub wall: Duration,
    /// The most memory that was seen in use at one time; 0 for a run too short to look.
    pub memory_peak_bytes: u64,
    /// Processes that the program had left behind at its end, and that were killed.
    pub left_behind: u32,
    /// How long at most it was over the limit that ended it, until the kill was confirmed: since the last look that found
    /// it within, or since the limit itself where it is the worker's. `None` where no limit ended it.
    pub over_for: Option<Duration>,
}

/// What came of [`Sandbox::run`].
#[derive(Debug, Clone)]
pub struct CellOutput {
    /// How it ended.
    pub end: CellEnd,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
}

/// A cell that stands, and in which nothing runs yet. Dropping it takes it down.
#[derive(Debug)]
pub struct Cell {
    warden: Warden,
    built: Built,
    listener: Option<TcpListener>,
    model_port: Option<u16>,
    work_tree: PathBuf,
    limits: CellLimits,
}

/// A program that runs in a cell. Dropping it kills everything in the cell.
#[derive(Debug)]
pub struct Running {
    /// The program's standard input, if it was to be piped; dropping it closes it.
    pub stdin: Option<pipe::Sender>,
    /// The program's standard output. Left here, it is read and thrown away by [`Running::ended`].
    pub stdout: Option<OutputStream>,
    /// The program's standard error, likewise.
    pub stderr: Option<OutputStream>,
    warden: Warden,
    count: Arc<Count>,
    started: Instant,
    wall: Duration,
    end: Option<CellEnd>,
}

impl Sandbox {
    /// Builds the cell and stops before a program is started.
    pub async fn cell(&self, spec: CellSpec) -> Result<Cell, Error> {
        self.cell_at(self.level(), spec).await
    }

    pub(crate) async fn cell_at(&self, level: Level, spec: CellSpec) -> Result<Cell, Error> {
        let failed = |source: io::Error| Error::Cell {
            reason: format!("the model proxy's listener: {source}"),
        };
        // Where the run has a network of its own, the listener is bound inside and handed out.
        let inside = level == Level::Two;
        let outside = (spec.model_listener && !inside)
            .then(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .transpose()
            .map_err(failed)?;
        let port_of = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        let plan = Plan {
            level,
            work_tree: spec.work_tree.clone(),
            home: spec.home,
            tmp: spec.tmp,
            executable: self.settings().executable.clone(),
            read_paths: [self.settings().read_paths.clone(), spec.read_paths].concat(),
            needs: spec.needs,
            bind_listener: spec.model_listener && inside,
            model_port: outside.as_ref().map(port_of).transpose().map_err(failed)?,
            limits: spec.limits,
            user: self.user_at(level),
        };
        let (warden, built, handed_out) = Warden::open(&self.settings().executable, plan).await?;
        let listener = handed_out.map(TcpListener::from).or(outside);
        if let Some(listener) = &listener {
            listener.set_nonblocking(true).map_err(failed)?;
        }
        Ok(Cell {
            warden,
            built,
            model_port: listener.as_ref().map(port_of).transpose().map_err(failed)?,
            listener,
            work_tree: spec.work_tree,
            limits: spec.limits,
        })
    }

    /// Runs one program in a cell of its own and keeps its output, at most `output_bytes_max` bytes of each stream.
    pub async fn run(
        &self,
        spec: CellSpec,
        program: Program,
        output_bytes_max: usize,
        cancel: CancellationToken,
    ) -> Result<CellOutput, Error> {
        let name = program.program.clone();
        let mut running = self.cell(spec).await?.start(program).await?;
        running.stdin = None;
        let mut stdout = Captured::new(output_bytes_max);
        let mut stderr = Captured::new(output_bytes_max);
        let (out, err) = (running.stdout.take(), running.stderr.take());
        let end = {
            let reading = async { tokio::try_join!(keep(out, &mut stdout), keep(err, &mut stderr)) };
            tokio::pin!(reading);
            let end = tokio::select! {
                end = running.ended(&cancel) => Some(end?),
                read = &mut reading => {
                    read.map_err(|source| Error::Follow { program: name.clone(), source })?;
                    None
                }
            };
            match end {
                Some(end) => {
                    // Everything that could write is dead. Unread output of more than a pipe cannot be there.
                    if let Ok(read) = timeout(DRAIN_WAIT, reading).await {
                        read.map_err(|source| Error::Follow {
                            program: name,
                            source,
                        })?;
                    }
                    end
                }
                None => running.ended(&cancel).await?,
            }
        };
        Ok(CellOutput { end, stdout, stderr })
    }
}

async fn keep(stream: Option<OutputStream>, captured: &mut Captured) -> io::Result<()> {
    let Some(mut stream) = stream else { return Ok(()) };
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => captured.push(&buffer[..count]),
        }
    }
}

impl Cell {
    /// The listener for the model proxy, on 127.0.0.1 and nonblocking; once.
    pub fn take_listener(&mut self) -> Option<TcpListener> {
        self.listener.take()
    }

    /// The port on 127.0.0.1 under which the program reaches that listener.
    pub fn model_port(&self) -> Option<u16> {
        self.model_port
    }

    pub(crate) fn built(&self) -> Built {
        self.built
    }

    /// Starts the program in the work tree. A program that cannot be executed is [`Error::Start`].
    pub async fn start(mut self, program: Program) -> Result<Running, Error> {
        let failed = |source: io::Error| Error::Cell {
            reason: format!("the program's pipes: {source}"),
        };
        let (out_reader, out_writer) = io::pipe().map_err(failed)?;
        let (err_reader, err_writer) = io::pipe().map_err(failed)?;
        let stdin = match program.stdin {
            Stdin::Null => None,
            Stdin::Piped => Some(io::pipe().map_err(failed)?),
        };
        let (in_reader, in_writer) = stdin.unzip();
        let name = program.program.clone();
        let order = Order::Start(Launch {
            program: program.program,
            args: program.args,
            env: program.env,
            stdin: in_reader.is_some(),
        });
        let descriptors: Vec<BorrowedFd<'_>> = in_reader
            .iter()
            .map(std::os::fd::AsFd::as_fd)
            .chain([out_writer.as_fd(), err_writer.as_fd()])
            .collect();
        let count = Count::new(self.limits.output_bytes);
        let stdout = OutputStream::new(out_reader, count.clone()).map_err(failed)?;
        let stderr = OutputStream::new(err_reader, count.clone()).map_err(failed)?;
        let stdin = in_writer
            .map(|writer| pipe::Sender::from_owned_fd(OwnedFd::from(writer)))
            .transpose()
            .map_err(failed)?;
        self.warden
            .start(&order, &descriptors, &name, &self.work_tree)
            .await?;
        Ok(Running {
            stdin,
            stdout: Some(stdout),
            stderr: Some(stderr),
            warden: self.warden,
            count,
            started: Instant::now(),
            wall: self.limits.wall,
            end: None,
        })
    }
}

impl Running {
    /// Waits for the end of the program, a limit or `cancel`; then kills everything, and returns only when the kill
    /// is confirmed. Called again, it returns the same end. May be dropped and called again.
    pub async fn ended(&mut self, cancel: &CancellationToken) -> Result<CellEnd, Error> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let reason = tokio::select! {
            biased;
            () = cancel.cancelled() => Some(How::Cancelled),
            () = self.count.exceeded() => Some(How::OutputLimit),
            ended = self.warden.program_ended() => { ended?; None }
            () = sleep_until(self.started.checked_add(self.wall)) => Some(How::TimeLimit),
            never = throw_away(&mut self.stdout, &mut self.stderr) => match never {},
        };
        let decided = Instant::now();
        let ended = self.warden.finish(reason).await?;
        let wall = self.started.elapsed();
        let end = CellEnd {
            how: ended.how,
            wall,
            over_for: match ended.how {
                How::TimeLimit => Some(wall.saturating_sub(self.wall)),
                How::OutputLimit => Some(decided.elapsed()),
                _ => ended.over_for,
            },
            memory_peak_bytes: ended.memory_peak_bytes,
            left_behind: ended.left_behind,
        };
        self.end = Some(end);
        Ok(end)
    }
}

/// A time that cannot be told does not come.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Reads what nobody took, so that it counts and the program does not wait for a reader.
async fn throw_away(
    stdout: &mut Option<OutputStream>,
    stderr: &mut Option<OutputStream>,
) -> std::convert::Infallible {
    async fn one(stream: &mut Option<OutputStream>) {
        let mut buffer = vec![0; READ_BYTES];
        while let Some(open) = stream {
            if !matches!(open.read(&mut buffer).await, Ok(1..)) {
                *stream = None;
            }
        }
    }
    tokio::join!(one(stdout), one(stderr));
    std::future::pending().await
}
