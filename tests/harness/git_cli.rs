//! git as people use it: the real command, in a directory of its own.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// The head of a branch.
pub async fn remote_head(url: &str, branch: &str) -> Result<String> {
    let listed = git(
        Path::new("/"),
        &["ls-remote", url, &format!("refs/heads/{branch}")],
    )
    .await?;
    let head = listed
        .split_whitespace()
        .next()
        .with_context(|| format!("no branch {branch}"))?;
    Ok(head.to_owned())
}

/// The diff of a branch's last commit.
pub async fn last_diff(url: &str, branch: &str) -> Result<String> {
    let directory = clone(url, branch).await?;
    git(directory.path(), &["show", "--format=", "--no-color", "HEAD"]).await
}

/// Commits one file and pushes it; the new head.
pub async fn commit_and_push(url: &str, branch: &str, path: &str, text: &str) -> Result<String> {
    let directory = clone(url, branch).await?;
    let file = directory.path().join(path);
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(file, text)?;
    git(directory.path(), &["add", "--", path]).await?;
    git(
        directory.path(),
        &["commit", "--quiet", "--message", "A commit by a person"],
    )
    .await?;
    git(
        directory.path(),
        &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{branch}")],
    )
    .await?;
    Ok(git(directory.path(), &["rev-parse", "HEAD"])
        .await?
        .trim()
        .to_owned())
}

/// Deletes a branch.
pub async fn delete_branch(url: &str, branch: &str) -> Result<()> {
    let directory = clone(url, branch).await?;
    git(
        directory.path(),
        &["push", "--quiet", "origin", &format!(":refs/heads/{branch}")],
    )
    .await
    .map(drop)
}

/// Clones one branch into a directory that is removed with the value.
pub async fn clone(url: &str, branch: &str) -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    let into = directory.path().to_str().context("a path of ours is UTF-8")?;
    git(
        Path::new("/"),
        &["clone", "--quiet", "--branch", branch, url, into],
    )
    .await?;
    Ok(directory)
}

/// Runs git with nothing of this machine's configuration.
pub async fn git(directory: &Path, arguments: &[&str]) -> Result<String> {
    #[expect(clippy::disallowed_methods, reason = "people use git")]
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Alice")
        .env("GIT_AUTHOR_EMAIL", "alice@example.test")
        .env("GIT_COMMITTER_NAME", "Alice")
        .env("GIT_COMMITTER_EMAIL", "alice@example.test")
        .stdin(Stdio::null())
        .output()
        .await
        .context("git cannot be started")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "git {arguments:?}: {}\n{stderr}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
