//! What the executable says on its two streams: answers on standard output, everything else on standard error.

use std::io::Write;
use std::process::ExitCode;

use config::Problems;
use jiff::Timestamp;
use serde::Serialize;

use crate::EXIT_CONFIGURATION;

/// A line of an answer. A reader that has gone away (`| head`) is not an error.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// An answer as it is, without a newline at its end.
pub(crate) fn bytes(bytes: &[u8]) {
    let _ = std::io::stdout().write_all(bytes);
}

/// A line for whoever started the program, in JSON: where it listens.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(&text),
        Err(error) => tracing::error!(%error, "cannot print"),
    }
}

/// A time as answers show it, in UTC.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A warning at start.
pub(crate) fn warning(text: &str) {
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

/// What is good to know about an answer, beside it.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// One sentence, and the exit code of a failure.
pub(crate) fn failure(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {text}");
    ExitCode::FAILURE
}

/// Every problem at once, and exit code 2.
pub(crate) fn wrong_configuration(problems: &Problems) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {problems}");
    ExitCode::from(EXIT_CONFIGURATION)
}
