//! Comments, anchors and tasks (bitbucket-dc.md 3.6).

use std::collections::{BTreeMap, BTreeSet};

use super::ids::{CommentId, UserId};

/// `OPEN`, `RESOLVED` or `PENDING`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommentState {
    Open,
    Resolved,
    Pending,
}

impl CommentState {
    /// Bitbucket's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            CommentState::Open => "OPEN",
            CommentState::Resolved => "RESOLVED",
            CommentState::Pending => "PENDING",
        }
    }

    /// Parses Bitbucket's word.
    pub(crate) fn parse(name: &str) -> Option<CommentState> {
        match name {
            "OPEN" => Some(CommentState::Open),
            "RESOLVED" => Some(CommentState::Resolved),
            "PENDING" => Some(CommentState::Pending),
            _ => None,
        }
    }
}

/// The place of an inline or file comment; only on the root of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) path: String,
    pub(crate) src_path: Option<String>,
    /// `EFFECTIVE`, `COMMIT` or `RANGE`.
    pub(crate) diff_type: String,
    pub(crate) from_hash: String,
    pub(crate) to_hash: String,
    /// Absent for a file comment.
    pub(crate) line: Option<AnchorLine>,
    /// The diff no longer has the line.
    pub(crate) orphaned: bool,
}

/// The line part of an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnchorLine {
    pub(crate) line: u64,
    /// `ADDED`, `REMOVED` or `CONTEXT`.
    pub(crate) line_type: String,
    /// `FROM` or `TO`.
    pub(crate) file_type: String,
    /// First line and its type, of a comment on several lines.
    pub(crate) start: Option<(u64, String)>,
}

/// Who did something last, and when (epoch milliseconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) user: UserId,
    pub(crate) at: i64,
}

/// A comment, a reply or a task.
#[derive(Clone, Debug)]
pub(crate) struct Comment {
    pub(crate) id: CommentId,
    pub(crate) version: u64,
    pub(crate) text: String,
    pub(crate) author: UserId,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) parent: Option<CommentId>,
    /// A task: severity `BLOCKER`.
    pub(crate) blocker: bool,
    pub(crate) state: CommentState,
    pub(crate) resolved: Option<Stamp>,
    pub(crate) thread_resolved: Option<Stamp>,
    pub(crate) anchor: Option<Anchor>,
    /// Emoticon shortcut to the users who gave it.
    pub(crate) reactions: BTreeMap<String, BTreeSet<UserId>>,
    /// Suggestions applied so far, by index.
    pub(crate) applied_suggestions: BTreeSet<usize>,
}

impl Comment {
    /// Pending comments are visible to their author only.
    pub(crate) fn visible_to(&self, viewer: Option<UserId>) -> bool {
        self.state != CommentState::Pending || Some(self.author) == viewer
    }

    /// `NORMAL` or `BLOCKER`.
    pub(crate) fn severity(&self) -> &'static str {
        if self.blocker { "BLOCKER" } else { "NORMAL" }
    }
}
