//! Pull requests.

use std::collections::BTreeMap;

use super::activity::Activity;
use super::comment::Comment;
use super::ids::{CommentId, PullRequestId, RepositoryId, UserId};

/// `OPEN`, `MERGED` or `DECLINED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullRequestState {
    Open,
    Merged,
    Declined,
}

impl PullRequestState {
    /// Bitbucket's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            PullRequestState::Open => "OPEN",
            PullRequestState::Merged => "MERGED",
            PullRequestState::Declined => "DECLINED",
        }
    }
}

/// One end of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefEnd {
    pub(crate) repository: RepositoryId,
    /// Full ref name, `refs/heads/…`.
    pub(crate) name: String,
    /// The commit it pointed to when last seen; kept when the branch is deleted.
    pub(crate) commit: String,
}

impl RefEnd {
    /// The short branch name.
    pub(crate) fn display_id(&self) -> &str {
        self.name.strip_prefix("refs/heads/").unwrap_or(&self.name)
    }
}

/// `UNAPPROVED`, `NEEDS_WORK` or `APPROVED`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReviewStatus {
    #[default]
    Unapproved,
    NeedsWork,
    Approved,
}

impl ReviewStatus {
    /// Bitbucket's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ReviewStatus::Unapproved => "UNAPPROVED",
            ReviewStatus::NeedsWork => "NEEDS_WORK",
            ReviewStatus::Approved => "APPROVED",
        }
    }

    /// Parses Bitbucket's word.
    pub(crate) fn parse(name: &str) -> Option<ReviewStatus> {
        match name {
            "UNAPPROVED" => Some(ReviewStatus::Unapproved),
            "NEEDS_WORK" => Some(ReviewStatus::NeedsWork),
            "APPROVED" => Some(ReviewStatus::Approved),
            _ => None,
        }
    }
}

/// A reviewer or participant.
#[derive(Clone, Debug)]
pub(crate) struct Participant {
    pub(crate) user: UserId,
    pub(crate) status: ReviewStatus,
    pub(crate) last_reviewed_commit: Option<String>,
}

impl Participant {
    /// Somebody who has not given an opinion.
    pub(crate) fn new(user: UserId) -> Participant {
        Participant {
            user,
            status: ReviewStatus::default(),
            last_reviewed_commit: None,
        }
    }
}

/// A pull request with its comments and history.
#[derive(Clone, Debug)]
pub(crate) struct PullRequest {
    pub(crate) id: PullRequestId,
    pub(crate) version: u64,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) state: PullRequestState,
    pub(crate) draft: bool,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) closed: Option<i64>,
    pub(crate) from: RefEnd,
    pub(crate) to: RefEnd,
    pub(crate) author: UserId,
    pub(crate) reviewers: Vec<Participant>,
    pub(crate) participants: Vec<Participant>,
    pub(crate) merge_commit: Option<String>,
    pub(crate) comments: BTreeMap<CommentId, Comment>,
    /// Oldest first.
    pub(crate) activities: Vec<Activity>,
}

impl PullRequest {
    /// Whether it can still change.
    pub(crate) fn is_open(&self) -> bool {
        self.state == PullRequestState::Open
    }

    /// Makes a commenter a participant, unless they already take part.
    pub(crate) fn take_part(&mut self, user: UserId) {
        let known = |list: &[Participant]| list.iter().any(|participant| participant.user == user);
        if user != self.author && !known(&self.reviewers) && !known(&self.participants) {
            self.participants.push(Participant::new(user));
        }
    }

    /// Direct replies to a comment, oldest first.
    pub(crate) fn replies(&self, parent: CommentId) -> impl Iterator<Item = &Comment> {
        self.comments
            .values()
            .filter(move |comment| comment.parent == Some(parent))
    }
}
