//! Comments: read, write, edit, delete (bitbucket-dc.md 3.6).

use http::Method;
use jiff::Timestamp;
use pipeline::event::{Person, Repository};
use pipeline::ids::{CommentId, CommitId, PullRequestId};
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Error;
use crate::reading::{self, Unreadable};
use crate::route;

/// Longest text of a comment that Bitbucket takes, in characters (bitbucket-dc.md 3.6). Whether it counts UTF-16
/// units or code points is not known, so count UTF-16 units.
pub const COMMENT_TEXT_MAX: usize = 32_768;

/// A comment with its replies.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    /// Id.
    pub id: CommentId,
    /// Rises with every edit; an edit or a deletion has to name it.
    pub version: u32,
    /// Markdown.
    pub text: String,
    /// Absent for deleted users.
    pub author: Option<Person>,
    /// When it was written.
    pub created_at: Option<Timestamp>,
    /// When it was last edited.
    pub updated_at: Option<Timestamp>,
    /// `NORMAL`, or `BLOCKER` for a task.
    pub severity: String,
    /// `OPEN`, `RESOLVED` or `PENDING`.
    pub state: String,
    /// Whether the whole thread is resolved.
    pub thread_resolved: bool,
    /// The place it is about; only on the first comment of a thread, and absent for general comments.
    pub anchor: Option<Anchor>,
    /// Replies, each with its own.
    pub replies: Vec<Comment>,
}

/// The place of an inline comment; without a line, of a whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The file.
    pub path: String,
    /// Its path before it was moved.
    pub src_path: Option<String>,
    /// The line, in the file that `file_type` says.
    pub line: Option<u32>,
    /// `ADDED`, `REMOVED` or `CONTEXT`.
    pub line_type: Option<String>,
    /// `FROM` (before the change) or `TO` (after it).
    pub file_type: Option<String>,
    /// The first line, where the comment spans several.
    pub start_line: Option<u32>,
    /// The commit of the source branch whose lines it counts.
    pub to_hash: Option<CommitId>,
    /// Whether the place is no longer in the diff.
    pub orphaned: bool,
}

impl Comment {
    /// Whether it is a task.
    pub fn is_task(&self) -> bool {
        self.severity == "BLOCKER"
    }

    /// The comment or one of its replies by id.
    pub fn find(&self, id: CommentId) -> Option<&Comment> {
        self.flatten().find(|comment| comment.id == id)
    }

    /// The comment and all its replies, in the order of the thread.
    pub fn flatten(&self) -> impl Iterator<Item = &Comment> {
        let mut waiting = vec![self];
        std::iter::from_fn(move || {
            let next = waiting.pop()?;
            waiting.extend(next.replies.iter().rev());
            Some(next)
        })
    }
}

impl Client {
    /// A comment with its replies.
    pub async fn comment(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
        id: CommentId,
    ) -> Result<Comment, Error> {
        let (pull_request, id) = (pull_request.to_string(), id.to_string());
        let value = self
            .get(route::COMMENT, &values(repository, &pull_request, &id), &[])
            .await?;
        read(&value).map_err(Error::from)
    }

    /// Writes a comment, or a reply when `parent` is given. Not repeated: after [`Error::Ambiguous`] look for it
    /// before writing again.
    pub async fn add_comment(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
        text: &str,
        parent: Option<CommentId>,
    ) -> Result<Comment, Error> {
        let mut body = json!({ "text": text });
        if let Some(parent) = parent {
            body["parent"] = json!({ "id": parent });
        }
        let [project, slug] = route::of(repository);
        let values = [project, slug, &pull_request.to_string()];
        let written = self
            .write(Method::POST, route::COMMENTS, &values, &[], Some(&body))
            .await?;
        written_comment(written)
    }

    /// Replaces a comment's text. [`Error::Conflict`] when `version` is stale.
    pub async fn edit_comment(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
        id: CommentId,
        version: u32,
        text: &str,
    ) -> Result<Comment, Error> {
        let body = json!({ "version": version, "text": text });
        let (pull_request, id) = (pull_request.to_string(), id.to_string());
        let values = values(repository, &pull_request, &id);
        let written = self
            .write(Method::PUT, route::COMMENT, &values, &[], Some(&body))
            .await?;
        written_comment(written)
    }

    /// Deletes a comment. [`Error::Conflict`] when `version` is stale or it has replies.
    pub async fn delete_comment(
        &self,
        repository: &Repository,
        pull_request: PullRequestId,
        id: CommentId,
        version: u32,
    ) -> Result<(), Error> {
        let (pull_request, id) = (pull_request.to_string(), id.to_string());
        let values = values(repository, &pull_request, &id);
        let query = [("version", version.to_string())];
        let query = query.each_ref().map(|(key, value)| (*key, value.as_str()));
        self.write(Method::DELETE, route::COMMENT, &values, &query, None)
            .await
            .map(drop)
    }
}

