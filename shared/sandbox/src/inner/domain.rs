//! Landlock: the killer's domain around a run, and the run's own domain in it.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
    Scope,
};
use rustix::io::Errno;

use super::paths;
use crate::cell::wire::{Failure, Plan};
use crate::level::Level;

/// What has to be there: the first version that confines signals and abstract sockets.
const REQUIRED: ABI = ABI::V6;
/// What is used where it is there: later versions close pathname sockets too.
const WANTED: ABI = ABI::V9;

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
            .and_then(RulesetCreated::restrict_self)
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

/// Whether this kernel has the landlock that is required.
pub(super) fn is_there() -> bool {
    handled(true).and_then(Ruleset::create).is_ok()
}

/// A run's rules, ready to be enforced on the process that becomes the program.
pub(super) struct Rules(RulesetCreated);

impl Rules {
    /// Opens everything that the plan allows. `None` where there is no landlock at level 2, which stands without.
    pub(super) fn new(plan: &Plan) -> Result<Option<Self>, Failure> {
        let inside = plan.level == Level::Two;
        if inside && !is_there() {
            return Ok(None);
        }
        let created = handled(!inside).and_then(Ruleset::create).map_err(failed)?;
        let created = if inside {
            inside_rules(created, plan)?
        } else {
            outside_rules(created, plan)?
        };
        Ok(Some(Self(created)))
    }

    /// Enforces them; there is no way back.
    pub(super) fn enforce(self) -> Result<(), Failure> {
        let status = self.0.restrict_self().map_err(failed)?;
        // "Partially" where this kernel lacks what was only wanted; what is required was a hard requirement.
        if status.ruleset == RulesetStatus::NotEnforced {
            return Err(Failure::Cell("landlock does not hold".into()));
        }
        Ok(())
    }
}

fn failed(error: RulesetError) -> Failure {
    Failure::Cell(format!("landlock: {error}"))
}

/// What is forbidden unless a rule allows it. A run with a network of its own may use all of that.
fn handled(ports: bool) -> Result<Ruleset, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(REQUIRED))?
        .scope(Scope::from_all(REQUIRED))?;
    if ports {
        ruleset = ruleset.handle_access(AccessNet::from_all(REQUIRED))?;
    }
    ruleset
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))
}

fn read() -> BitFlags<AccessFs> {
    AccessFs::from_read(WANTED)
}

/// All but devices: none may be made, and none that was put there be spoken to.
fn write() -> BitFlags<AccessFs> {
    AccessFs::from_all(WANTED) & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev)
}

fn device() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::WriteFile
}

fn terminal() -> BitFlags<AccessFs> {
    device() | AccessFs::ReadDir | AccessFs::IoctlDev
}

/// At level 2 the root holds only what may be seen.
fn inside_rules(created: RulesetCreated, plan: &Plan) -> Result<RulesetCreated, Failure> {
    let mut created = allow(created, Path::new("/"), read())?;
    if plan.executable.starts_with("/proc") {
        // It is not below the root: its file is, in a mount that only its own process still leads to.
        created = allow(created, &plan.executable, read())?;
    }
    for path in own(plan)
        .into_iter()
        .chain([Path::new("/tmp"), Path::new("/dev/shm")])
    {
        created = allow(created, path, write())?;
    }
    devices(created, plan)
}

/// At level 1 it is the machine's, and each path that may be seen is named.
fn outside_rules(mut created: RulesetCreated, plan: &Plan) -> Result<RulesetCreated, Failure> {
    let etc = paths::etc();
    let system = paths::SYSTEM.iter().chain(&paths::ACCOUNTS).chain(&paths::SIZES);
    let system = system.map(Path::new).chain(etc.iter().map(AsRef::as_ref));
    // All of /proc: programs abort without their own part of it, and landlock itself closes the insides of others.
    for path in system.chain([Path::new("/proc")]).filter(|path| path.exists()) {
        created = allow(created, path, read())?;
    }
    for path in plan.read_paths.iter().chain([&plan.executable]) {
        created = allow(created, path, read())?;
    }
    for path in own(plan) {
        created = allow(created, path, write())?;
    }
    for port in plan.model_port.iter().chain(&plan.needs.private_port) {
        created = created
            .add_rule(NetPort::new(*port, AccessNet::ConnectTcp))
            .map_err(failed)?;
    }
    if let Some(port) = plan.needs.private_port {
        created = created
            .add_rule(NetPort::new(port, AccessNet::BindTcp))
            .map_err(failed)?;
    }
    devices(created, plan)
}

fn own(plan: &Plan) -> [&Path; 3] {
    [&plan.work_tree, &plan.home, &plan.tmp]
}

fn devices(mut created: RulesetCreated, plan: &Plan) -> Result<RulesetCreated, Failure> {
    for path in paths::DEVICES {
        created = allow(created, Path::new(path), device())?;
    }
    if plan.needs.pty {
        for path in ["/dev/ptmx", "/dev/pts"] {
            created = allow(created, Path::new(path), terminal())?;
        }
    }
    Ok(created)
}

fn allow(
    created: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, Failure> {
    let cannot =
        |error: &dyn std::fmt::Display| Failure::Cell(format!("allowing {}: {error}", path.display()));
    let opened = PathFd::new(path).map_err(|error| cannot(&error))?;
    // Of a file, landlock takes only what can be done with a file.
    let access = if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(WANTED)
    };
    created
        .add_rule(PathBeneath::new(opened, access))
        .map_err(|error| cannot(&error))
}
