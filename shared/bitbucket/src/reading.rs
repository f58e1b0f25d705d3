//! Reading Bitbucket's JSON, the same way for webhooks and REST.
//!
//! Optional things that are missing, null or of another type are absent; required ones name their path. So both
//! payload flavours (bitbucket-dc.md 2.4), any key order and unknown keys are read alike, and nothing panics.

use std::fmt;

use jiff::Timestamp;
use pipeline::event::{GitRef, Person, PullRequest, Repository};
use pipeline::ids::{CommentId, CommitId, ProjectKey, PullRequestId, RepositoryId, RepositorySlug};
use serde_json::Value;

/// A required part is missing or not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    path: String,
}

impl Unreadable {
    /// The part named `key` of the value at hand.
    pub(crate) fn at(key: &str) -> Self {
        Self { path: key.to_owned() }
    }

    /// The same, seen from the value that holds it under `key`.
    fn inside(self, key: &str) -> Self {
        Self {
            path: format!("{key}.{}", self.path),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is missing or not of its form", self.path)
    }
}

/// Reads the required part under `key`.
pub(crate) fn inside<T>(
    value: &Value,
    key: &str,
    read: impl FnOnce(&Value) -> Result<T, Unreadable>,
) -> Result<T, Unreadable> {
    let part = value
        .get(key)
        .filter(|part| !part.is_null())
        .ok_or_else(|| Unreadable::at(key))?;
    read(part).map_err(|unreadable| unreadable.inside(key))
}

/// A required text.
pub(crate) fn text(value: &Value, key: &str) -> Result<String, Unreadable> {
    optional_text(value, key).ok_or_else(|| Unreadable::at(key))
}

/// A text, absent when it is no text.
pub(crate) fn optional_text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

/// A required number that is not negative.
pub(crate) fn number(value: &Value, key: &str) -> Result<u64, Unreadable> {
    value
        .get(key)
        .and_then(Value::as_u64)
        .ok_or_else(|| Unreadable::at(key))
}

/// A required optimistic-locking version.
pub(crate) fn version(value: &Value) -> Result<u32, Unreadable> {
    number(value, "version").and_then(|n| u32::try_from(n).map_err(|_| Unreadable::at("version")))
}

/// A flag, absent when it is none.
pub(crate) fn flag(value: &Value, key: &str) -> Option<bool> {
    value.get(key)?.as_bool()
}

/// A list; what is no list has no members.
pub(crate) fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A point in time: epoch milliseconds or ISO 8601, whichever a field has (bitbucket-dc.md 2.4).
pub(crate) fn time(value: &Value, key: &str) -> Option<Timestamp> {
    match value.get(key)? {
        Value::Number(milliseconds) => Timestamp::from_millisecond(milliseconds.as_i64()?).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A commit id under `key`.
pub(crate) fn commit(value: &Value, key: &str) -> Option<CommitId> {
    CommitId::new(value.get(key)?.as_str()?.to_ascii_lowercase()).ok()
}

/// A user; absent for deleted users (bitbucket-dc.md 3.6) and for what has no name.
pub(crate) fn person(value: &Value) -> Option<Person> {
    let not_empty = |key| optional_text(value, key).filter(|text| !text.is_empty());
    Some(Person {
        id: value.get("id").and_then(Value::as_u64),
        name: not_empty("name")?,
        slug: not_empty("slug"),
        display_name: not_empty("displayName"),
        email: not_empty("emailAddress"),
        is_service: value.get("type").and_then(Value::as_str) == Some("SERVICE"),
    })
}

/// A repository of a project, also of a personal one.
pub(crate) fn repository(value: &Value) -> Result<Repository, Unreadable> {
    Ok(Repository {
        id: RepositoryId(number(value, "id")?),
        project: inside(value, "project", |project| {
            ProjectKey::new(text(project, "key")?).map_err(|_| Unreadable::at("key"))
        })?,
        slug: RepositorySlug::new(text(value, "slug")?).map_err(|_| Unreadable::at("slug"))?,
    })
}

/// One end of a pull request.
fn git_ref(value: &Value) -> Result<GitRef, Unreadable> {
    let id = text(value, "id")?;
    Ok(GitRef {
        display_id: optional_text(value, "displayId")
            .unwrap_or_else(|| id.strip_prefix("refs/heads/").unwrap_or(&id).to_owned()),
        latest_commit: commit(value, "latestCommit").ok_or_else(|| Unreadable::at("latestCommit"))?,
        repository: inside(value, "repository", repository)?,
        id,
    })
}

/// A pull request, reduced to what travels.
pub(crate) fn pull_request(value: &Value) -> Result<PullRequest, Unreadable> {
    Ok(PullRequest {
        id: PullRequestId(number(value, "id")?),
        version: version(value)?,
        state: text(value, "state")?,
        from_ref: inside(value, "fromRef", git_ref)?,
        to_ref: inside(value, "toRef", git_ref)?,
    })
}

/// The id of a comment.
pub(crate) fn comment_id(value: &Value) -> Result<CommentId, Unreadable> {
    number(value, "id").map(CommentId)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_is_read_in_every_form_that_was_seen() {
        let expected: Timestamp = "2025-06-17T06:57:00.120Z".parse().unwrap();
        for written in [
            json!(1_750_143_420_120_i64),
            json!("2025-06-17T06:57:00.120Z"),
            json!("2025-06-17T06:57:00.120+0000"),
            json!("2025-06-17T08:57:00.120+02:00"),
        ] {
            assert_eq!(
                time(&json!({ "date": written }), "date"),
                Some(expected),
                "{written}"
            );
        }
    }

    #[test]
    fn a_time_that_is_none_is_absent() {
        for written in [
            json!(null),
            json!(true),
            json!("yesterday"),
            json!(i64::MAX),
            json!(1.5),
            json!([1]),
        ] {
            assert_eq!(time(&json!({ "date": written }), "date"), None, "{written}");
        }
    }

    #[test]
    fn what_is_missing_is_named_by_its_path() {
        let value = json!({"id": 7, "version": 1, "state": "OPEN", "fromRef": {"id": "refs/heads/x"}});
        assert_eq!(
            pull_request(&value).unwrap_err().to_string(),
            "`fromRef.latestCommit` is missing or not of its form"
        );
    }

    #[test]
    fn a_user_without_a_name_is_nobody() {
        assert_eq!(person(&json!({"id": 1})), None);
        assert_eq!(person(&json!(null)), None);
        let service = person(&json!({"name": "token", "type": "SERVICE"})).unwrap();
        assert_eq!((service.id, service.email), (None, None));
        assert!(service.is_service);
        assert!(
            !person(&json!({"name": "alice", "type": "NORMAL"}))
                .unwrap()
                .is_service
        );
    }
}
