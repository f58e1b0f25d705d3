//! The world document of `POST /sim/v1/world`, as people write it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::state::repository::HttpClone;
use crate::state::world::ServerSwitches;

/// Users, groups, projects, repositories and pull requests to add.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) users: Vec<UserDoc>,
    pub(crate) groups: Vec<GroupDoc>,
    pub(crate) projects: Vec<ProjectDoc>,
    pub(crate) repositories: Vec<RepositoryDoc>,
    pub(crate) pull_requests: Vec<PullRequestDoc>,
    /// How this instance differs from the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<ServerSwitches>,
}

/// A user, known by name.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UserDoc {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slug: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    /// For Basic authentication; without one only tokens work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    pub(crate) admin: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) active: Option<bool>,
    pub(crate) tokens: Vec<TokenDoc>,
}

/// A user token, known by its secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenDoc {
    pub(crate) token: String,
    pub(crate) permission: String,
    /// How the request log names it; else made from the user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// A group of users.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupDoc {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) members: Vec<String>,
}

/// A project, known by key; `~name` is a personal one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProjectDoc {
    pub(crate) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// User name or `@group` to `PROJECT_READ`, `PROJECT_WRITE` or `PROJECT_ADMIN`.
    pub(crate) permissions: BTreeMap<String, String>,
}

/// A repository, known by project and slug.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RepositoryDoc {
    pub(crate) project: String,
    pub(crate) slug: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_branch: Option<String>,
    pub(crate) branches: BTreeMap<String, BranchDoc>,
    /// Absolute path of a git bundle, instead of `branches`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bundle: Option<PathBuf>,
    /// Absolute path of a directory, which becomes one commit on the default branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) directory: Option<PathBuf>,
    /// `KEY/slug` of the repository this one is a fork of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fork_of: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) public: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) archived: bool,
    pub(crate) http_clone: HttpClone,
    /// User name or `@group` to `REPO_READ`, `REPO_WRITE` or `REPO_ADMIN`.
    pub(crate) permissions: BTreeMap<String, String>,
}

/// A branch with one commit.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BranchDoc {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// Path to content; null deletes a file that `from` has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) files: BTreeMap<String, Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// Name of the user who commits; else the simulator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    /// The commit it points to; only in what `GET` returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<String>,
}

/// A pull request; always a new one unless its id is known.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PullRequestDoc {
    /// `KEY/slug` of the target repository.
    pub(crate) repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    pub(crate) from: String,
    pub(crate) to: String,
    /// `KEY/slug` of the fork that the source branch is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from_repository: Option<String>,
    pub(crate) author: String,
    pub(crate) title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reviewers: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) draft: bool,
    /// Only in what `GET` returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
}
