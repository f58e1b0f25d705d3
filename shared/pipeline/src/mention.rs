//! Mention: a comment version that asks us for something, or no longer does. Control: what stops or redirects a run.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{Person, Repository};
use crate::ids::{CommentId, CommitId, ConnectionId, DeliveryId, InstanceId, Lane, PullRequestId};
use crate::message::Message;

pub use crate::command::{Command, CommandDigest, GrammarRefusal, NearMiss};
pub use crate::options::{Budget, Commits, Effort, OptionName, Options};
pub use crate::verbs::{Class, Verb};

/// Where a mention or control comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// The delivery that told us.
    pub delivery: DeliveryId,
    /// Its place in `EVENTS`; orders a lane's queue.
    pub event_sequence: u64,
    /// The connection it came through; names the credential to act with.
    pub connection: ConnectionId,
    /// The Bitbucket instance.
    pub instance: InstanceId,
    /// The target repository.
    pub repository: Repository,
    /// The pull request.
    pub pull_request: PullRequestId,
}

impl Origin {
    /// The lane of the pull request.
    pub fn lane(&self) -> Lane {
        Lane::of_pull_request(self.pull_request)
    }
}

/// One version of a comment that mentions us, or that did before it was edited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Mention {
    /// Message version.
    pub v: u32,
    /// Where it comes from.
    pub origin: Origin,
    /// The comment.
    pub comment: CommentId,
    /// The comment's version.
    pub comment_version: u32,
    /// The comment it replies to.
    pub parent: Option<CommentId>,
    /// Who wrote it; absent for deleted users.
    pub author: Option<Person>,
    /// When this version was written.
    #[schemars(with = "Option<String>")]
    pub written_at: Option<Timestamp>,
    /// What it asks for; absent when an edit took the mention away.
    pub command: Option<Command>,
}

impl Message for Mention {
    const NAME: &'static str = "mention";
}

/// Something that ends, stops or redirects work on a pull request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Control {
    /// Message version.
    pub v: u32,
    /// Where it comes from.
    pub origin: Origin,
    /// Who did it.
    pub actor: Option<Person>,
    /// What happened.
    pub change: Change,
}

impl Message for Control {
    const NAME: &'static str = "control";
}

/// What happened to the comment or pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// A comment is gone, whether or not it ever mentioned us.
    CommentDeleted {
        /// The comment.
        comment: CommentId,
    },
    /// The pull request was merged, declined or deleted.
    Closed {
        /// Its version then.
        version: u32,
        /// How it ended.
        how: Closed,
    },
    /// The source branch moved.
    Moved {
        /// The new head.
        to: CommitId,
    },
}

/// How a pull request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// Merged.
    Merged,
    /// Declined.
    Declined,
    /// Deleted.
    Deleted,
}
