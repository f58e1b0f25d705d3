//! What the mirror has of each branch: refs of its own, named by the branch, moved anywhere.

use gix::refs::transaction::PreviousValue;
use pipeline::ids::CommitId;

use crate::error::Error;
use crate::mirror::object_id;
use crate::ref_name::tip_ref;
use crate::remote::Remote;

/// Tips told to the server beside the branch's own. They save sending what other branches have brought; more than a
/// few rarely save more than they cost.
const HAVES_MAX: usize = 32;

/// Whose branches are fetched; what was fetched of them is noted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The repository's that is mirrored.
    Own,
    /// Another repository's, such as the one a fork was made of: it may have a branch of the same name.
    Foreign,
}

/// The local ref that keeps what was fetched of a branch. No branch has a space in its name, so a foreign one is
/// never taken for one of the mirrored repository.
pub(super) fn tip_of(remote: &Remote, whose: Whose, branch: &str) -> String {
    match whose {
        Whose::Own => tip_ref(branch),
        Whose::Foreign => tip_ref(&format!("{} {branch}", remote.url)),
    }
}

/// What was last fetched of the branch, if it is still here.
pub(super) fn tip_at(repo: &gix::Repository, tip: &str) -> Option<gix::ObjectId> {
    let reference = repo.try_find_reference(tip).ok()??;
    let id = reference.try_id()?.detach();
    repo.has_object(id).then_some(id)
}

/// Commits to tell the server that we have them.
pub(super) fn tips(repo: &gix::Repository) -> Vec<gix::ObjectId> {
    let Ok(references) = repo.references() else {
        return Vec::new();
    };
    let Ok(all) = references.prefixed("refs/tips/") else {
        return Vec::new();
    };
    let ids = all.filter_map(|reference| Some(reference.ok()?.try_id()?.detach()));
    let mut ids: Vec<_> = ids.filter(|id| repo.has_object(id)).take(HAVES_MAX).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Notes what the mirror has of the branch. Its own ref, moved anywhere; nothing of the server's.
pub(super) fn set_tip_at(repo: &gix::Repository, tip: &str, head: gix::ObjectId) -> Result<(), Error> {
    repo.reference(tip, head, PreviousValue::Any, "fetch")
        .map_err(Error::damaged)?;
    Ok(())
}

/// As after a fetch, after a push. The push stands whatever happens here; the next fetch only costs more.
pub(crate) fn note_pushed(repo: &gix::Repository, branch: &str, head: &CommitId) {
    if let Err(error) = set_tip_at(repo, &tip_ref(branch), object_id(head)) {
        tracing::warn!(branch, %error, "the mirror's own ref could not be moved after a push");
    }
}
