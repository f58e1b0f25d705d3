//! Build statuses (bitbucket-dc.md 3.9).

use super::ids::RepositoryId;

/// One build status; the key is unique per commit and repository.
#[derive(Clone, Debug)]
pub(crate) struct BuildStatus {
    pub(crate) repository: RepositoryId,
    pub(crate) commit: String,
    pub(crate) key: String,
    pub(crate) state: String,
    pub(crate) url: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) branch: Option<String>,
    pub(crate) build_number: Option<String>,
    pub(crate) duration: Option<i64>,
    pub(crate) test_results: Option<serde_json::Value>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
}
