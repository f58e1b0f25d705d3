//! Runs git: the one place where this crate starts a process.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Local plumbing ends in milliseconds; a minute means that it hangs.
const GIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Variables that would point git at another repository than the one named.
const FOREIGN_VARIABLES: [&str; 6] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
    "GIT_CONFIG_PARAMETERS",
];

/// A git command in `dir`, without the user's and the system's configuration.
pub(crate) fn command(dir: &Path, program: &str) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulator serves repositories with git's own tools"
    )]
    let mut command = Command::new(program);
    for variable in FOREIGN_VARIABLES {
        command.env_remove(variable);
    }
    command
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs git and returns everything, whatever its exit code.
pub(crate) async fn run(dir: &Path, args: &[&str], input: Option<&[u8]>) -> anyhow::Result<Output> {
    let mut command = command(dir, "git");
    command.args(args);
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let ended = async {
        let mut child = command.spawn().context("git cannot be started")?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(input).await.context("git closed its input")?;
        }
        anyhow::Ok(child.wait_with_output().await?)
    };
    tokio::time::timeout(GIT_TIMEOUT, ended)
        .await
        .with_context(|| format!("git {} did not end in time", args.join(" ")))?
        .with_context(|| format!("git {}", args.join(" ")))
}

/// Runs git; its standard output, or an error with its standard error.
pub(crate) async fn git(dir: &Path, args: &[&str]) -> anyhow::Result<Vec<u8>> {
    git_with_input(dir, args, None).await
}

/// As [`git`], with standard input.
pub(crate) async fn git_with_input(
    dir: &Path,
    args: &[&str],
    input: Option<&[u8]>,
) -> anyhow::Result<Vec<u8>> {
    let output = run(dir, args, input).await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("git {}: {}: {}", args.join(" "), output.status, said.trim());
    }
    Ok(output.stdout)
}

/// As [`git`], as text without the last line break.
pub(crate) async fn git_text(dir: &Path, args: &[&str]) -> anyhow::Result<String> {
    let output = git(dir, args).await?;
    Ok(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
}
