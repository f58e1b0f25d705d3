//! Pull requests and the source branch's existence (bitbucket-dc.md 3.5).

use std::ops::ControlFlow;

use jiff::Timestamp;
use pipeline::event::{GitRef, Person, Repository};
use pipeline::ids::{CommitId, PullRequestId};
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::reading::{self, Unreadable, inside};
use crate::route;

/// Branches per page; `filterText` also finds branches whose name only contains the text.
const BRANCHES_PER_PAGE: u32 = 100;

/// A pull request as it is now.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own in Bitbucket's answer"
)]
pub struct PullRequest {
    /// Its number.
    pub id: PullRequestId,
    /// Optimistic-locking version.
    pub version: u32,
    /// What it is called.
    pub title: String,
    /// Markdown; empty where there is none.
    pub description: String,
    /// `OPEN`, `MERGED` or `DECLINED`, as Bitbucket spells it.
    pub state: String,
    /// Whether it is open.
    pub open: bool,
    /// Whether it is a draft (since 8.18).
    pub draft: bool,
    /// Who opened it; absent for deleted users.
    pub author: Option<Person>,
    /// Names of those who are asked to review.
    pub reviewers: Vec<String>,
    /// Source branch. Its `latest_commit` may lag behind the branch by a moment.
    pub from_ref: GitRef,
    /// Target branch.
    pub to_ref: GitRef,
    /// Whether the source branch's repository takes no push any more (since 8.0).
    pub source_archived: bool,
    /// Whether nothing can be written in the target branch's repository any more: no push, and no comment.
    pub target_archived: bool,
    /// When it was opened.
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
}

impl PullRequest {
    /// Whether the source branch is in another repository than the target's.
    pub fn is_from_fork(&self) -> bool {
        self.from_ref.repository.id != self.to_ref.repository.id
    }
}

impl Client {
    /// The pull request as it is now. Follows a renamed repository: `to_ref.repository` has the current names.
    pub async fn pull_request(
        &self,
        repository: &Repository,
        id: PullRequestId,
    ) -> Result<PullRequest, Error> {
        let [project, slug] = route::of(repository);
        let value = self
            .get(route::PULL_REQUEST, &[project, slug, &id.to_string()], &[])
            .await?;
        read(&value).map_err(Error::from)
    }

    /// The head of a branch (`refs/heads/…`), or `None` where the branch does not exist.
    pub async fn branch_head(
        &self,
        repository: &Repository,
        branch: &str,
    ) -> Result<Option<CommitId>, Error> {
        let name = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        let mut head = None;
        // The best match first, so that the first page has it.
        let query = [("filterText", name), ("boostMatches", "true")];
        self.pages(
            route::BRANCHES,
            &route::of(repository),
            &query,
            BRANCHES_PER_PAGE,
            |branches| {
                let is_it =
                    |b: &&Value| reading::optional_text(b, "displayId").is_some_and(|shown| shown == name);
                let found = branches.iter().find(is_it);
                head = found.and_then(|branch| reading::commit(branch, "latestCommit"));
                Ok(if found.is_some() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            },
        )
        .await?;
        Ok(head)
    }
}

pub(crate) fn read(value: &Value) -> Result<PullRequest, Unreadable> {
    let travelling = reading::pull_request(value)?;
    Ok(PullRequest {
        id: travelling.id,
        version: travelling.version,
        title: reading::text(value, "title")?,
        description: reading::optional_text(value, "description").unwrap_or_default(),
        open: reading::flag(value, "open").unwrap_or(travelling.state == "OPEN"),
        state: travelling.state,
        draft: reading::flag(value, "draft").unwrap_or(false),
        author: inside(value, "author", |author| {
            Ok(author.get("user").and_then(reading::person))
        })
        .unwrap_or(None),
        reviewers: reading::list(value, "reviewers")
            .iter()
            .filter_map(|reviewer| Some(reading::person(reviewer.get("user")?)?.name))
            .collect(),
        from_ref: travelling.from_ref,
        to_ref: travelling.to_ref,
        source_archived: is_archived(value, "fromRef"),
        target_archived: is_archived(value, "toRef"),
        created_at: reading::time(value, "createdDate"),
        updated_at: reading::time(value, "updatedDate"),
    })
}

fn is_archived(value: &Value, end: &str) -> bool {
    let archived = value.pointer(&format!("/{end}/repository/archived"));
    archived.and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_request_is_read_with_and_without_its_optional_parts() {
        let mut value: Value =
            serde_json::from_str(include_str!("../fixtures/rest_pull_request.json")).unwrap();
        let full = read(&value).unwrap();
        assert!(full.open && !full.draft && !full.is_from_fork());
        assert_eq!(
            full.author.as_ref().map(|author| author.name.as_str()),
            Some("jcitizen")
        );
        for key in [
            "description",
            "draft",
            "open",
            "author",
            "createdDate",
            "updatedDate",
        ] {
            value.as_object_mut().unwrap().remove(key);
        }
        let bare = read(&value).unwrap();
        assert_eq!(
            (bare.description.as_str(), bare.open, bare.author),
            ("", true, None)
        );
        assert_eq!(bare.from_ref, full.from_ref);
    }

    #[test]
    fn each_end_of_a_pull_request_may_be_archived() {
        let mut value: Value =
            serde_json::from_str(include_str!("../fixtures/rest_pull_request.json")).unwrap();
        let ends = |value: &Value| {
            let read = read(value).unwrap();
            (read.source_archived, read.target_archived)
        };
        assert_eq!(ends(&value), (false, false));
        value["toRef"]["repository"]["archived"] = true.into();
        assert_eq!(ends(&value), (false, true));
        value["fromRef"]["repository"]["archived"] = true.into();
        value["toRef"]["repository"]["archived"] = false.into();
        assert_eq!(ends(&value), (true, false));
    }

    #[test]
    fn a_pull_request_of_a_fork_has_its_source_elsewhere() {
        let mut value: Value =
            serde_json::from_str(include_str!("../fixtures/rest_pull_request.json")).unwrap();
        value["fromRef"]["repository"] =
            serde_json::from_str(include_str!("../fixtures/repository_personal.json")).unwrap();
        let fork = read(&value).unwrap();
        assert!(fork.is_from_fork());
        assert_eq!(fork.from_ref.repository.project.as_str(), "~JCITIZEN");
        assert_eq!(fork.to_ref.repository.project.as_str(), "PROJ");
    }
}
