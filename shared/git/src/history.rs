//! Looking back: a run's commit, a commit's parent, what people called their commits.

use std::collections::{BinaryHeap, HashSet};
use std::ops::ControlFlow;

use gix::bstr::ByteSlice;
use pipeline::ids::{CommitId, RunId};

use crate::commit::{Identity, clean};
use crate::error::Error;
use crate::mirror::{commit_id, object_id};

/// The trailer that says which run made a commit.
const RUN_TRAILER: &str = "Run-Id";
/// Bytes of a subject that are read: people write a tenth of that, and a line in a commit can have any length.
const SUBJECT_BYTES_MAX: usize = 1_024;

/// The mirror's part of [`crate::Mirror::commits_of_run`]: newest first, so that a deep merged branch cannot use up the
/// number of commits before our own is reached.
pub(crate) fn commits_of_run(
    repo: &gix::Repository,
    head: &CommitId,
    run: &RunId,
    by: &Identity,
    commits_max: usize,
) -> Result<Vec<CommitId>, Error> {
    let mut found = Vec::new();
    newest_first(repo, &[head], commits_max, |commit| {
        if has_trailer(commit.message_raw_sloppy(), run) && is_by(commit, by) {
            found.push(commit_id(&commit.id));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// The mirror's part of [`crate::Mirror::latest_subjects`].
pub(crate) fn latest_subjects(
    repo: &gix::Repository,
    heads: &[&CommitId],
    count: usize,
    commits_max: usize,
) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    newest_first(repo, heads, commits_max, |commit| {
        let message = commit.message_raw_sloppy();
        let is_ours = trailers(message, RUN_TRAILER).next().is_some();
        if found.len() < count && !is_ours && commit.parent_ids().count() < 2 {
            found.extend(subject(message));
        }
        Ok(if found.len() < count {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    })?;
    Ok(found)
}

/// Shows `look` the commits from `heads` on, newest first, until it has seen enough: at most `commits_max`, and not
/// beyond what has been fetched.
fn newest_first(
    repo: &gix::Repository,
    heads: &[&CommitId],
    commits_max: usize,
    mut look: impl FnMut(&gix::Commit<'_>) -> Result<ControlFlow<()>, Error>,
) -> Result<(), Error> {
    let (mut seen, mut waiting) = (HashSet::new(), BinaryHeap::new());
    for head in heads {
        let head = repo.find_commit(object_id(head)).map_err(Error::damaged)?;
        if seen.insert(head.id) {
            waiting.push((made_at(&head).unwrap_or(i64::MAX), head.id));
        }
    }
    for _ in 0..commits_max {
        let Some((_, id)) = waiting.pop() else {
            break;
        };
        let commit = repo.find_commit(id).map_err(Error::damaged)?;
        if look(&commit)?.is_break() {
            break;
        }
        for parent in commit.parent_ids().map(gix::Id::detach) {
            // Missing: the end of what has been fetched.
            if seen.insert(parent)
                && let Ok(above) = repo.find_commit(parent)
            {
                waiting.push((made_at(&above).unwrap_or(0), parent));
            }
        }
    }
    Ok(())
}

/// When a commit says that it was made, in seconds; git takes commits that say nothing of the sort.
fn made_at(commit: &gix::Commit<'_>) -> Option<i64> {
    commit.time().ok().map(|time| time.seconds)
}

/// The first line of a message, where there is one.
fn subject(message: &[u8]) -> Option<String> {
    let line = message.trim_start().lines().next()?;
    Some(
        line[..line.len().min(SUBJECT_BYTES_MAX)]
            .to_str_lossy()
            .into_owned(),
    )
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
    fn a_subject_is_a_first_line_of_bounded_length() {
        assert_eq!(subject(b"\n\nfix: Add\r\n\nMore.\n").as_deref(), Some("fix: Add"));
        assert_eq!(subject(b" \n"), None);
        assert_eq!(subject(b"\xff ok").as_deref(), Some("\u{fffd} ok"));
        assert_eq!(
            subject(&[b'x'; 5_000]).map(|line| line.len()),
            Some(SUBJECT_BYTES_MAX)
        );
    }

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
