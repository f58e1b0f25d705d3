//! Names of refs: those that may be asked for, and those that are kept.

use gix::bstr::ByteSlice;
use pipeline::ids::PullRequestId;

use crate::error::Error;

/// Only branches, spelled in full: a leading dash or a colon can then mean nothing, and no tag is ever touched. For
/// reading also what Bitbucket keeps of a pull request's source, [`crate::pull_request_ref`].
pub(crate) fn check_branch(branch: &str) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::Invalid(format!("ref {branch:?}: {why}")));
    if !branch.starts_with("refs/heads/") && !is_pull_request_ref(branch) {
        return refuse("is not a full branch name");
    }
    match gix::validate::reference::name(branch.as_bytes().as_bstr()) {
        Ok(_) => Ok(()),
        Err(why) => refuse(&why.to_string()),
    }
}

/// Where the target repository has the head of a pull request's source branch, also of one in a fork that the bot does
/// not see (bitbucket-dc.md 7). It can be fetched, and not be pushed to.
pub fn pull_request_ref(id: PullRequestId) -> String {
    format!("refs/pull-requests/{id}/from")
}

pub(crate) fn is_pull_request_ref(name: &str) -> bool {
    let id = name.strip_prefix("refs/pull-requests/");
    id.and_then(|rest| rest.strip_suffix("/from"))
        .is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
}

/// The local ref that keeps what was fetched of a branch. Named by a hash: branch `a` may be replaced by `a/b`, and
/// names may be longer or odder than the file system takes.
pub(crate) fn tip_ref(branch: &str) -> String {
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(branch.as_bytes());
    let id = hasher
        .try_finalize()
        .expect("hashing a ref name does not collide");
    format!("refs/tips/{id}")
}
