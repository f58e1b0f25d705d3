//! How strongly this machine can confine a run, found out by trying.

mod residue;
mod trial;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::DumpableBehavior;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

pub use self::residue::Residue;
use self::residue::{NO_SANDBOX, residue};
use crate::Mode;
use crate::cell::{Built, Needs};
use crate::self_test::{Control, PRIVATE_PORT, SelfTest, SelfTestError, UNIX_SOCKETS};

/// The user that agents run as when the worker is root: "nobody" wherever there is one.
const USER: u32 = 65534;

/// Whether a cell is to have namespaces of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// Where the kernel allows it.
    #[default]
    Auto,
    /// Not even there.
    Never,
    /// Or nothing is run.
    Always,
}

/// How strongly a run is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Not at all; what it starts is killed nevertheless.
    Off,
    /// Landlock, seccomp and resource limits. Works without privileges, in restricted pods too.
    One,
    /// As [`Level::One`], in user, process, network, mount and IPC namespaces of the run's own.
    Two,
}

impl Level {
    /// The level as a number; 0 is unsandboxed.
    pub fn as_u8(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Off => "unsandboxed",
            Self::One => "level 1 (landlock, seccomp)",
            Self::Two => "level 2 (landlock, seccomp, namespaces)",
        })
    }
}

/// What a [`Sandbox`] is made from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether runs have to be confined.
    pub mode: Mode,
    /// Whether they are to have namespaces.
    pub namespaces: Namespaces,
    /// The user to run agents as when started as root; without it 65534.
    pub user: Option<u32>,
    /// What every cell may read beyond the system's own paths.
    pub read_paths: Vec<PathBuf>,
    /// Our own executable, which knows `sandbox-exec`. As `/proc/self/exe` it is the running one, whatever has become of
    /// its file.
    pub executable: PathBuf,
}

/// This machine cannot confine agents as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    /// Why not, and what to do, as a sentence for an operator.
    pub reason: String,
}

/// Builds cells of the strongest level there is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    level: Level,
    residue: Vec<Residue>,
    /// The attacks of the self-test that do not work here without a sandbox either.
    not_proven: Vec<String>,
    /// Why it is not the strongest level that was asked for.
    passed_over: Option<String>,
    /// Which attacks work here without a sandbox; found out once.
    control: OnceCell<Control>,
}

impl Sandbox {
    /// Finds the strongest level this kernel allows by trying it and proves it with the self-test. A weaker one is taken
    /// where a stronger one is not to be had, and not where it leaks.
    pub async fn start(settings: Settings) -> Result<Self, Unavailable> {
        if settings.mode == Mode::Off {
            return Ok(Self::at(settings, Level::Off, vec![NO_SANDBOX]));
        }
        let mut missing = Vec::new();
        for level in candidates(settings.namespaces) {
            let sandbox = Self::at(settings.clone(), *level, Vec::new());
            let built = match sandbox.try_out(*level).await {
                Ok(built) => built,
                Err(reason) => {
                    missing.push(format!("{level}: {reason}"));
                    continue;
                }
            };
            match sandbox.prove().await {
                Ok(test) => return Ok(sandbox.proven(built, test, &missing)),
                // It stands and does not hold: that is a fault to be looked into, not a reason to trust a weaker one.
                Err(error @ SelfTestError::Leak(_)) => {
                    return Err(Unavailable {
                        reason: format!("{level}: {}", in_one_line(&error)),
                    });
                }
                Err(error) => missing.push(format!("{level}: {}", in_one_line(&error))),
            }
        }
        Err(Unavailable {
            reason: format!("this machine cannot confine agents; {}", missing.join("; ")),
        })
    }

    /// What it was found to be, and the stronger levels that were tried before, each with what is missing.
    fn proven(&self, built: Built, test: SelfTest, missing: &[String]) -> Self {
        let level = self.level();
        let passed_over = (!missing.is_empty()).then(|| missing.join("; "));
        if let Some(why) = &passed_over {
            tracing::warn!(why, %level, "agents run in a weaker sandbox");
        }
        Self {
            inner: Arc::new(Inner {
                settings: self.inner.settings.clone(),
                level,
                residue: residue(level, built, self.user_at(level).is_some(), test.residue),
                not_proven: test.not_proven,
                passed_over,
                control: OnceCell::new_with(self.inner.control.get().cloned()),
            }),
        }
    }

    fn at(settings: Settings, level: Level, residue: Vec<Residue>) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings,
                level,
                residue,
                not_proven: Vec::new(),
                passed_over: None,
                control: OnceCell::new(),
            }),
        }
    }

    /// How strongly runs are confined.
    pub fn level(&self) -> Level {
        self.inner.level
    }

    /// What this level does not protect from.
    pub fn residue(&self) -> &[Residue] {
        &self.inner.residue
    }

    /// The same of a run with these needs: without what only other needs give away.
    pub fn residue_with(&self, needs: Needs) -> impl Iterator<Item = &Residue> {
        self.residue().iter().filter(move |&residue| {
            (needs.unix_sockets || *residue != UNIX_SOCKETS)
                && (needs.private_port.is_some() || *residue != PRIVATE_PORT)
        })
    }

    /// The attacks that the self-test carried out and that, on this machine, do not work without a sandbox either: that
    /// they did not work in it proves nothing.
    pub fn not_proven(&self) -> &[String] {
        &self.inner.not_proven
    }

    /// Why it is not the strongest level that the settings allow, as a sentence for an operator: each stronger one with
    /// what is missing for it.
    pub fn passed_over(&self) -> Option<&str> {
        self.inner.passed_over.as_deref()
    }

    pub(crate) fn control(&self) -> &OnceCell<Control> {
        &self.inner.control
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The user that runs have outside: another than the worker's only when the worker is root.
    pub(crate) fn user_at(&self, level: Level) -> Option<u32> {
        let confined = level != Level::Off;
        (confined && rustix::process::geteuid().is_root()).then(|| self.inner.settings.user.unwrap_or(USER))
    }
}

/// An error and what led to it.
fn in_one_line(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

fn candidates(namespaces: Namespaces) -> &'static [Level] {
    match namespaces {
        Namespaces::Auto => &[Level::Two, Level::One],
        Namespaces::Never => &[Level::One],
        Namespaces::Always => &[Level::Two],
    }
}

/// Keeps other processes of the same user from reading this one's memory, environment and descriptors, and it from
/// dumping core. Roles that hold credentials call it once, early.
///
/// `/proc/self` belongs to root from then on; what a process may always read of itself (its descriptors, its
/// executable's path) stays readable.
pub fn protect_this_process() -> std::io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(
        DumpableBehavior::NotDumpable,
    )?)
}
