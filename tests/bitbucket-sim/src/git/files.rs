//! Reading files and directories at a commit.

use super::command::{git, git_text, run};
use super::store::Store;
use crate::state::ids::RepositoryId;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeEntry {
    /// git's mode, for example `100755`.
    pub(crate) mode: String,
    /// `blob`, `tree` or `commit`.
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) size: Option<u64>,
    pub(crate) name: String,
}

/// A changed path between two commits, from `git diff --raw`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawChange {
    pub(crate) status: char,
    pub(crate) similarity: Option<u64>,
    pub(crate) mode: String,
    pub(crate) from_content: String,
    pub(crate) content: String,
    pub(crate) source: Option<String>,
    pub(crate) path: String,
}

impl Store {
    /// The bytes of a file; `None` if there is no such file.
    pub(crate) async fn file(
        &self,
        repository: RepositoryId,
        commit: &str,
        path: &str,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let name = format!("{commit}:{path}");
        let output = run(&self.dir(repository), &["cat-file", "blob", &name], None).await?;
        Ok(output.status.success().then_some(output.stdout))
    }

    /// The entries of a directory, `""` for the root.
    pub(crate) async fn entries(
        &self,
        repository: RepositoryId,
        commit: &str,
        path: &str,
    ) -> anyhow::Result<Option<Vec<TreeEntry>>> {
        let name = format!("{commit}:{path}");
        let output = run(&self.dir(repository), &["ls-tree", "-l", "-z", &name], None).await?;
        if !output.status.success() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(Some(text.split('\0').filter_map(tree_entry).collect()))
    }

    /// Every file below a path, relative to it.
    pub(crate) async fn all_files(
        &self,
        repository: RepositoryId,
        commit: &str,
        path: &str,
    ) -> anyhow::Result<Vec<String>> {
        let name = format!("{commit}:{path}");
        let text = git_text(
            &self.dir(repository),
            &["ls-tree", "-r", "-z", "--name-only", &name],
        )
        .await?;
        Ok(text
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// The changed paths; `range` as for `git diff`.
    pub(crate) async fn raw_changes(
        &self,
        repository: RepositoryId,
        range: &[&str],
    ) -> anyhow::Result<Vec<RawChange>> {
        let mut args = vec!["diff", "--raw", "--abbrev=40", "-z", "-M"];
        args.extend_from_slice(range);
        args.push("--");
        let output = git(&self.dir(repository), &args).await?;
        Ok(raw_changes(&String::from_utf8_lossy(&output)))
    }
}

fn tree_entry(record: &str) -> Option<TreeEntry> {
    let (meta, name) = record.split_once('\t')?;
    let mut fields = meta.split_whitespace();
    let mut field = || fields.next().map(str::to_owned);
    let (mode, kind, id, size) = (field()?, field()?, field()?, field()?);
    Some(TreeEntry {
        mode,
        kind,
        id,
        size: size.parse().ok(),
        name: name.to_owned(),
    })
}

fn raw_changes(text: &str) -> Vec<RawChange> {
    let mut changes = Vec::new();
    let mut records = text.split('\0');
    while let Some(meta) = records.next().and_then(|record| record.strip_prefix(':')) {
        let fields: Vec<&str> = meta.split(' ').collect();
        let [_, mode, from_content, content, status] = fields[..] else {
            break;
        };
        let kind = status.chars().next().unwrap_or('M');
        let Some(first) = records.next() else { break };
        let moved = matches!(kind, 'R' | 'C');
        let (source, path) = if moved {
            (Some(first), records.next().unwrap_or(first))
        } else {
            (None, first)
        };
        changes.push(RawChange {
            status: kind,
            similarity: status.get(1..).and_then(|n| n.parse().ok()),
            mode: mode.to_owned(),
            from_content: from_content.to_owned(),
            content: content.to_owned(),
            source: source.map(str::to_owned),
            path: path.to_owned(),
        });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_changes_with_a_rename_are_read() {
        let text = ":000000 100644 00 aa A\0new.rs\0:100644 100644 bb cc R090\0a.rs\0b.rs\0";
        let changes = raw_changes(text);
        assert_eq!(changes.len(), 2);
        assert_eq!((changes[0].status, changes[0].path.as_str()), ('A', "new.rs"));
        assert_eq!(changes[1].source.as_deref(), Some("a.rs"));
        assert_eq!(
            (changes[1].similarity, changes[1].path.as_str()),
            (Some(90), "b.rs")
        );
    }
}
