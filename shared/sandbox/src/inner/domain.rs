//! Landlock: the killer's domain around a run, and the run's own domain in it.

use landlock::{CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetStatus, Scope};
use rustix::io::Errno;

/// Proof that this process is in a landlock domain that signals do not leave: `kill(-1)` is safe here.
///
/// Children are in the domain too. What they enter on top of it, the killer's signals reach, and theirs do not reach
/// the killer.
#[derive(Debug)]
pub(super) struct KillerDomain(());

impl KillerDomain {
    /// Enters the domain; there is no way back. Nothing but signals is restricted.
    pub(super) fn enter() -> Result<Self, String> {
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .scope(Scope::Signal)
            .and_then(Ruleset::create)
            .and_then(landlock::RulesetCreated::restrict_self)
            .map_err(|error| format!("landlock cannot confine signals: {error}"))?;
        if status.ruleset != RulesetStatus::FullyEnforced {
            return Err("landlock does not confine signals".into());
        }
        Self::check()?;
        Ok(Self(()))
    }

    /// Sends SIGKILL to every process of the domain but this one.
    pub(super) fn kill_everything(&self) -> Result<(), String> {
        let Self(()) = self;
        // SAFETY: kill(2) takes no pointers.
        #[expect(unsafe_code, reason = "rustix has no kill(-1)")]
        let result = unsafe { libc::kill(-1, libc::SIGKILL) };
        if result < 0 {
            match Errno::from_io_error(&std::io::Error::last_os_error()) {
                // Nobody there, or nobody that may be signalled.
                Some(Errno::SRCH | Errno::PERM) => {}
                error => return Err(format!("kill(-1): {error:?}")),
            }
        }
        Ok(())
    }

    /// Sees that the parent, which is outside, cannot be signalled. Without the domain `kill(-1)` would end every process
    /// of the user, as root the machine: better no killer than that one.
    fn check() -> Result<(), String> {
        let worker = rustix::process::getppid().ok_or("the worker cannot be seen")?;
        match rustix::process::test_kill_process(worker) {
            Err(Errno::PERM) => Ok(()),
            Ok(()) => Err("signals leave the landlock domain".into()),
            Err(error) => Err(format!(
                "cannot see whether signals leave the landlock domain: {error}"
            )),
        }
    }
}
