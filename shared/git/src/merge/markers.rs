//! Git's conflict markers in a file's lines.

use gix::bstr::ByteSlice;
use pipeline::ids::CommitId;

use crate::error::Error;
use crate::mirror::object_id;

/// How a line begins that marks a side; the middle one is the whole line.
const BEGINS: [&[u8]; 3] = [b"<<<<<<< ", b"||||||| ", b">>>>>>> "];
const MIDDLE: &[u8] = b"=======";

/// How often each marker stands in the text: as in [`BEGINS`], then the middle.
pub(super) fn count(text: &[u8]) -> [usize; 4] {
    let mut found = [0; 4];
    for line in text.lines() {
        for (number, begin) in found.iter_mut().zip(BEGINS) {
            // A bare one is what is left when somebody has removed the label.
            *number += usize::from(line.starts_with(begin) || line == begin.trim_end());
        }
        found[3] += usize::from(line == MIDDLE);
    }
    found
}

/// The mirror's part of [`crate::Mirror::still_marked`]. A file may document markers: those that a parent has, too, are
/// its text.
pub(crate) fn still_marked(
    repo: &gix::Repository,
    merge: &CommitId,
    paths: &[String],
) -> Result<Vec<String>, Error> {
    let commit = repo.find_commit(object_id(merge)).map_err(Error::damaged)?;
    let parents: Vec<_> = commit.parent_ids().map(gix::Id::detach).collect();
    let mut left = Vec::new();
    for path in paths {
        let Some(text) = file(repo, object_id(merge), path)? else {
            left.push(path.clone());
            continue;
        };
        let mut allowed = [0; 4];
        for parent in &parents {
            let theirs = count(&file(repo, *parent, path)?.unwrap_or_default());
            for (allowed, number) in allowed.iter_mut().zip(theirs) {
                *allowed = number.max(*allowed);
            }
        }
        if count(&text)
            .iter()
            .zip(allowed)
            .any(|(number, allowed)| *number > allowed)
        {
            left.push(path.clone());
        }
    }
    Ok(left)
}

/// The bytes of a file, `None` where there is none at the path.
fn file(repo: &gix::Repository, commit: gix::ObjectId, path: &str) -> Result<Option<Vec<u8>>, Error> {
    let commit = repo.find_commit(commit).map_err(Error::damaged)?;
    let tree = commit.tree().map_err(Error::damaged)?;
    let Some(entry) = tree.lookup_entry_by_path(path).map_err(Error::damaged)? else {
        return Ok(None);
    };
    if !entry.mode().is_blob() {
        return Ok(None);
    }
    Ok(Some(entry.object().map_err(Error::damaged)?.detach().data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_whole_lines_and_a_label_may_be_missing() {
        let text = b"a\n<<<<<<< ours\nx\n=======\ny\n>>>>>>>\n x <<<<<<< no\n========\n";
        assert_eq!(count(text), [1, 0, 1, 1]);
        assert_eq!(count(b"<<<<<<<x\n======= \n"), [0; 4]);
        assert_eq!(count(b"<<<<<<< a\r\n=======\r\n"), [1, 0, 0, 1]);
    }
}
