//! Who the program is: its user, capabilities, filters, limits and what it inherited.

use std::fs;
use std::sync::OnceLock;

use rustix::process::{Resource, getrlimit};

use super::calls::{Arg, call, in_child};
use super::plan::Plan;
use super::{Attempt, Failure};

/// The descriptors above the three streams, taken before the battery opens any.
static INHERITED: OnceLock<Vec<i32>> = OnceLock::new();

/// How many descriptors are looked at: more than the default limit of a service manager.
const DESCRIPTORS_LOOKED_AT: i32 = 4096;

/// Has to be called first.
pub(super) fn note_descriptors() {
    let open = |descriptor: &i32| {
        let (descriptor, get) = (Arg::Int((*descriptor).into()), Arg::Int(libc::F_GETFD.into()));
        call(libc::SYS_fcntl, &mut [descriptor, get]).is_ok()
    };
    INHERITED.get_or_init(|| (3..DESCRIPTORS_LOOKED_AT).filter(open).collect());
}

pub(super) fn leaked_descriptors(_: &Plan) -> Attempt {
    match INHERITED.get().map(Vec::as_slice) {
        None => Err(Failure::NotTried("they were not noted".to_owned())),
        Some([]) => Err(Failure::Refused("only the three streams were open".to_owned())),
        Some(open) => Ok(format!("inherited {open:?}")),
    }
}

fn status(field: &str) -> Result<String, Failure> {
    let not_tried = |reason: String| Failure::NotTried(format!("/proc/self/status: {reason}"));
    let text = fs::read_to_string("/proc/self/status").map_err(|error| not_tried(error.to_string()))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
        .ok_or_else(|| not_tried(format!("no {field}")))
}

pub(super) fn capabilities(_: &Plan) -> Attempt {
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        let bits = status(set)?;
        if bits.bytes().any(|digit| digit != b'0') {
            return Ok(format!("{set} is {bits}"));
        }
    }
    Err(Failure::Refused("every set is empty".to_owned()))
}

/// What an executed file could bring back. Only a privileged worker can empty this set; without it, a program that may
/// not gain privileges by executing files cannot use it either.
pub(super) fn capabilities_by_exec(_: &Plan) -> Attempt {
    let (bits, locked) = (status("CapBnd")?, status("NoNewPrivs")? == "1");
    if locked || bits.bytes().all(|digit| digit == b'0') {
        return Err(Failure::Refused(format!(
            "CapBnd is {bits}, without new privileges: {locked}"
        )));
    }
    Ok(format!("CapBnd is {bits}"))
}

pub(super) fn privileges_by_exec(_: &Plan) -> Attempt {
    status_other_than("NoNewPrivs", "1")
}

pub(super) fn no_filter(_: &Plan) -> Attempt {
    // 2 is a filter, from `linux/seccomp.h`.
    status_other_than("Seccomp", "2")
}

fn status_other_than(field: &str, wanted: &str) -> Attempt {
    let value = status(field)?;
    if value == wanted {
        return Err(Failure::Refused(format!("{field} is {value}")));
    }
    Ok(format!("{field} is {value}"))
}

pub(super) fn being_root(_: &Plan) -> Attempt {
    if rustix::process::geteuid().is_root() {
        return Ok("it is root".to_owned());
    }
    Err(Failure::Refused("it is an ordinary user".to_owned()))
}

pub(super) fn becoming_root(_: &Plan) -> Attempt {
    in_child(|| {
        let root = || Arg::Int(0);
        call(libc::SYS_setresuid, &mut [root(), root(), root()])?;
        Ok("became root".to_owned())
    })
}

pub(super) fn being_in_the_root_group(_: &Plan) -> Attempt {
    let groups = status("Groups")?;
    if rustix::process::getegid().is_root() || groups.split_whitespace().any(|group| group == "0") {
        return Ok("in the group of root".to_owned());
    }
    Err(Failure::Refused(format!("in the groups [{groups}]")))
}

/// Every limit that keeps a program from eating the machine.
pub(super) fn missing_limits(_: &Plan) -> Attempt {
    let limits = [
        ("processes", Resource::Nproc),
        ("data", Resource::Data),
        ("file size", Resource::Fsize),
        ("open files", Resource::Nofile),
    ];
    for (name, resource) in limits {
        if getrlimit(resource).maximum.is_none() {
            return Ok(format!("no limit of {name}"));
        }
    }
    match getrlimit(Resource::Core).maximum {
        Some(0) => Err(Failure::Refused("all are set".to_owned())),
        Some(_) | None => Ok("it may leave core files".to_owned()),
    }
}

/// The variables that lead to secrets or sockets of whoever started the worker.
pub(super) fn inherited_environment(plan: &Plan) -> Attempt {
    let environment = fs::read("/proc/self/environ").map_err(|error| Failure::NotTried(error.to_string()))?;
    let names = environment
        .split(|byte| *byte == 0)
        .filter(|entry| !entry.is_empty())
        .filter_map(|entry| {
            let name = entry.split(|byte| *byte == b'=').next()?;
            Some(String::from_utf8_lossy(name).into_owned())
        });
    let foreign: Vec<String> = names.filter(|name| !plan.environment.contains(name)).collect();
    if foreign.is_empty() {
        return Err(Failure::Refused("it holds what a run is given".to_owned()));
    }
    Ok(format!("inherited {foreign:?}"))
}
