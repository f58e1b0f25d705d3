//! What the checks printed, as one text beside the run: a reply has room for the results only.

use std::fmt::Write as _;

use pipeline::run::Measured;
use sandbox::CellOutput;

use config::CheckCommand;

/// The text, as it grows.
#[derive(Debug, Default)]
pub(super) struct Outputs(String);

impl Outputs {
    /// Adds one run of a check.
    pub(super) fn add(
        &mut self,
        check: &CheckCommand,
        side: &str,
        measured: &Measured,
        output: Option<&CellOutput>,
    ) {
        let printed = output.map(|output| output.stdout.text() + &output.stderr.text());
        self.add_text(check, side, measured, printed.as_deref());
    }

    fn add_text(&mut self, check: &CheckCommand, side: &str, measured: &Measured, printed: Option<&str>) {
        let text = &mut self.0;
        // Writing into a string cannot fail.
        let _ = writeln!(text, "=== {} ({side}): {}", check.name, check.command);
        let _ = writeln!(text, "=== {}", in_words(measured));
        if let Some(printed) = printed {
            text.push_str(printed);
            if !printed.ends_with('\n') {
                text.push('\n');
            }
        }
        text.push('\n');
    }

    /// All of it.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

fn in_words(measured: &Measured) -> String {
    match measured {
        Measured::Exited { code, milliseconds } => format!("exit {code} after {milliseconds} ms"),
        Measured::TimedOut { milliseconds } => format!("timed out after {milliseconds} ms"),
        Measured::Stopped { limit, milliseconds } => {
            format!("stopped at the {limit} limit after {milliseconds} ms")
        }
        Measured::NotMeasurable { why } => format!("not measurable here: {why}"),
        Measured::NotRun { why } => format!("not run: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_run_has_its_command_its_end_and_its_output() {
        let check = CheckCommand {
            name: "test".to_owned(),
            command: "make test".to_owned(),
            time_limit: Duration::from_secs(1),
        };
        let mut outputs = Outputs::default();
        let failed = Measured::Exited {
            code: 2,
            milliseconds: 7,
        };
        outputs.add_text(&check, "before", &failed, Some("2 failed"));
        let not_run = Measured::NotRun {
            why: "no time".to_owned(),
        };
        outputs.add_text(&check, "after", &not_run, None);
        let expected = "=== test (before): make test\n=== exit 2 after 7 ms\n2 failed\n\n\
                        === test (after): make test\n=== not run: no time\n\n";
        assert_eq!(outputs.text(), expected);
    }
}
