//! The warden: builds the cell, has the program started in it, watches it, and kills it.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use rustix::time::Timespec;

use super::domain::KillerDomain;
use super::kill::{Reach, kill_all};
use super::{init, process, step};
use crate::cell::How;
use crate::cell::wire::{self, Ended, Failure, Notice, Order, Plan};
use crate::level::Level;

/// Between two looks at what the run uses (`sandbox.md Limits`).
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The worker ends a run at its wall clock. The warden is the second line, this much later.
const WALL_GRACE: Duration = Duration::from_secs(1);

/// Serves one cell, from the worker's order to build it to its end.
pub(super) fn run() -> io::Result<()> {
    let control = take_control()?;
    let Some((Order::Open(plan), _)) = wire::receive(&control)? else {
        return Ok(());
    };
    let mut warden = match Warden::open(*plan) {
        Ok(warden) => warden,
        Err(failure) => return wire::send(&control, &Notice::Failed(failure), &[]),
    };
    let verdict = warden.serve(&control);
    // Whatever happened: first everything is killed, then somebody is told.
    let notice = warden.end(verdict);
    match wire::send(&control, &notice, &[]) {
        // The worker is gone; nobody is left to be told.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        sent => sent,
    }
}

/// What the run's end is to be called.
enum Verdict {
    Ended(How),
    Failed(Failure),
}

/// One cell, seen from outside.
struct Warden {
    plan: Plan,
    reach: Reach,
    init: Pid,
    /// To the first process inside.
    inside: OwnedFd,
    started: Option<Instant>,
    memory_peak_bytes: u64,
}

impl Warden {
    fn open(plan: Plan) -> Result<Self, Failure> {
        let (inside, outside) = wire::pair().map_err(step("socket"))?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(step("adopting orphans"))?;
        let reach = match plan.level {
            Level::Two | Level::One => return Err(Failure::Cell("not yet".into())),
            Level::Off => KillerDomain::enter().map_or(Reach::Descendants, Reach::Domain),
        };
        let Some(init) = process::fork(0).map_err(step("fork"))? else {
            // It keeps the socket to the worker: that closes for the worker when both killers are gone, not before.
            drop(inside);
            let ran = init::run(outside, &plan, &reach);
            std::process::exit(i32::from(ran.is_err()));
        };
        drop(outside);
        Ok(Self {
            plan,
            reach,
            init,
            inside,
            started: None,
            memory_peak_bytes: 0,
        })
    }

    /// Until the run is over, for whatever reason.
    fn serve(&mut self, control: &OwnedFd) -> Verdict {
        loop {
            let (ordered, noticed) = match wait(control, &self.inside, LOOK_EVERY) {
                Ok(ready) => ready,
                Err(error) => return Verdict::Failed(Failure::Cell(format!("waiting: {error}"))),
            };
            if ordered && let Some(verdict) = self.obey(control) {
                return verdict;
            }
            if noticed && let Some(verdict) = self.pass_on(control) {
                return verdict;
            }
            if let Some(how) = self.over_limit() {
                return Verdict::Ended(how);
            }
        }
    }

    fn obey(&self, control: &OwnedFd) -> Option<Verdict> {
        match wire::receive::<Order>(control) {
            Ok(Some((order @ Order::Start(_), descriptors))) => {
                let descriptors: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
                let sent = wire::send(&self.inside, &order, &descriptors);
                sent.err()
                    .map(|error| Verdict::Failed(step("passing on an order")(error)))
            }
            Ok(Some((Order::Kill(how), _))) => Some(Verdict::Ended(how)),
            Ok(Some((Order::Open(_), _))) => Some(Verdict::Failed(Failure::Cell("a second cell".into()))),
            // The worker has let go of the run, or is dead.
            Ok(None) => Some(Verdict::Ended(How::Cancelled)),
            Err(error) => Some(Verdict::Failed(step("an order")(error))),
        }
    }

    fn pass_on(&mut self, control: &OwnedFd) -> Option<Verdict> {
        match wire::receive::<Notice>(&self.inside) {
            Ok(Some((Notice::Exited(how), _))) => Some(Verdict::Ended(how)),
            Ok(Some((Notice::Failed(failure), _))) => Some(Verdict::Failed(failure)),
            Ok(Some((notice, descriptors))) => {
                if matches!(notice, Notice::Started) {
                    self.started = Some(Instant::now());
                }
                let descriptors: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
                let sent = wire::send(control, &notice, &descriptors);
                sent.err()
                    .map(|error| Verdict::Failed(step("passing on a notice")(error)))
            }
            // Killed by somebody else, the kernel short of memory for instance.
            Ok(None) => Some(Verdict::Ended(How::Signalled(Signal::KILL.as_raw()))),
            Err(error) => Some(Verdict::Failed(step("a notice")(error))),
        }
    }

    fn over_limit(&mut self) -> Option<How> {
        let started = self.started?;
        (started.elapsed() > self.plan.limits.wall + WALL_GRACE).then_some(How::TimeLimit)
    }

    /// Kills everything and says what is to be told.
    fn end(&mut self, verdict: Verdict) -> Notice {
        let left_behind = match &verdict {
            Verdict::Ended(How::Exited(_) | How::Signalled(_)) => self.processes(),
            _ => 0,
        };
        if let Err(reason) = kill_all(&self.reach) {
            return Notice::NotKilled(reason);
        }
        match verdict {
            Verdict::Failed(failure) => Notice::Failed(failure),
            Verdict::Ended(how) => Notice::Ended(Ended {
                how,
                memory_peak_bytes: self.memory_peak_bytes,
                left_behind,
                survivors: self.processes(),
            }),
        }
    }

    /// How many processes of the run there are, the first one inside not counted.
    fn processes(&self) -> u32 {
        let found = process::below(rustix::process::getpid()).unwrap_or_default();
        let count = found.iter().filter(|process| process.pid != self.init).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// Takes the socket to the worker off standard input, where no program started here may find it.
fn take_control() -> io::Result<OwnedFd> {
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(control)
}

/// Waits until one of the two can be read, or the time is over.
fn wait(first: &OwnedFd, second: &OwnedFd, wait: Duration) -> io::Result<(bool, bool)> {
    let mut polled = [
        PollFd::new(first, PollFlags::IN),
        PollFd::new(second, PollFlags::IN),
    ];
    let timeout = Timespec::try_from(wait).map_err(io::Error::other)?;
    match rustix::event::poll(&mut polled, Some(&timeout)) {
        Ok(_) => Ok((!polled[0].revents().is_empty(), !polled[1].revents().is_empty())),
        Err(Errno::INTR) => Ok((false, false)),
        Err(error) => Err(error.into()),
    }
}
