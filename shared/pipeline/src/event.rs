//! Event: one signed delivery from Bitbucket, reduced to what the pipeline needs and the same for both payload flavours.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{
    CommentId, CommitId, ConnectionId, DeliveryId, InstanceId, Lane, ProjectKey, PullRequestId, RepositoryId,
    RepositorySlug,
};
use crate::message::Message;

/// A delivery that was verified and understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Message version.
    pub v: u32,
    /// Bitbucket's request id, or one made up where the header was missing.
    pub delivery: DeliveryId,
    /// The connection whose secret signed it.
    pub connection: ConnectionId,
    /// The Bitbucket instance behind the connection.
    pub instance: InstanceId,
    /// When ingest received it.
    #[schemars(with = "String")]
    pub received_at: Timestamp,
    /// The repository the event is about; for pull requests the target repository.
    pub repository: Repository,
    /// Who did it; absent for deleted users.
    pub actor: Option<Person>,
    /// The pull request, as it was then.
    pub pull_request: Option<PullRequest>,
    /// What happened.
    pub body: EventBody,
}

impl Message for Event {
    const NAME: &'static str = "event";
}

impl Event {
    /// The lane the event belongs to.
    pub fn lane(&self) -> Lane {
        self.pull_request
            .as_ref()
            .map_or_else(Lane::none, |pr| Lane::of_pull_request(pr.id))
    }
}

/// What happened, by Bitbucket's event keys (bitbucket-dc.md 2.3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EventBody {
    /// `pr:comment:added`
    CommentAdded {
        /// The new comment.
        comment: Comment,
    },
    /// `pr:comment:edited`; also fired when a thread is resolved or reopened, with the text unchanged.
    CommentEdited {
        /// The comment after the edit.
        comment: Comment,
        /// The text before.
        previous_text: Option<String>,
    },
    /// `pr:comment:deleted`
    CommentDeleted {
        /// The comment as it last was.
        comment: Comment,
    },
    /// `pr:opened`
    PullRequestOpened,
    /// `pr:modified`: title, description, target or draft state.
    PullRequestModified,
    /// `pr:from_ref_updated`: the source branch moved.
    SourceBranchMoved {
        /// The head before.
        previous: Option<CommitId>,
    },
    /// `pr:merged`
    PullRequestMerged,
    /// `pr:declined`
    PullRequestDeclined,
    /// `pr:deleted`
    PullRequestDeleted,
    /// `pr:reviewer:*`: reviewers added, removed, or one of them voted.
    ReviewersChanged {
        /// Names added.
        added: Vec<String>,
        /// Names removed.
        removed: Vec<String>,
        /// The vote, as Bitbucket spells it (`APPROVED`, `NEEDS_WORK`, `UNAPPROVED`).
        status: Option<String>,
    },
    /// `repo:refs_changed`
    RefsChanged {
        /// Full ref names that changed.
        refs: Vec<String>,
    },
}

impl EventBody {
    /// The last token of the event's subject.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CommentAdded { .. } => "comment-added",
            Self::CommentEdited { .. } => "comment-edited",
            Self::CommentDeleted { .. } => "comment-deleted",
            Self::PullRequestOpened => "pull-request-opened",
            Self::PullRequestModified => "pull-request-modified",
            Self::SourceBranchMoved { .. } => "source-branch-moved",
            Self::PullRequestMerged => "pull-request-merged",
            Self::PullRequestDeclined => "pull-request-declined",
            Self::PullRequestDeleted => "pull-request-deleted",
            Self::ReviewersChanged { .. } => "reviewers-changed",
            Self::RefsChanged { .. } => "refs-changed",
        }
    }
}

/// A repository, by its lasting id and by the names it has now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Repository {
    /// Numeric id.
    pub id: RepositoryId,
    /// Project key, as Bitbucket wrote it.
    pub project: ProjectKey,
    /// Slug.
    pub slug: RepositorySlug,
}

/// A Bitbucket user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// Numeric id; stays when the user is renamed.
    pub id: Option<u64>,
    /// The name that mentions use.
    pub name: String,
    /// The slug that REST paths use; differs from the name for names with special characters.
    pub slug: Option<String>,
    /// What people see.
    pub display_name: Option<String>,
    /// Missing for service users and where it is hidden.
    pub email: Option<String>,
    /// Whether a token of a project or repository acts, or another program that Bitbucket knows as one
    /// (bitbucket-dc.md 4.1).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_service: bool,
}

/// A pull request as an event showed it; may be out of date when it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PullRequest {
    /// Its number.
    pub id: PullRequestId,
    /// Optimistic-locking version.
    pub version: u32,
    /// `OPEN`, `MERGED` or `DECLINED`, as Bitbucket spells it.
    pub state: String,
    /// Source branch.
    pub from_ref: GitRef,
    /// Target branch.
    pub to_ref: GitRef,
}

/// A branch of a repository at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitRef {
    /// Full ref name, `refs/heads/...`.
    pub id: String,
    /// Short name.
    pub display_id: String,
    /// The head Bitbucket reported.
    pub latest_commit: CommitId,
    /// The repository the branch is in; a fork's for the source branch of a fork's pull request.
    pub repository: Repository,
}

/// A comment as an event showed it. Webhooks carry no anchor (bitbucket-dc.md 2.5, 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comment {
    /// Id.
    pub id: CommentId,
    /// Rises with every edit.
    pub version: u32,
    /// Markdown.
    pub text: String,
    /// Absent for deleted users.
    pub author: Option<Person>,
    /// The comment this one replies to.
    pub parent: Option<CommentId>,
    /// When it was written.
    #[schemars(with = "Option<String>")]
    pub created_at: Option<Timestamp>,
    /// When it was last edited.
    #[schemars(with = "Option<String>")]
    pub updated_at: Option<Timestamp>,
}
