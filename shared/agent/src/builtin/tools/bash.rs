//! `bash{command}`: a shell command in the work tree.

use std::path::Path;

use sandbox::{Command, Ended, Output, Stderr};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{Done, Outcome, Toolbox, one_line};

/// Bash where there is one; else the shell that is everywhere.
const SHELLS: [&str; 4] = ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/bin/sh"];

/// The longest command. The kernel takes 128 KiB as one argument.
const COMMAND_BYTES_MAX: usize = 100_000;

#[derive(Deserialize)]
pub(super) struct Arguments {
    command: String,
}

/// Runs the command in a shell of its own. Whatever of its process group it leaves in the background is killed when it
/// ends; what has left the group ends with the cell.
pub(super) async fn run(toolbox: &Toolbox, arguments: Arguments) -> Outcome {
    let Arguments { command } = arguments;
    if command.contains('\0') {
        return Outcome::Malformed("a command cannot contain a NUL character".to_owned());
    }
    if command.len() > COMMAND_BYTES_MAX {
        return Outcome::Declined(format!(
            "the command has {} bytes, and {COMMAND_BYTES_MAX} are the most; write files with edit",
            command.len()
        ));
    }
    let shell = SHELLS
        .into_iter()
        .find(|shell| Path::new(shell).exists())
        .unwrap_or("/bin/sh");
    // What the cell has set is what a command may see, so all of it is handed on.
    let env = std::env::vars_os().filter(|(name, _)| name != "TERM");
    let output = sandbox::run(Command {
        program: shell.into(),
        args: vec!["-c".into(), command.as_str().into()],
        work_dir: toolbox.work_tree.clone(),
        env: env.chain([("TERM".into(), "dumb".into())]).collect(),
        time_limit: toolbox.command_wall,
        output_bytes_max: toolbox.output_bytes,
        stderr: Stderr::WithStdout,
        // The end of the run is the end of the cell, and with it of this process.
        cancel: CancellationToken::new(),
    });
    let output = match output.await {
        Ok(output) => output,
        Err(error) => return Outcome::Declined(why(&error)),
    };
    let step = one_line(&format!("ran `{}`", command.replace('`', "'")));
    // The closing backtick goes with the end of a long command.
    let step = if step.ends_with('…') {
        format!("{step}`")
    } else {
        step
    };
    Outcome::Done(Done {
        result: describe(&output, toolbox),
        step,
    })
}

/// An error with its cause: that no more processes can be started, for instance.
fn why(error: &sandbox::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn describe(output: &Output, toolbox: &Toolbox) -> String {
    let ended = match output.ended {
        Ended::Exited(code) => format!("exit code {code}"),
        Ended::Signalled(signal) => format!("killed by signal {signal}"),
        Ended::TimeLimit => format!(
            "killed after {} s, the time limit",
            toolbox.command_wall.as_secs_f32()
        ),
        Ended::Cancelled => "stopped".to_owned(),
    };
    let cut = if output.stdout.bytes_cut() > 0 {
        "\nThe middle of the output was cut out; filter it to see more."
    } else {
        ""
    };
    format!("{ended}{cut}\n{}", output.stdout.text())
}
