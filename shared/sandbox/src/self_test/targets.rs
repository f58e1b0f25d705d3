//! All planted targets of one battery.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use super::listeners::Listeners;
use super::plant_files::{Files, open_to_all};
use super::plant_ipc::Ipc;
use crate::level::Settings;
use crate::probe::calls::{Arg, call};
use crate::probe::plan::{BYSTANDER, Bystander, Namespaces, Plan};
use crate::probe::{SUBCOMMAND, planted};

/// The variable of the bystander and of the control that holds the canary.
pub(super) const CANARY_VARIABLE: &str = "SANDBOX_CANARY";

/// What a cell gives every program (`Program::env`).
const CELL_ENVIRONMENT: [&str; 8] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "USER",
    "SHELL",
    "ASAN_OPTIONS",
    "JAVA_TOOL_OPTIONS",
];

/// How long the bystander may take to start; a machine under load takes seconds.
const BYSTANDER_WAIT: Duration = Duration::from_secs(30);

/// Random bytes of a canary: as a hexadecimal text it fits into one DNS label.
const CANARY_BYTES: usize = 16;

/// Everything that is planted, until dropped.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) listeners: Listeners,
    canary: String,
    bystander: Bystander,
    ipc: Ipc,
    // Last, and in this order: the process works in the folder.
    _leaked: OwnedFd,
    _process: Child,
    files: Files,
}

impl Targets {
    /// Plants all of them. `user` is whom a run has outside, where that is not the worker's own.
    pub(super) async fn plant(settings: &Settings, user: Option<u32>) -> io::Result<Self> {
        let canary = canary()?;
        let files = Files::plant(&canary, user)?;
        let listeners = Listeners::open(&files.outside(), &canary).await?;
        for socket in [&listeners.unix.stream, &listeners.unix.datagram] {
            open_to_all(socket)?;
        }
        let leaked = OwnedFd::from(File::open(files.outside().join(planted::SECRET))?);
        let (process, bystander) = start_bystander(settings, &files, &canary, user).await?;
        // Only now: the bystander is not whom it is meant for.
        leak(&leaked)?;
        let ipc = Ipc::plant(&canary);
        Ok(Self {
            listeners,
            canary,
            bystander,
            ipc,
            _leaked: leaked,
            _process: process,
            files,
        })
    }

    /// Where they are, for a battery in a cell.
    pub(super) fn plan(&self) -> io::Result<Plan> {
        // Without these, probes would take what is outside for what is not there.
        let namespace = |kind: &str| {
            let link = fs::read_link(format!("/proc/self/ns/{kind}"));
            link.map(|link| link.to_string_lossy().into_owned())
        };
        Ok(Plan {
            canary: self.canary.clone(),
            ports: self.listeners.ports.clone(),
            unix: self.listeners.unix.clone(),
            outside: self.files.outside(),
            bystander: self.bystander.clone(),
            worker: rustix::process::getpid().as_raw_nonzero().get(),
            namespaces: Namespaces {
                pid: namespace("pid")?,
                ipc: namespace("ipc")?,
            },
            ipc: self.ipc.planted.clone(),
            terminal: self.ipc.terminal().map(Into::into),
            cell: self.files.cell(),
            model_port: None,
            model_greeting: canary()?,
            other_host: None,
            environment: CELL_ENVIRONMENT.map(str::to_owned).into(),
            killer: None,
        })
    }
}

fn canary() -> io::Result<String> {
    let mut bytes = [0; CANARY_BYTES];
    // So few bytes come at once and whole.
    call(
        libc::SYS_getrandom,
        &mut [Arg::Out(&mut bytes), Arg::Length(CANARY_BYTES), Arg::Int(0)],
    )?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

async fn start_bystander(
    settings: &Settings,
    files: &Files,
    canary: &str,
    user: Option<u32>,
) -> io::Result<(Child, Bystander)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a target outside of any cell, of our own executable"
    )]
    let mut command = tokio::process::Command::new(&settings.executable);
    let mut process = command
        .args([SUBCOMMAND, BYSTANDER])
        .args(user.map(|user| user.to_string()))
        .current_dir(files.outside().join(planted::OTHER_RUN))
        .env_clear()
        .env(CANARY_VARIABLE, canary)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = process
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("the bystander has no output"))?;
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    timeout(BYSTANDER_WAIT, reader.read_line(&mut line)).await??;
    let bystander = serde_json::from_str(&line)
        .map_err(|error| io::Error::other(format!("the bystander said {line:?}: {error}")))?;
    Ok((process, bystander))
}

/// Keeps `descriptor` open over `exec`, as a mistake would.
fn leak(descriptor: &OwnedFd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?)
}