pub(crate) fn values<'v>(
    repository: &'v Repository,
    pull_request: &'v str,
    comment: &'v str,
) -> [&'v str; 4] {
    let [project, slug] = route::of(repository);
    [project, slug, pull_request, comment]
}

/// A 2xx without the comment leaves its id unknown, so it has to be looked for like one whose answer was lost.
pub(crate) fn written_comment(answer: Option<Value>) -> Result<Comment, Error> {
    read(&answer.unwrap_or(Value::Null)).map_err(|unreadable| Error::from(unreadable).of_write())
}

/// A comment; parts that say how it looks have Bitbucket's defaults.
pub(crate) fn read(value: &Value) -> Result<Comment, Unreadable> {
    let replies: Result<Vec<_>, _> = reading::list(value, "comments").iter().map(read).collect();
    Ok(Comment {
        id: reading::comment_id(value)?,
        version: reading::version(value)?,
        text: reading::text(value, "text")?,
        author: value.get("author").and_then(reading::person),
        created_at: reading::time(value, "createdDate"),
        updated_at: reading::time(value, "updatedDate"),
        severity: reading::optional_text(value, "severity").unwrap_or_else(|| "NORMAL".to_owned()),
        state: reading::optional_text(value, "state").unwrap_or_else(|| "OPEN".to_owned()),
        thread_resolved: reading::flag(value, "threadResolved").unwrap_or(false),
        anchor: value.get("anchor").and_then(anchor),
        replies: replies?,
    })
}

/// The place; the schema calls paths objects, servers send texts (bitbucket-dc.md section 1), so both are read.
pub(crate) fn anchor(value: &Value) -> Option<Anchor> {
    let line = |value: &Value, key| {
        value
            .get(key)
            .and_then(Value::as_u64)
            .and_then(|n| u32::try_from(n).ok())
    };
    Some(Anchor {
        path: path(value.get("path")?)?,
        src_path: value.get("srcPath").and_then(path),
        line: line(value, "line"),
        line_type: reading::optional_text(value, "lineType"),
        file_type: reading::optional_text(value, "fileType"),
        start_line: value
            .get("multilineMarker")
            .and_then(|marker| line(marker, "startLine")),
        to_hash: reading::optional_text(value, "toHash").and_then(|hash| CommitId::new(hash).ok()),
        orphaned: reading::flag(value, "orphaned").unwrap_or(false),
    })
}

/// A path as text, or as the object that has it in parts.
pub(crate) fn path(value: &Value) -> Option<String> {
    value
        .as_str()
        .map(str::to_owned)
        .or_else(|| reading::optional_text(value, "toString"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inline_comment_has_its_place_and_its_replies() {
        let value: Value =
            serde_json::from_str(include_str!("../fixtures/rest_comment_inline.json")).unwrap();
        let comment = read(&value).unwrap();
        let anchor = comment.anchor.as_ref().unwrap();
        assert_eq!((anchor.path.as_str(), anchor.line), ("src/upload.rs", Some(12)));
        assert_eq!(anchor.line_type.as_deref(), Some("ADDED"));
        assert_eq!(
            anchor.to_hash.as_ref().map(CommitId::as_str),
            Some("2b6f5e0c7a4d41f0a9a0c1d2e3f405162738495a")
        );
        assert_eq!(
            comment.find(CommentId(311)).map(|reply| reply.text.as_str()),
            Some("+1")
        );
        assert_eq!(comment.flatten().map(|c| c.id.0).collect::<Vec<_>>(), [305, 311]);
    }

    #[test]
    fn a_comment_of_a_deleted_user_has_no_author() {
        let mut value: Value =
            serde_json::from_str(include_str!("../fixtures/rest_comment_created.json")).unwrap();
        value["author"] = Value::Null;
        assert_eq!(read(&value).unwrap().author, None);
    }

    #[test]
    fn a_path_is_read_as_text_and_as_object() {
        for written in [
            json!("src/a.rs"),
            json!({"components": ["src", "a.rs"], "toString": "src/a.rs"}),
        ] {
            assert_eq!(anchor(&json!({ "path": written })).unwrap().path, "src/a.rs");
        }
    }

    #[test]
    fn an_answer_without_the_comment_is_ambiguous() {
        for answer in [None, Some(json!({"id": 1}))] {
            assert!(matches!(written_comment(answer), Err(Error::Ambiguous { .. })));
        }
    }
}
