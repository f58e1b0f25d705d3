//! An agent that does on purpose what agents do wrong.
//!
//! `stand-in-agent acp|command BEHAVIOUR BASE_URL KEY MODEL`; what there is to behave like is in [`acp`] and
//! [`command`]. Well-behaved ones ask the model once, write `made.txt` and say `Made it.`

#![expect(clippy::print_stdout, reason = "agents speak on their standard output")]

mod acp;
mod command;
mod model;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{ExitCode, Stdio};

/// What a run leaves where it worked.
const MADE: &str = "made.txt";
/// Held by what a run leaves running; whoever can lock it knows that nobody is left.
const LOCK: &str = "alive.lock";

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["acp", behaviour, base_url, key, model] => {
            acp::run(behaviour, &model::Model::new(base_url, key, model))
        }
        ["command", behaviour, base_url, key, model, task] => {
            command::run(behaviour, &model::Model::new(base_url, key, model), task)
        }
        ["daemon"] => daemon(),
        _ => Err(io::Error::other("what am I to do?")),
    }
    .map_or_else(
        |error| {
            eprintln!("stand-in: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Does the work.
fn make() -> io::Result<()> {
    std::fs::write(MADE, "made\n")
}

/// Starts a process that outlives this one if nobody ends it: of its own session, its parent gone.
fn leave_a_daemon() -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "an agent starts what it likes")]
    let mut daemon = std::process::Command::new(std::env::current_exe()?);
    let mut daemon = daemon.arg("daemon").stdout(Stdio::piped()).spawn()?;
    let said = daemon
        .stdout
        .take()
        .map(BufReader::new)
        .and_then(|out| out.lines().next());
    match said {
        Some(Ok(_)) => Ok(()),
        _ => Err(io::Error::other("the daemon did not come up")),
    }
}

fn daemon() -> io::Result<()> {
    rustix::process::setsid()?;
    let file = File::create(LOCK)?;
    file.lock()?;
    let mut out = io::stdout();
    writeln!(out, "here")?;
    out.flush()?;
    for_ever()
}

fn for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

/// Prints until nobody wants it any more.
fn flood() -> io::Result<()> {
    let line = [b'x'; 8 * 1024];
    let mut out = io::stdout();
    loop {
        out.write_all(&line)?;
        out.write_all(b"\n")?;
    }
}
