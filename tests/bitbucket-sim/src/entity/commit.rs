//! Commits.

use crate::git::commits::{Commit, Signature};
use crate::json::{Json, object};

/// Bitbucket shows eleven digits of a commit id.
const DISPLAY_ID_LENGTH: usize = 11;

/// The short form of a commit id.
pub(crate) fn display_id(id: &str) -> &str {
    id.get(..DISPLAY_ID_LENGTH).unwrap_or(id)
}

/// `{id, displayId}` of a commit.
pub(crate) fn minimal(id: &str) -> Json {
    object! { "id": id, "displayId": display_id(id) }
}

/// A commit entity with minimal parents.
pub(crate) fn commit(commit: &Commit) -> Json {
    object! {
        "id": &commit.id,
        "displayId": display_id(&commit.id),
        "author": signature(&commit.author),
        "authorTimestamp": Json::Time(commit.author.at),
        "committer": signature(&commit.committer),
        "committerTimestamp": Json::Time(commit.committer.at),
        "message": &commit.message,
        "parents": commit.parents.iter().map(|parent| minimal(parent)).collect::<Vec<_>>(),
    }
}

fn signature(signature: &Signature) -> Json {
    object! { "name": &signature.name, "emailAddress": &signature.email }
}
