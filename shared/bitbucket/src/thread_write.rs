//! Writing where people talk: comments on lines of the diff, and ticking tasks (bitbucket-dc.md 3.6).

use http::Method;
use pipeline::event::Repository;
use pipeline::ids::{CommentId, PullRequestId};
use serde_json::json;

use crate::client::Client;
use crate::comment::{self, Comment};
use crate::error::Error;
use crate::route;

/// Lines of a file of the pull request's diff, as they are after the change. Bitbucket refuses an anchor that calls a
/// line new that is context, and the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// The file.
    pub path: String,
    /// The first line, from 1.
    pub first: u32,
    /// The last line; the comment stands under it.
    pub last: u32,
    /// Whether the first line is new; otherwise it is context.
    pub first_is_added: bool,
    /// The same of the last line.
    pub last_is_added: bool,
}

impl Client {
    /// Writes a comment on lines of the effective diff. [`Error::Invalid`] where the diff has no such line. Not
    /// repeated: after [`Error::Ambiguous`] look for it before writing again.
    pub async fn add_comment_on(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
        text: &str,
        lines: &Lines,
    ) -> Result<Comment, Error> {
        // Without a diff type and hashes the anchor is of the pull request's effective diff as it is now.
        let mut anchor = json!({
            "path": lines.path,
            "line": lines.last,
            "lineType": line_type(lines.last_is_added),
            "fileType": "TO",
        });
        if lines.first < lines.last {
            anchor["multilineMarker"] =
                json!({ "startLine": lines.first, "startLineType": line_type(lines.first_is_added) });
        }
        let [project, slug] = route::of(repository);
        let values = [project, slug, &pull_request.to_string()];
        let body = json!({ "text": text, "anchor": anchor });
        let written = self
            .write(Method::POST, route::COMMENTS, &values, &[], Some(&body))
            .await?;
        comment::written_comment(written)
    }

    /// Ticks a task. [`Error::Conflict`] when `version` is stale. Ticking it again changes nothing, so it may be
    /// repeated after [`Error::Ambiguous`] with the version it has then.
    pub async fn tick_task(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
        task: CommentId,
        version: u32,
    ) -> Result<Comment, Error> {
        let (pull_request, task) = (pull_request.to_string(), task.to_string());
        let values = comment::values(repository, &pull_request, &task);
        let body = json!({ "version": version, "state": "RESOLVED" });
        let written = self
            .write(Method::PUT, route::COMMENT, &values, &[], Some(&body))
            .await?;
        comment::written_comment(written)
    }
}

fn line_type(is_added: bool) -> &'static str {
    if is_added { "ADDED" } else { "CONTEXT" }
}
