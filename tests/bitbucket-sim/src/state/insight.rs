//! Code insight reports and annotations (bitbucket-dc.md 3.9).

use super::ids::UserId;

/// A report on a commit, with its annotations.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) commit: String,
    pub(crate) key: String,
    pub(crate) creator: UserId,
    pub(crate) created: i64,
    /// The document as given, checked against the limits.
    pub(crate) fields: serde_json::Map<String, serde_json::Value>,
    pub(crate) annotations: Vec<serde_json::Map<String, serde_json::Value>>,
}
