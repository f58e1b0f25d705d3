//! Job: a dispatched run, with a reference to its brief. One per lane at a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{GitRef, Repository};
use crate::ids::{CommentId, ConnectionId, InstanceId, Lane, PullRequestId, RunId};
use crate::message::Message;

/// What the resolver needs to begin; everything else it reads from the run record and the brief.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Message version.
    pub v: u32,
    /// The run.
    pub run: RunId,
    /// The Bitbucket instance.
    pub instance: InstanceId,
    /// The target repository.
    pub repository: Repository,
    /// The pull request.
    pub pull_request: PullRequestId,
    /// The lane this job holds.
    pub lane: Lane,
    /// Whose rights to use, resolved to a token only when used.
    pub credential: Credential,
    /// The source branch to work on.
    pub from_ref: GitRef,
    /// The target branch.
    pub to_ref: GitRef,
    /// The path of the file that the mention's thread is on; what instructs an agent there counts for the run.
    #[serde(default)]
    pub near: Option<String>,
    /// The pull request's title, for the commit message.
    pub title: String,
    /// The commit the source branch must be at, or the beginning of its SHA in lower case; elsewhere nothing is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_head: Option<String>,
    /// The threads that the brief shows as work and that may be answered; no other one is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<OpenThread>,
    /// The brief in the object store.
    pub brief: Artifact,
}

/// A thread or a task that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenThread {
    /// Its first comment.
    pub comment: CommentId,
    /// Whether it is a task, which can be ticked.
    #[serde(default)]
    pub is_task: bool,
}

impl Message for Job {
    const NAME: &'static str = "job";
}

/// Whose token to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Credential {
    /// The connection.
    pub connection: ConnectionId,
    /// Who acts through it.
    pub actor: Actor,
}

/// Who acts. A signed-in user joins here with the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The connection's bot.
    Bot,
}

/// An object in the store `artifacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// The object's name, `<run>/<name>`.
    pub key: String,
    /// Its size.
    pub bytes: u64,
}
