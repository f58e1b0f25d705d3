//! `bash{command}`: a shell command in the work tree.

use std::path::Path;

use sandbox::{Command, Ended, Output, Stderr};
use serde::Deserialize;

use super::{Done, Outcome, Toolbox, one_line};
use crate::{Error, Limits};

/// Where programs are looked for. Fixed, so that nothing of the worker's own environment decides what runs.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Bash where there is one; else the shell that is everywhere.
const SHELLS: [&str; 4] = ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/bin/sh"];

#[derive(Deserialize)]
pub(super) struct Arguments {
    command: String,
}

/// Runs the command in a shell of its own. Whatever it leaves in the background is killed when it ends.
pub(super) async fn run(toolbox: &Toolbox, arguments: Arguments) -> Result<Outcome, Error> {
    let Arguments { command } = arguments;
    if command.contains('\0') {
        return Ok(Outcome::Malformed(
            "a command cannot contain a NUL character".to_owned(),
        ));
    }
    let shell = SHELLS
        .into_iter()
        .find(|shell| Path::new(shell).exists())
        .unwrap_or("/bin/sh");
    let output = sandbox::run(Command {
        program: shell.into(),
        args: vec!["-c".into(), command.as_str().into()],
        work_dir: toolbox.work_tree.clone(),
        env: vec![
            ("PATH".into(), PATH.into()),
            ("HOME".into(), toolbox.home.as_os_str().to_owned()),
            ("LANG".into(), "C.UTF-8".into()),
            ("TERM".into(), "dumb".into()),
        ],
        time_limit: toolbox.limits.command_wall,
        output_bytes_max: toolbox.limits.output_bytes,
        stderr: Stderr::WithStdout,
        cancel: toolbox.stop.clone(),
    })
    .await?;
    if output.ended == Ended::Cancelled {
        return Ok(Outcome::Stopped);
    }
    let step = one_line(&format!("ran `{}`", command.replace('`', "'")));
    // The closing backtick goes with the end of a long command.
    let step = if step.ends_with('…') {
        format!("{step}`")
    } else {
        step
    };
    Ok(Outcome::Done(Done {
        result: describe(&output, &toolbox.limits),
        step,
    }))
}

fn describe(output: &Output, limits: &Limits) -> String {
    let ended = match output.ended {
        Ended::Exited(code) => format!("exit code {code}"),
        Ended::Signalled(signal) => format!("killed by signal {signal}"),
        Ended::TimeLimit => format!(
            "killed after {} s, the time limit",
            limits.command_wall.as_secs_f32()
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
