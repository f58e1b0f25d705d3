//! Pull requests, participants and refs.

use super::{Render, commit, self_link};
use crate::json::{Json, object};
use crate::state::comment::CommentState;
use crate::state::ids::PullRequestKey;
use crate::state::pull_request::{Participant, PullRequest, RefEnd, ReviewStatus};

impl Render<'_> {
    /// A pull request entity, as REST and webhooks have it.
    pub(crate) fn pull_request(&self, key: PullRequestKey) -> Json {
        let Ok(pr) = self.world.pull_request(key) else {
            return Json::Null;
        };
        let participants = |list: &[Participant], role: &str| -> Vec<Json> {
            list.iter()
                .map(|participant| self.participant(participant, role))
                .collect()
        };
        let merge_commit = pr.merge_commit.as_ref();
        object! { "id": pr.id, "version": pr.version, "title": &pr.title }
            .with_some("description", pr.description.as_ref())
            .with("state", pr.state.name())
            .with("open", pr.is_open())
            .with("closed", !pr.is_open())
            .with("draft", pr.draft)
            .with("createdDate", Json::Time(pr.created))
            .with("updatedDate", Json::Time(pr.updated))
            .with("fromRef", self.ref_end(&pr.from))
            .with("toRef", self.ref_end(&pr.to))
            .with("locked", false)
            .with("author", self.participant(&Participant::new(pr.author), "AUTHOR"))
            .with("reviewers", participants(&pr.reviewers, "REVIEWER"))
            .with("participants", participants(&pr.participants, "PARTICIPANT"))
            .with("links", self_link(self.pull_request_page(key)))
            .with_some("closedDate", pr.closed.map(Json::Time))
            .with_some(
                "properties",
                merge_commit.map(|id| object! { "mergeCommit": commit::minimal(id) }),
            )
    }

    /// The counts shown on lists, and on one pull request with `withProperties=true`.
    pub(crate) fn properties(pr: &PullRequest) -> Json {
        let comments = pr
            .comments
            .values()
            .filter(|c| c.state != CommentState::Pending)
            .count();
        let tasks = |state| {
            pr.comments
                .values()
                .filter(|c| c.blocker && c.state == state)
                .count()
        };
        let merge_commit = pr.merge_commit.as_ref();
        object! {
            "resolvedTaskCount": tasks(CommentState::Resolved),
            "commentCount": comments,
            "openTaskCount": tasks(CommentState::Open),
        }
        .with_some("mergeCommit", merge_commit.map(|id| commit::minimal(id)))
    }

    /// The web page of a pull request.
    pub(crate) fn pull_request_page(&self, key: PullRequestKey) -> String {
        let repository = self.world.repositories.get(&key.repository);
        let path = repository
            .map(|repository| self.repository_path(repository))
            .unwrap_or_default();
        format!("{}{path}/pull-requests/{}", self.base_url, key.id)
    }

    /// A participant entity.
    pub(crate) fn participant(&self, participant: &Participant, role: &str) -> Json {
        object! { "user": self.user(participant.user) }
            .with_some("lastReviewedCommit", participant.last_reviewed_commit.as_ref())
            .with("role", role)
            .with("approved", participant.status == ReviewStatus::Approved)
            .with("status", participant.status.name())
    }

    fn ref_end(&self, end: &RefEnd) -> Json {
        object! {
            "id": &end.name,
            "displayId": end.display_id(),
            "latestCommit": &end.commit,
            "type": "BRANCH",
            "repository": self.repository_by_id(end.repository),
        }
    }
}
