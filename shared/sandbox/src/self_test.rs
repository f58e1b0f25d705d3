//! The self-test: plants targets, lets the battery (`probe.rs`) attack them from inside a cell and from outside of any,
//! and judges (`sandbox.md` Probes).
//!
//! An attack that works is a leak, whatever the control says. An attack that does not work counts as held only if the same
//! code worked on the same kind of target outside (the control); otherwise it is not proven.

mod battery;
mod judge;
mod listeners;
mod plant_files;
mod plant_ipc;
mod targets;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::judge::judge;
use crate::cell::Needs;
use crate::error::Error;
use crate::level::{Level, Residue, Sandbox, Settings};
use crate::probe::MODEL_PORT;
use crate::probe::plan::Outcome;

/// What a self-test found. A leak is a [`SelfTestError`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelfTest {
    /// The probes that held, and that work outside.
    pub held: Vec<String>,
    /// The probes that held, and that do not work outside either: nothing is known. Normal where the kernel lacks what is
    /// attacked, or where the worker itself may not do it.
    pub not_proven: Vec<String>,
    /// What the claimed level does not hold and what worked here.
    pub residue: Vec<Residue>,
    /// How long the confined half took, the planting of its targets included.
    pub wall: Duration,
}

/// Attacks that worked and that the level promises to hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the sandbox leaks: {}", probes.join(", "))]
pub struct Leak {
    /// Each with what was gained.
    pub probes: Vec<String>,
}

/// Why nothing may be started.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// Attacks work.
    #[error(transparent)]
    Leak(#[from] Leak),
    /// Things that every program needs do not work inside, or attacks could not be tried.
    #[error("the sandbox cannot be used: {}", probes.join(", "))]
    Unusable {
        /// Each with its reason.
        probes: Vec<String>,
    },
    /// Its targets could not be planted.
    #[error("cannot plant the targets of the sandbox's self-test")]
    Plant(#[source] io::Error),
    /// The battery's cell could not be opened, or its end not be confirmed.
    #[error("cannot run the sandbox's self-test")]
    Cell(#[from] Error),
    /// The battery did not come to its end.
    #[error("the sandbox's self-test did not end: {reason}")]
    Incomplete {
        /// How it ended instead.
        reason: String,
    },
}

/// What a preset's need of unix sockets gives away at level 1; at level 2 there are none of others to be found.
pub(crate) const UNIX_SOCKETS: Residue = Residue {
    short: "unix sockets that a preset needs",
    sentence: "Agents whose preset needs unix sockets can connect to every one that their own user may connect to.",
};

/// What a preset's need of a port gives away at level 1.
pub(crate) const PRIVATE_PORT: Residue = Residue {
    short: "a port that a preset needs",
    sentence: "Agents whose preset needs a port listen on it, or on another one, for everybody who can connect to this \
        machine.",
};

/// Which attacks work on this machine without a sandbox.
#[derive(Debug, Clone, Default)]
pub(crate) struct Control {
    worked: BTreeSet<String>,
    /// What should work and does not work outside either.
    missing: BTreeSet<String>,
}

impl Control {
    /// Runs the battery outside of any cell, as the worker's own user.
    pub(crate) async fn run(settings: &Settings) -> Result<Self, SelfTestError> {
        let tried = battery::unconfined(settings).await?;
        let with = |outcome| {
            let tried = tried.iter().filter(move |tried| tried.outcome == outcome);
            tried.map(|tried| tried.name.clone()).collect()
        };
        Ok(Self {
            worked: with(Outcome::Leaked),
            missing: with(Outcome::Error),
        })
    }
}

/// What to examine a sandbox for.
#[derive(Debug, Clone)]
pub struct Examination {
    /// Whose promises to judge by; any but the sandbox's own level is for seeing that leaks are found.
    pub claimed: Level,
    /// What the battery's cell is opened with; more than the default weakens it.
    pub needs: Needs,
    /// The needs that are granted: what these give away by design is no leak.
    pub granted: Needs,
    /// What the battery may read.
    pub read_paths: Vec<PathBuf>,
}

impl Examination {
    /// By what `level` promises, in the narrowest cell.
    pub fn of(level: Level) -> Self {
        Self {
            claimed: level,
            needs: Needs::default(),
            granted: Needs::default(),
            read_paths: Vec::new(),
        }
    }
}

impl Sandbox {
    /// Attacks this sandbox from inside a cell of its own, which has the needs of the run that it is made for and may
    /// read what that run may: before every run, with the whole battery. An unsandboxed one promises nothing and passes.
    ///
    /// The control was run at the start.
    pub async fn self_test(
        &self,
        mut needs: Needs,
        read_paths: Vec<PathBuf>,
    ) -> Result<SelfTest, SelfTestError> {
        if self.level() == Level::Off {
            return Ok(SelfTest::default());
        }
        if needs.private_port.is_some() {
            // Which one it will be is chosen when the run's own cell is made.
            needs.private_port = Some(free_port().map_err(SelfTestError::Plant)?);
        }
        let examination = Examination {
            granted: needs.clone(),
            needs,
            read_paths,
            ..Examination::of(self.level())
        };
        let control = self
            .control()
            .get_or_try_init(|| Control::run(self.settings()))
            .await?;
        self.examine_with(control, &examination).await
    }

    /// The self-test of a worker's start, in the narrowest cell. What it could not prove is normal and is named.
    pub(crate) async fn prove(&self) -> Result<SelfTest, SelfTestError> {
        let control = self
            .control()
            .get_or_try_init(|| Control::run(self.settings()))
            .await?;
        let mut test = self.examine_with(control, &Examination::of(self.level())).await?;
        if self.level() == Level::One {
            // The battery's cell has no needs, so it cannot show what they cost.
            let known = [MODEL_PORT, UNIX_SOCKETS, PRIVATE_PORT];
            test.residue.retain(|residue| !known.contains(residue));
            test.residue.extend(known);
        }
        if !test.not_proven.is_empty() {
            let probes = test.not_proven.join(", ");
            tracing::info!(
                probes,
                "the sandbox holds; on this machine these attacks do not work without it either"
            );
        }
        Ok(test)
    }

    /// As [`Sandbox::self_test`], but for another claim or a wider cell, with a control of its own: for diagnosis, and to
    /// see that a leak is found.
    pub async fn examine(&self, examination: &Examination) -> Result<SelfTest, SelfTestError> {
        let control = Control::run(self.settings()).await?;
        self.examine_with(&control, examination).await
    }

    pub(crate) async fn examine_with(
        &self,
        control: &Control,
        examination: &Examination,
    ) -> Result<SelfTest, SelfTestError> {
        let started = Instant::now();
        let tried = battery::confined(self, examination).await?;
        let test = judge(examination, &tried, control)?;
        Ok(SelfTest {
            wall: started.elapsed(),
            ..test
        })
    }
}

/// A port of 127.0.0.1 on which nobody listens.
fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
