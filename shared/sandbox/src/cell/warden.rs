//! The worker's end of a warden: the small process outside the cell that builds it, watches it and kills it.
//!
//! The warden is told to kill by a message, or by this end's closing, which also happens when the worker is killed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::process::Child;
use tokio::time::timeout;

use super::How;
use super::wire::{self, Ended, Failure, Notice, Order, Plan, Ready};
use crate::error::Error;

/// How long a cell may take to build. Usually some milliseconds; a large work tree has to be measured first.
const OPEN_WAIT: Duration = Duration::from_secs(60);
/// How long a program may take to be executed. The same; a large work tree has to be handed to another user first.
const START_WAIT: Duration = Duration::from_secs(60);
/// How long the kill may take to be confirmed; the worst that was measured is below half a second.
const KILL_WAIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Warden {
    /// In truth a SEQPACKET socket, for which there is no type; it differs in that its other end can be seen to close.
    socket: UnixDatagram,
    /// What the warden said about the end before it was asked.
    ended: Option<Ended>,
    /// Reaped by the runtime, also when this is dropped while it still runs.
    _process: Child,
}

impl Warden {
    /// Starts a warden and has the cell built. Returns the listener that was bound inside, if one was asked for.
    pub(super) async fn open(executable: &Path, plan: Plan) -> Result<(Self, Ready, Option<OwnedFd>), Error> {
        let (here, there) = wire::pair().map_err(|source| broken("its socket", source))?;
        rustix::io::ioctl_fionbio(&here, true).map_err(|source| broken("its socket", source.into()))?;
        let socket = UnixDatagram::from_std(here.into()).map_err(|source| broken("its socket", source))?;
        let listener_wanted = plan.bind_listener;
        let warden = Self {
            socket,
            ended: None,
            _process: spawn(executable, there)?,
        };
        warden.send(&Order::Open(Box::new(plan)), &[])?;
        let (notice, mut descriptors) = warden.receive(OPEN_WAIT, "building the cell").await?;
        match notice {
            Notice::Ready(ready) if descriptors.len() == usize::from(listener_wanted) => {
                Ok((warden, ready, descriptors.pop()))
            }
            Notice::Failed(failure) => Err(refused(failure, executable.as_os_str(), Path::new("/"))),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn start(
        &mut self,
        order: &Order,
        descriptors: &[BorrowedFd<'_>],
        program: &OsStr,
        work_dir: &Path,
    ) -> Result<(), Error> {
        self.send(order, descriptors)?;
        let error = match self.receive(START_WAIT, "starting the program").await {
            Ok((Notice::Started, _)) => return Ok(()),
            // Both are said when everything is dead.
            Ok((Notice::Failed(failure), _)) => return Err(refused(failure, program, work_dir)),
            Ok((ended @ Notice::Ended(_), _)) => return Err(unexpected(&ended)),
            Ok((Notice::NotKilled(reason), _)) => return Err(Error::NotKilled { reason }),
            Ok((other, _)) => unexpected(&other),
            Err(error) => error,
        };
        // The program may have been started by now: only a confirmed kill makes this a start that failed.
        match self.finish(Some(How::Cancelled)).await {
            // Both mean that everything is dead.
            Ok(_) | Err(Error::Unwatched { .. }) => Err(error),
            Err(alive) => Err(alive),
        }
    }

    /// Waits until the program has ended by itself or was killed by the warden, and everything of it is dead.
    pub(super) async fn program_ended(&mut self) -> Result<(), Error> {
        if self.ended.is_none() {
            self.ended = Some(self.end().await?);
        }
        Ok(())
    }

    /// Has everything killed for `reason`, unless it is over already, and waits for the confirmation.
    pub(super) async fn finish(&mut self, reason: Option<How>) -> Result<Ended, Error> {
        if let (Some(reason), None) = (reason, self.ended) {
            // A warden that is gone cannot be told; what it said last is still to be read.
            match self.send(&Order::Kill(reason), &[]) {
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "the run ended before it could be killed"),
            }
        }
        timeout(KILL_WAIT, self.program_ended())
            .await
            .map_err(|_| Error::NotKilled {
                reason: format!("no confirmation within {} s", KILL_WAIT.as_secs()),
            })??;
        self.ended.ok_or_else(|| Error::NotKilled {
            reason: "the end was not told".into(),
        })
    }

    async fn end(&self) -> Result<Ended, Error> {
        match self.next().await.map_err(|source| Error::NotKilled {
            reason: format!("the warden cannot be heard: {source}"),
        })? {
            Some((Notice::Ended(ended), _)) => Ok(ended),
            Some((Notice::NotKilled(reason), _)) => Err(Error::NotKilled { reason }),
            // Said when everything is dead.
            Some((Notice::Failed(Failure::Cell(reason)), _)) => Err(Error::Unwatched { reason }),
            Some((other, _)) => Err(Error::NotKilled {
                reason: format!("unexpected: {other:?}"),
            }),
            None => Err(Error::NotKilled {
                reason: "the warden died".into(),
            }),
        }
    }

    fn send(&self, order: &Order, descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
        wire::send(&self.socket, order, descriptors).map_err(|source| broken("an order", source))
    }

    async fn receive(&self, wait: Duration, step: &str) -> Result<(Notice, Vec<OwnedFd>), Error> {
        timeout(wait, self.next())
            .await
            .map_err(|_| Error::Cell {
                reason: format!("{step} took more than {} s", wait.as_secs()),
            })?
            .map_err(|source| broken(step, source))?
            .ok_or_else(|| Error::Cell {
                reason: format!("the warden died while {step}"),
            })
    }

    async fn next(&self) -> io::Result<Option<(Notice, Vec<OwnedFd>)>> {
        self.socket
            .async_io(Interest::READABLE, || wire::receive(&self.socket))
            .await
    }
}

fn spawn(executable: &Path, socket: OwnedFd) -> Result<Child, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place where child processes start"
    )]
    let mut command = tokio::process::Command::new(executable);
    command
        .arg("sandbox-exec")
        .env_clear()
        .current_dir("/")
        // The only descriptor it is given. As standard input it needs no inheritable descriptor in this process, which
        // another thread's child could get hold of.
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        // Ctrl-C on a terminal is for the worker, which ends its runs in order.
        .process_group(0);
    command.spawn().map_err(|source| Error::Cell {
        reason: format!("cannot start {}: {source}", executable.display()),
    })
}

fn broken(step: &str, source: io::Error) -> Error {
    Error::Cell {
        reason: format!("{step}: {source}"),
    }
}

fn unexpected(notice: &Notice) -> Error {
    Error::Cell {
        reason: format!("unexpected: {notice:?}"),
    }
}

fn refused(failure: Failure, program: &OsStr, work_dir: &Path) -> Error {
    match failure {
        Failure::Cell(reason) => Error::Cell { reason },
        Failure::Program(errno) => Error::Start {
            program: program.to_owned(),
            work_dir: work_dir.to_owned(),
            source: io::Error::from_raw_os_error(errno),
        },
        Failure::Unreachable { user, path, closed } => Error::Unreachable { user, path, closed },
    }
}
