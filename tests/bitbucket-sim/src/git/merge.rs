//! Merging in the bare repository: mergeability, merge commits, the `/merge` ref.

use std::path::Path;

use anyhow::bail;

use super::command::{command, git_text, run};
use super::store::{NO_COMMIT, Store};
use crate::state::ids::{PullRequestKey, RepositoryId};

/// Who a commit is by; `at` is git's raw time, for example `1750143300 +0000`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a str,
    pub(crate) email: &'a str,
    pub(crate) at: &'a str,
}

/// Writes a commit object and returns its id.
pub(crate) async fn commit_tree(
    dir: &Path,
    tree: &str,
    parents: &[&str],
    message: &str,
    identity: &Identity<'_>,
) -> anyhow::Result<String> {
    let mut command = command(dir, "git");
    command.args(["commit-tree", tree, "-m", message]);
    for parent in parents {
        command.args(["-p", parent]);
    }
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), identity.name)
            .env(format!("GIT_{role}_EMAIL"), identity.email)
            .env(format!("GIT_{role}_DATE"), identity.at);
    }
    let output = command.output().await?;
    if !output.status.success() {
        bail!(
            "git commit-tree: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Store {
    /// The tree of the merge, or `None` when the two conflict.
    pub(crate) async fn merged_tree(
        &self,
        repository: RepositoryId,
        to: &str,
        from: &str,
    ) -> anyhow::Result<Option<String>> {
        let args = [
            "merge-tree",
            "--write-tree",
            "--allow-unrelated-histories",
            "--no-messages",
            to,
            from,
        ];
        let output = run(&self.dir(repository), &args, None).await?;
        match output.status.code() {
            Some(0) => Ok(Some(
                String::from_utf8_lossy(&output.stdout)
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            )),
            Some(1) => Ok(None),
            _ => bail!(
                "git merge-tree: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ),
        }
    }

    /// Makes `refs/pull-requests/<id>/merge` say whether the two merge; true if they do.
    pub(crate) async fn refresh_merge_ref(
        &self,
        key: PullRequestKey,
        to: &str,
        from: &str,
    ) -> anyhow::Result<bool> {
        let dir = self.dir(key.repository);
        let name = format!("refs/pull-requests/{}/merge", key.id);
        let Some(tree) = self.merged_tree(key.repository, to, from).await? else {
            if run(&dir, &["rev-parse", "--verify", "--quiet", &name], None)
                .await?
                .status
                .success()
            {
                self.update_ref(key.repository, &name, NO_COMMIT).await?;
            }
            return Ok(false);
        };
        let at = git_text(&dir, &["show", "--no-patch", "--format=%ct +0000", from]).await?;
        let identity = Identity {
            name: "Bitbucket",
            email: "bitbucket@localhost",
            at: &at,
        };
        let message = format!("Merge of pull request {}", key.id);
        let commit = commit_tree(&dir, &tree, &[to, from], &message, &identity).await?;
        self.update_ref(key.repository, &name, &commit).await?;
        Ok(true)
    }
}
