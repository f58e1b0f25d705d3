//! Looking back: a run's commit, a commit's parent.

use std::collections::{BinaryHeap, HashSet};

use gix::bstr::ByteSlice;
use pipeline::ids::{CommitId, RunId};

use crate::commit::{Identity, clean};
use crate::error::Error;
use crate::mirror::{commit_id, object_id};

/// The trailer that says which run made a commit.
const RUN_TRAILER: &str = "Run-Id";

/// The mirror's part of [`crate::Mirror::commits_of_run`]: newest first, so that a deep merged branch cannot use up the
/// number of commits before our own is reached.
pub(crate) fn commits_of_run(
    repo: &gix::Repository,
    head: &CommitId,
    run: &RunId,
    by: &Identity,
    commits_max: usize,
) -> Result<Vec<CommitId>, Error> {
    let mut seen = HashSet::new();
    let mut waiting = BinaryHeap::new();
    let head = object_id(head);
    repo.find_commit(head).map_err(Error::damaged)?;
    waiting.push((i64::MAX, head));
    seen.insert(head);
    let (mut looked_at, mut found) = (0, Vec::new());
    while let Some((_, id)) = waiting.pop() {
        if looked_at == commits_max {
            break;
        }
        looked_at += 1;
        // Missing: the end of what has been fetched.
        let Ok(commit) = repo.find_commit(id) else {
            continue;
        };
        if has_trailer(commit.message_raw().map_err(Error::damaged)?, run) && is_by(&commit, by) {
            found.push(commit_id(&id));
        }
        for parent in commit.parent_ids().map(gix::Id::detach) {
            if seen.insert(parent)
                && let Ok(above) = repo.find_commit(parent)
            {
                waiting.push((above.time().map_err(Error::damaged)?.seconds, parent));
            }
        }
    }
    Ok(found)
}

/// The mirror's part of [`crate::Mirror::first_parent`].
pub(crate) fn first_parent(repo: &gix::Repository, commit: &CommitId) -> Result<CommitId, Error> {
    let found = repo.find_commit(object_id(commit)).map_err(Error::damaged)?;
    let parent = found.parent_ids().next();
    parent
        .map(|id| commit_id(&id))
        .ok_or_else(|| Error::Invalid(format!("{commit} has no parent")))
}

/// Whether the commit has our address: anyone who may push can write a trailer, and a server that verifies committers
/// lets nobody else push with this one. As author it stays ours where somebody has rebased it. The name does not count:
/// people rename accounts.
fn is_by(commit: &gix::Commit<'_>, by: &Identity) -> bool {
    let address = clean(&by.email);
    // What cannot be read was not written here.
    [commit.author(), commit.committer()]
        .into_iter()
        .flatten()
        .any(|signature| signature.email == address.as_str())
}

fn has_trailer(message: &[u8], run: &RunId) -> bool {
    trailers(message, RUN_TRAILER).any(|value| value == run.as_str())
}

/// The mirror's part of [`crate::Mirror::trailer`].
pub(crate) fn trailer(
    repo: &gix::Repository,
    commit: &CommitId,
    name: &str,
) -> Result<Option<String>, Error> {
    let found = repo.find_commit(object_id(commit)).map_err(Error::damaged)?;
    let message = found.message_raw().map_err(Error::damaged)?;
    Ok(trailers(message, name).last())
}

/// The values of the trailers of this name. Trailers are in the last paragraph; the same words in the text above are
/// somebody talking about a run.
fn trailers<'m>(message: &'m [u8], name: &'m str) -> impl Iterator<Item = String> + 'm {
    let message = message.trim_end();
    let last = message.rfind("\n\n").map_or(&b""[..], |at| &message[at..]);
    last.lines().filter_map(move |line| {
        let line = line.to_str_lossy();
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        Some(value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trailer_names_a_run() {
        let run = RunId::new("r-0123456789ab").unwrap();
        assert!(has_trailer(
            b"Fix it\n\nBecause.\n\nRequested-by: alice\nRun-Id: r-0123456789ab\n",
            &run
        ));
        assert!(!has_trailer(
            b"Fix it\n\nRun-Id: r-0123456789ab\n\nThe above is quoted.\n",
            &run
        ));
        assert!(!has_trailer(b"Run-Id: r-0123456789ab\n", &run));
        assert!(!has_trailer(b"Fix it\n\nRun-Id: r-0123456789abc\n", &run));
        let message = b"Fix it\n\nThread: 1\n\nRun-Id: r-0123456789ab\nThreads: 2\nThread: 305\n";
        assert_eq!(trailers(message, "Thread").collect::<Vec<_>>(), ["305"]);
    }
}
