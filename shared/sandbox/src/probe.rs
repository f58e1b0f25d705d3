//! The battery: every attack on the sandbox that is known, each as a small function that tries it on a planted target.
//!
//! The self-test (`self_test.rs`) plants the targets, runs this battery inside a cell and outside of any, and judges. Here nothing
//! is judged: an attack that works says so, whatever level is claimed.

mod bystander;
pub(crate) mod calls;
mod files;
mod identity;
mod ipc;
mod kernel;
mod metadata;
mod network;
pub(crate) mod plan;
mod positive;
mod processes;
mod table;
mod tampering;
mod terminal;
mod unix_sockets;

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

pub(crate) use files::planted;
use plan::{Line, Outcome, Plan, Question, Tried};
pub(crate) use table::{MODEL_PORT, POSITIVES, PROBES, Probe};

/// The exit code for arguments that are none of ours; `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;

/// `Ok` when the attack worked (a positive probe: when the thing works), with what was gained.
pub(crate) type Attempt = Result<String, Failure>;

/// Why an attack did not work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Something refused it, or its target is not there.
    Refused(String),
    /// It could not be tried, so nothing is known.
    NotTried(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// The hidden subcommand `sandbox-probe`: runs the battery of the plan in the one argument (JSON) and prints a JSON line
/// per probe. With the argument `bystander` it is a target itself. Has to run before any thread is started.
pub fn main() -> ExitCode {
    identity::note_descriptors();
    let args: Vec<String> = std::env::args()
        .skip(1)
        .skip_while(|arg| arg != SUBCOMMAND)
        .collect();
    let ran = match args.as_slice() {
        [_, role] if role == plan::BYSTANDER => bystander::stand_by(None),
        [_, role, user] if role == plan::BYSTANDER => bystander::stand_by(user.parse().ok()),
        [_, text] => match serde_json::from_str::<Plan>(text) {
            Ok(plan) => run_all(&plan),
            Err(error) => return usage(&format!("the plan cannot be read: {error}")),
        },
        _ => return usage("it takes one plan; the self-test starts it"),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        // Standard output is gone: the self-test counts what did not arrive.
        Err(_) => ExitCode::FAILURE,
    }
}

/// The name of the subcommand that leads to [`main`].
pub(crate) const SUBCOMMAND: &str = "sandbox-probe";

fn usage(reason: &str) -> ExitCode {
    // Nobody reads it where standard error is closed; the exit code says the same.
    let _ = writeln!(io::stderr(), "{SUBCOMMAND}: {reason}");
    ExitCode::from(EXIT_USAGE)
}

fn run_all(plan: &Plan) -> io::Result<()> {
    for probe in PROBES {
        let (outcome, detail) = match probe.attack.run(plan) {
            Ok(gained) => (Outcome::Leaked, gained),
            Err(Failure::Refused(reason)) => (Outcome::Held, reason),
            Err(Failure::NotTried(reason)) => (Outcome::Error, reason),
        };
        report(probe.name, outcome, detail)?;
    }
    for probe in POSITIVES {
        let (outcome, detail) = match probe.attack.run(plan) {
            Ok(detail) => (Outcome::Held, detail),
            Err(Failure::Refused(reason) | Failure::NotTried(reason)) => (Outcome::Error, reason),
        };
        report(probe.name, outcome, detail)?;
    }
    write_out()
}

fn report(name: &str, outcome: Outcome, detail: String) -> io::Result<()> {
    let name = name.to_owned();
    say(&Line::Tried(Tried {
        name,
        outcome,
        detail,
    }))
}

/// What was not written yet: each write would wake the worker, which waits for the whole.
static UNWRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn say(line: &Line) -> io::Result<()> {
    let mut unwritten = UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    serde_json::to_writer(&mut *unwritten, line)?;
    unwritten.push(b'\n');
    Ok(())
}

fn write_out() -> io::Result<()> {
    let mut unwritten = UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = io::stdout().lock();
    out.write_all(&unwritten)?;
    unwritten.clear();
    out.flush()
}

/// Asks the self-test, which stands outside, whether something got through.
fn ask_outside(question: Question) -> Result<bool, Failure> {
    let asked = || -> io::Result<String> {
        say(&Line::Asked(question))?;
        write_out()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(answer)
    };
    match asked() {
        Ok(answer) if answer.trim_end() == plan::YES => Ok(true),
        Ok(answer) if answer.trim_end() == plan::NO => Ok(false),
        Ok(answer) => Err(Failure::NotTried(format!("the outside answered {answer:?}"))),
        Err(error) => Err(Failure::NotTried(format!("the outside cannot be asked: {error}"))),
    }
}
