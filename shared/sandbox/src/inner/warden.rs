//! The warden: builds the cell, has the program started in it, watches it, and kills it.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use rustix::time::Timespec;

use super::domain::KillerDomain;
use super::kill::{Reach, kill_all};
use super::watch::Watch;
use super::{identity, init, namespaces, process, step};
use crate::cell::How;
use crate::cell::wire::{self, Ended, Failure, Notice, Order, Plan};
use crate::level::Level;

/// Until the program is started there is nothing to look at.
const UNTIL_STARTED: Duration = Duration::from_secs(3600);

/// Serves one cell, from the worker's order to build it to its end.
pub(super) fn run() -> io::Result<()> {
    close_inherited()?;
    process::polite_signals(libc::SIG_IGN)?;
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
    watch: Watch,
    running: bool,
}

impl Warden {
    fn open(plan: Plan) -> Result<Self, Failure> {
        if plan.level == Level::One && identity::outside(&plan).0 == rustix::process::Uid::ROOT.as_raw() {
            return Err(Failure::Cell(
                "root is not confined by landlock and seccomp alone".into(),
            ));
        }
        identity::prepare(&plan)?;
        // Also before the cell is built: where directories lie below /tmp, they are attached inside the run's own tmp.
        identity::hand_over(&plan)?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(step("adopting orphans"))?;
        let (init, reach, inside) = match plan.level {
            Level::Two => first_of_namespaces(&plan)?,
            Level::One => {
                let domain = KillerDomain::enter().map_err(Failure::Cell)?;
                first_here(&plan, Reach::Domain(domain))?
            }
            Level::Off => {
                let reach = KillerDomain::enter().map_or(Reach::Descendants, Reach::Domain);
                first_here(&plan, reach)?
            }
        };
        let watch = Watch::new(&plan, init);
        let watch = watch.map_err(|error| Failure::Cell(format!("measuring its directories: {error}")));
        let watch = match watch {
            Ok(watch) => watch,
            Err(failure) => {
                kill_all(&reach).map_err(Failure::Cell)?;
                return Err(failure);
            }
        };
        Ok(Self {
            watch,
            plan,
            reach,
            init,
            inside,
            running: false,
        })
    }

    /// Until the run is over, for whatever reason.
    fn serve(&mut self, control: &OwnedFd) -> Verdict {
        loop {
            let idle = if self.running {
                self.watch.idle()
            } else {
                UNTIL_STARTED
            };
            let (ordered, noticed) = match wait(control, &self.inside, idle) {
                Ok(ready) => ready,
                Err(error) => return Verdict::Failed(Failure::Cell(format!("waiting: {error}"))),
            };
            if ordered && let Some(verdict) = self.obey(control) {
                return verdict;
            }
            if noticed && let Some(verdict) = self.pass_on(control) {
                return verdict;
            }
            if self.running {
                match self.watch.look() {
                    Ok(None) => {}
                    Ok(Some(how)) => return Verdict::Ended(how),
                    Err(reason) => return Verdict::Failed(Failure::Cell(reason)),
                }
            }
        }
    }

    fn obey(&self, control: &OwnedFd) -> Option<Verdict> {
        match wire::receive::<Order>(control) {
            Ok(Some((order @ Order::Start(_), descriptors))) => {
                let descriptors: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
                let sent = identity::hand_over(&self.plan).and_then(|()| {
                    wire::send(&self.inside, &order, &descriptors).map_err(step("passing on an order"))
                });
                sent.err().map(Verdict::Failed)
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
                    self.running = true;
                    self.watch.started();
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

    /// Kills everything and says what is to be told.
    fn end(&mut self, verdict: Verdict) -> Notice {
        let left_behind = match &verdict {
            Verdict::Ended(How::Exited(_) | How::Signalled(_)) => self.left_behind(),
            _ => 0,
        };
        if let Err(reason) = kill_all(&self.reach) {
            return Notice::NotKilled(reason);
        }
        match verdict {
            Verdict::Failed(failure) => Notice::Failed(failure),
            Verdict::Ended(how) => Notice::Ended(Ended {
                how,
                memory_peak_bytes: self.watch.memory_peak_bytes(),
                left_behind,
                over_for: self.watch.within(how).map(|within| within.elapsed()),
            }),
        }
    }

    /// How many living processes descend from the first one inside.
    fn left_behind(&self) -> u32 {
        // Nearly always there are none, and then all of /proc need not be read.
        if process::has_children(self.init) == Some(false) {
            return 0;
        }
        let found = process::below(self.init).unwrap_or_default();
        u32::try_from(found.len()).unwrap_or(u32::MAX)
    }
}

/// The first process of a cell, how everything in the cell is killed, and the socket to that process.
type First = (Pid, Reach, OwnedFd);

/// Forks the first process of a cell that shares this one's namespaces.
fn first_here(plan: &Plan, reach: Reach) -> Result<First, Failure> {
    let (inside, outside) = wire::pair().map_err(step("socket"))?;
    let Some(init) = process::fork(0).map_err(step("fork"))? else {
        drop(inside);
        live(init::run(outside, plan, Some(&reach)));
    };
    Ok((init, reach, inside))
}

/// Forks the first process of new namespaces and makes it somebody.
fn first_of_namespaces(plan: &Plan) -> Result<First, Failure> {
    let (inside, outside) = wire::pair().map_err(step("socket"))?;
    let (mut wait, mut go) = io::pipe().map_err(step("pipe"))?;
    let Some(init) = namespaces::fork()? else {
        drop((inside, go));
        // Nobody yet: what is in the way of this is in the way of everything. Without the byte the warden has failed.
        live(
            wait.read_exact(&mut [0])
                .and_then(|()| init::run(outside, plan, None)),
        );
    };
    let reach = Reach::Namespace(init);
    match namespaces::map_identity(init, plan).and_then(|()| go.write_all(b"g").map_err(step("pipe"))) {
        Ok(()) => Ok((init, reach, inside)),
        Err(failure) => {
            kill_all(&reach).map_err(Failure::Cell)?;
            Err(failure)
        }
    }
}

/// The end of a first process's life. It keeps the socket to the worker: that closes for the worker when both killers
/// are gone, not before.
fn live(lived: io::Result<()>) -> ! {
    std::process::exit(i32::from(lived.is_err()))
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

/// Closes what the worker's own parent may have left open for all of its descendants.
fn close_inherited() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    // SAFETY: close_range takes numbers; nothing in this process has opened a descriptor yet.
    #[expect(unsafe_code, reason = "no crate in use wraps close_range")]
    let result = unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
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
