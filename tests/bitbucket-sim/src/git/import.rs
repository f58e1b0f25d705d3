//! Builds branches from a world document with `git fast-import`: one process per repository.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};

use super::command::{git, git_with_input};

/// A branch to make: what it starts from, and what its one commit changes.
#[derive(Clone, Debug)]
pub(crate) struct BranchPlan {
    pub(crate) name: String,
    /// A branch of the same repository, made before this one.
    pub(crate) from: Option<String>,
    /// Path to content; `None` deletes the file.
    pub(crate) files: BTreeMap<String, Option<String>>,
    pub(crate) message: String,
    /// Author and committer, `Name <e-mail>`.
    pub(crate) identity: String,
}

/// 2025-06-17T06:55:00Z. Fixed, so that the same world has the same commit ids everywhere.
const COMMIT_TIME: &str = "1750143300 +0000";

/// Makes the branches in the given order.
pub(crate) async fn branches(dir: &Path, plans: &[BranchPlan]) -> anyhow::Result<()> {
    let mut stream = Vec::new();
    for plan in plans {
        write_branch(&mut stream, plan);
    }
    git_with_input(dir, &["fast-import", "--quiet"], Some(&stream)).await?;
    Ok(())
}

fn write_branch(stream: &mut Vec<u8>, plan: &BranchPlan) {
    let mut line = |text: String| {
        stream.extend_from_slice(text.as_bytes());
        stream.push(b'\n');
    };
    if plan.files.is_empty()
        && let Some(from) = &plan.from
    {
        line(format!(
            "reset refs/heads/{}\nfrom refs/heads/{from}\n",
            plan.name
        ));
        return;
    }
    line(format!("commit refs/heads/{}", plan.name));
    line(format!("author {} {COMMIT_TIME}", plan.identity));
    line(format!("committer {} {COMMIT_TIME}", plan.identity));
    line(format!("data {}\n{}", plan.message.len(), plan.message));
    if let Some(from) = &plan.from {
        line(format!("from refs/heads/{from}"));
    }
    for (path, content) in &plan.files {
        let quoted = path.replace('\\', "\\\\").replace('"', "\\\"");
        match content {
            Some(content) => {
                line(format!(
                    "M 100644 inline \"{quoted}\"\ndata {}\n{content}",
                    content.len()
                ));
            }
            None => line(format!("D \"{quoted}\"")),
        }
    }
    line(String::new());
}

/// Fetches the branches and tags of a bundle.
pub(crate) async fn bundle(dir: &Path, bundle: &Path) -> anyhow::Result<()> {
    let bundle = bundle.to_str().context("the bundle's path is not UTF-8")?;
    let refspecs = ["refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"];
    git(dir, &["fetch", "--quiet", bundle, refspecs[0], refspecs[1]]).await?;
    Ok(())
}

/// Commits a directory's files, without its `.git`, as the only commit of `branch`.
pub(crate) async fn directory(dir: &Path, source: &Path, branch: &str, identity: &str) -> anyhow::Result<()> {
    if !source.is_dir() {
        bail!("{} is not a directory", source.display());
    }
    let source = source.to_str().context("the directory's path is not UTF-8")?;
    let work_tree = format!("--work-tree={source}");
    let git_dir = format!("--git-dir={}", dir.display());
    git(
        dir,
        &[
            &git_dir,
            &work_tree,
            "-c",
            "core.bare=false",
            "-C",
            source,
            "add",
            "--all",
            ".",
        ],
    )
    .await?;
    let tree = super::command::git_text(dir, &["write-tree"]).await?;
    let (name, email) = identity
        .trim_end_matches('>')
        .split_once(" <")
        .unwrap_or((identity, ""));
    let commit = super::merge::commit_tree(
        dir,
        &tree,
        &[],
        "Initial commit",
        &super::merge::Identity {
            name,
            email,
            at: COMMIT_TIME,
        },
    )
    .await?;
    git(dir, &["update-ref", &format!("refs/heads/{branch}"), &commit]).await?;
    let index = dir.join("index");
    if index.exists() {
        std::fs::remove_file(index)?;
    }
    Ok(())
}

/// Copies every branch and tag of another repository, as a fork does.
pub(crate) async fn fork(dir: &Path, origin: &Path) -> anyhow::Result<()> {
    let origin = origin
        .to_str()
        .context("the data directory's path is not UTF-8")?;
    git(
        dir,
        &[
            "fetch",
            "--quiet",
            origin,
            "refs/heads/*:refs/heads/*",
            "refs/tags/*:refs/tags/*",
        ],
    )
    .await?;
    Ok(())
}
