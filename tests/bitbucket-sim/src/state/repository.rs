//! Projects, repositories, and what hangs on a repository beside pull requests.

use std::collections::BTreeMap;

use super::build::BuildStatus;
use super::ids::{ProjectId, PullRequestId, RepositoryId, UserId};
use super::insight::Report;
use super::permission::Grants;
use super::pull_request::PullRequest;
use super::webhook::Webhook;

/// A project; a personal one (`~alice`) has an owner.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) id: ProjectId,
    /// Upper case, also for personal projects (`~ALICE`).
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) owner: Option<UserId>,
    pub(crate) permissions: Grants,
    pub(crate) webhooks: Vec<Webhook>,
}

/// How the `http` entry of `links.clone` looks (bitbucket-dc.md 2.5, end).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HttpClone {
    /// A plain URL.
    #[default]
    Plain,
    /// The caller's user name is part of the URL, as older builds do.
    UserInfo,
    /// The entry is missing, as when HTTP for git is switched off.
    Missing,
}

/// A repository; its objects and refs are in a bare git repository named by the id.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub(crate) id: RepositoryId,
    pub(crate) project: ProjectId,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) fork_of: Option<RepositoryId>,
    pub(crate) public: bool,
    pub(crate) archived: bool,
    pub(crate) http_clone: HttpClone,
    /// Display name of the default branch, which need not exist.
    pub(crate) default_branch: String,
    /// Full ref name to commit id, for branches and tags; what git says, remembered.
    pub(crate) refs: BTreeMap<String, String>,
    pub(crate) permissions: Grants,
    pub(crate) webhooks: Vec<Webhook>,
    pub(crate) pull_requests: BTreeMap<PullRequestId, PullRequest>,
    pub(crate) last_pull_request: u64,
    /// Newest last.
    pub(crate) builds: Vec<BuildStatus>,
    pub(crate) reports: Vec<Report>,
}
