//! A pull request's history.

use super::comment::{Anchor, Comment};
use super::ids::{CommentId, UserId};
use crate::git::commits::Commit;
use crate::git::diff::FileDiff;

/// One entry of the history.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    pub(crate) id: u64,
    pub(crate) created: i64,
    pub(crate) user: UserId,
    pub(crate) action: Action,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Opened,
    Commented(Box<Commented>),
    Rescoped(Box<Rescoped>),
    /// `APPROVED`, `UNAPPROVED`, `REVIEWED` (needs work), `UPDATED`, `DECLINED`, `REOPENED`.
    Plain(&'static str),
    Merged {
        commit: Option<String>,
    },
}

/// A comment was added, edited, replied to or deleted.
#[derive(Clone, Debug)]
pub(crate) struct Commented {
    /// `ADDED`, `EDITED`, `REPLIED` or `DELETED`.
    pub(crate) comment_action: &'static str,
    pub(crate) comment: CommentId,
    /// The last state of a deleted comment, which the pull request no longer has.
    pub(crate) deleted: Option<Comment>,
    pub(crate) anchor: Option<Anchor>,
    /// The hunk the comment was made on.
    pub(crate) diff: Option<FileDiff>,
}

/// The source or target branch moved.
#[derive(Clone, Debug)]
pub(crate) struct Rescoped {
    pub(crate) from_hash: String,
    pub(crate) previous_from_hash: String,
    pub(crate) to_hash: String,
    pub(crate) previous_to_hash: String,
    pub(crate) added: Vec<Commit>,
    pub(crate) removed: Vec<Commit>,
}
