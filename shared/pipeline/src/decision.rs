//! Decision: what was decided for a delivery and why, so that `runs why` can answer months of "nothing happened".

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Repository;
use crate::ids::{CommentId, ConnectionId, DeliveryId, InstanceId, Lane, PullRequestId, RunId};
use crate::message::Message;

/// One role's word on one delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// Message version.
    pub v: u32,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The role that decided.
    pub role: String,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The connection.
    pub connection: ConnectionId,
    /// The Bitbucket instance.
    pub instance: InstanceId,
    /// The repository, where one was named.
    pub repository: Option<Repository>,
    /// The pull request, where there is one.
    pub pull_request: Option<PullRequestId>,
    /// The comment, where there is one.
    pub comment: Option<CommentId>,
    /// The run that was started, amended or ended.
    pub run: Option<RunId>,
    /// What was decided.
    pub verdict: Verdict,
    /// Why, as a sentence.
    pub reason: String,
}

impl Message for Decision {
    const NAME: &'static str = "decision";
}

impl Decision {
    /// The lane of the decision's subject.
    pub fn lane(&self) -> Lane {
        self.pull_request.map_or_else(Lane::none, Lane::of_pull_request)
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing in it for us.
    Ignored,
    /// Seen before.
    Duplicate,
    /// Passed on to the next role.
    Accepted,
    /// A run was queued.
    Queued,
    /// A queued run was changed.
    Amended,
    /// A run was ended.
    Cancelled,
    /// Not allowed.
    Refused,
    /// It could not be decided.
    Failed,
}
