//! Ids and trees of commits, as gix has them.

use pipeline::ids::CommitId;

use crate::error::Error;

/// A commit id as gix knows it.
pub(crate) fn object_id(commit: &CommitId) -> gix::ObjectId {
    gix::ObjectId::from_hex(commit.as_str().as_bytes()).expect("a commit id is 40 hex digits")
}

/// And back.
pub(crate) fn commit_id(id: &gix::oid) -> CommitId {
    CommitId::new(id.to_hex().to_string()).expect("sha-1 object ids are 40 lower-case hex digits")
}

/// The commit's root tree.
pub(crate) fn tree_of(repo: &gix::Repository, commit: &CommitId) -> Result<gix::ObjectId, Error> {
    let commit = repo.find_commit(object_id(commit)).map_err(Error::damaged)?;
    Ok(commit.tree_id().map_err(Error::damaged)?.detach())
}
