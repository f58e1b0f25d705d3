//! Addresses of repositories for git and for people. Built, not taken from `links`: those may carry a user name or
//! lack the http entry (bitbucket-dc.md 2.5), and a proxy may show Bitbucket under another name.

use pipeline::event::Repository;
use pipeline::ids::{CommentId, CommitId, PullRequestId};

use crate::client::Client;

impl Client {
    /// The base URL, with the context path, without trailing slash.
    pub fn base_url(&self) -> &str {
        &self.inner.base
    }

    /// Where git fetches from and pushes to: `<base>/scm/<key>/<slug>.git`, without credentials.
    pub fn clone_url(&self, repository: &Repository) -> String {
        let project = repository.project.as_str().to_lowercase();
        format!("{}/scm/{project}/{}.git", self.inner.base, repository.slug)
    }

    /// A pull request's page.
    pub fn web_url_pull_request(&self, repository: &Repository, id: PullRequestId) -> String {
        format!("{}/pull-requests/{id}", self.web_url_repository(repository))
    }

    /// A comment on its pull request's page.
    pub fn web_url_comment(&self, repository: &Repository, id: PullRequestId, comment: CommentId) -> String {
        format!(
            "{}/overview?commentId={comment}",
            self.web_url_pull_request(repository, id)
        )
    }

    /// A pull request's diff.
    pub fn web_url_diff(&self, repository: &Repository, id: PullRequestId) -> String {
        format!("{}/diff", self.web_url_pull_request(repository, id))
    }

    /// A commit's page.
    pub fn web_url_commit(&self, repository: &Repository, commit: &CommitId) -> String {
        format!("{}/commits/{commit}", self.web_url_repository(repository))
    }

    /// A repository's page. Personal repositories are below their owner, not below a project (bitbucket-dc.md 2.5).
    pub fn web_url_repository(&self, repository: &Repository) -> String {
        let project = repository.project.as_str();
        let owner = match project.strip_prefix('~') {
            Some(user) => format!("users/{}", user.to_lowercase()),
            None => format!("projects/{project}"),
        };
        format!("{}/{owner}/repos/{}", self.inner.base, repository.slug)
    }
}
