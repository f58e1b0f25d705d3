//! The pull request's diff and its changed files (bitbucket-dc.md 3.8).

use pipeline::event::Repository;
use pipeline::ids::{CommitId, PullRequestId};
use serde_json::Value;

use crate::client::Client;
use crate::comment::path;
use crate::error::Error;
use crate::reading;
use crate::route;

/// Bitbucket's cap; the list has no further pages (bitbucket-dc.md 3.2).
const CHANGES_MAX: &str = "1000";

/// A unified diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// Whole lines; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Whether it was cut at the limit.
    pub truncated: bool,
    /// The whole diff's length, where Bitbucket says it before sending.
    pub bytes_total: Option<u64>,
}

/// The changed files of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// At most 1000.
    pub files: Vec<ChangedFile>,
    /// Whether there are more.
    pub truncated: bool,
    /// The target's commit they are compared with.
    pub from: Option<CommitId>,
    /// The source's commit.
    pub to: Option<CommitId>,
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Its path.
    pub path: String,
    /// Its path before, for moves and copies.
    pub src_path: Option<String>,
    /// `ADD`, `MODIFY`, `DELETE`, `MOVE` or `COPY`.
    pub kind: String,
    /// `FILE` or `SUBMODULE`.
    pub node_type: String,
}

impl Client {
    /// The diff up to `bytes_max`, cut after the last whole line.
    pub async fn diff(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
        bytes_max: usize,
    ) -> Result<Diff, Error> {
        let [project, slug] = route::of(repository);
        let values = [project, slug, &pull_request.to_string()];
        let answer = self.get_text(route::DIFF, &values, &[], bytes_max).await?;
        Ok(Diff {
            text: whole_lines(&answer.bytes, answer.truncated),
            truncated: answer.truncated,
            bytes_total: answer.bytes_total,
        })
    }

    /// What changed in a repository from one commit to another, up to `bytes_max`, cut after the last whole line.
    pub async fn diff_between(
        &self,
        repository: &Repository,
        since: &CommitId,
        until: &CommitId,
        bytes_max: usize,
    ) -> Result<Diff, Error> {
        let query = [("since", since.as_str()), ("until", until.as_str())];
        let answer = self
            .get_text(route::REPOSITORY_DIFF, &route::of(repository), &query, bytes_max)
            .await?;
        Ok(Diff {
            text: whole_lines(&answer.bytes, answer.truncated),
            truncated: answer.truncated,
            bytes_total: answer.bytes_total,
        })
    }

    /// The changed files.
    pub async fn changes(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
    ) -> Result<Changes, Error> {
        let [project, slug] = route::of(repository);
        let values = [project, slug, &pull_request.to_string()];
        let page = self
            .get(route::CHANGES, &values, &[("limit", CHANGES_MAX)])
            .await?;
        Ok(read_changes(&page))
    }
}

fn whole_lines(bytes: &[u8], truncated: bool) -> String {
    let end = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(newline) if truncated => newline + 1,
        None if truncated => 0,
        _ => bytes.len(),
    };
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn read_changes(page: &Value) -> Changes {
    let files = reading::list(page, "values")
        .iter()
        .filter_map(|change| {
            Some(ChangedFile {
                path: path(change.get("path")?)?,
                src_path: change.get("srcPath").and_then(path),
                kind: reading::optional_text(change, "type").unwrap_or_else(|| "UNKNOWN".to_owned()),
                node_type: reading::optional_text(change, "nodeType").unwrap_or_else(|| "FILE".to_owned()),
            })
        })
        .collect();
    Changes {
        files,
        truncated: reading::flag(page, "isLastPage") == Some(false),
        from: reading::commit(page, "fromHash"),
        to: reading::commit(page, "toHash"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_diff_ends_with_a_whole_line() {
        assert_eq!(whole_lines(b"+a\n+b\n+c", true), "+a\n+b\n");
        assert_eq!(whole_lines(b"+a\n+b", false), "+a\n+b");
        assert_eq!(whole_lines(b"+abc", true), "");
    }

    #[test]
    fn changed_files_are_read() {
        let page = serde_json::from_str(include_str!("../fixtures/rest_pr_changes.json")).unwrap();
        let changes = read_changes(&page);
        assert_eq!(changes.files.len(), 1);
        assert_eq!(
            (changes.files[0].path.as_str(), changes.files[0].kind.as_str()),
            ("src/upload.rs", "ADD")
        );
        assert!(!changes.truncated && changes.from.is_some() && changes.to.is_some());
    }
}
