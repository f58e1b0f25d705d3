//! Build results of a commit (bitbucket-dc.md 3.9).

use jiff::Timestamp;
use pipeline::ids::CommitId;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::reading;
use crate::route;

/// The one list there is shows the newest hundred.
const BUILDS_MAX: &str = "100";

/// One build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStatus {
    /// What the build server calls it; the newest result of a key replaces the one before.
    pub key: String,
    /// What people call it.
    pub name: Option<String>,
    /// `SUCCESSFUL`, `FAILED`, `INPROGRESS`, `CANCELLED` or `UNKNOWN`.
    pub state: String,
    /// Where its log is.
    pub url: Option<String>,
    /// What the build server says about it.
    pub description: Option<String>,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
}

impl Client {
    /// The newest build results of a commit, newest first, at most 100.
    pub async fn build_statuses(&self, commit: &CommitId) -> Result<Vec<BuildStatus>, Error> {
        let query = [("orderBy", "NEWEST"), ("limit", BUILDS_MAX)];
        let page = self
            .get(route::BUILD_STATUSES, &[commit.as_str()], &query)
            .await?;
        Ok(reading::list(&page, "values").iter().filter_map(read).collect())
    }
}

fn read(value: &Value) -> Option<BuildStatus> {
    let text = |key| reading::optional_text(value, key);
    Some(BuildStatus {
        key: text("key")?,
        name: text("name"),
        state: text("state")?,
        url: text("url"),
        description: text("description"),
        updated_at: ["updatedDate", "dateAdded", "createdDate"]
            .into_iter()
            .find_map(|key| reading::time(value, key)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_read() {
        let value = serde_json::from_str(include_str!("../fixtures/rest_build_status.json")).unwrap();
        let build = read(&value).unwrap();
        assert_eq!((build.key.as_str(), build.state.as_str()), ("CI-1", "SUCCESSFUL"));
        assert!(build.updated_at.is_some());
    }
}
