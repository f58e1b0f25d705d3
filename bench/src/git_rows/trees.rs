//! Whether two directories hold the same files: a fast side that did less would be worth nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// An error unless both hold the same paths, contents and executable bits. `.git` at the top is left out.
pub(crate) fn ensure_same(one: &Path, other: &Path) -> Result<()> {
    let (ours, theirs) = (contents(one)?, contents(other)?);
    ensure!(!ours.is_empty(), "{} is empty", one.display());
    let different = ours
        .iter()
        .find(|(path, entry)| theirs.get(*path) != Some(entry))
        .map(|(path, _)| path);
    let missing = theirs.keys().find(|path| !ours.contains_key(*path));
    let found = different.or(missing);
    ensure!(
        found.is_none(),
        "{} and {} differ in {found:?}",
        one.display(),
        other.display()
    );
    Ok(())
}

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    File { bytes: Vec<u8>, executable: bool },
    Link(PathBuf),
}

fn contents(root: &Path) -> Result<BTreeMap<PathBuf, Entry>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let below = path.strip_prefix(root)?.to_owned();
            if below == Path::new(".git") {
                continue;
            }
            let metadata = fs::symlink_metadata(&path)?;
            if metadata.is_dir() {
                open.push(path);
            } else if metadata.is_symlink() {
                found.insert(below, Entry::Link(fs::read_link(&path)?));
            } else {
                let executable = metadata.permissions().mode() & 0o100 != 0;
                found.insert(
                    below,
                    Entry::File {
                        bytes: fs::read(&path)?,
                        executable,
                    },
                );
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_different_file_is_found() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for directory in [&one, &other] {
            fs::create_dir(directory.path().join("src")).unwrap();
            fs::write(directory.path().join("src/a"), "a").unwrap();
        }
        fs::create_dir(other.path().join(".git")).unwrap();
        fs::write(other.path().join(".git/HEAD"), "x").unwrap();
        ensure_same(one.path(), other.path()).unwrap();

        fs::write(other.path().join("src/b"), "b").unwrap();
        assert!(ensure_same(one.path(), other.path()).is_err());
        assert!(ensure_same(other.path(), one.path()).is_err());
        fs::write(one.path().join("src/b"), "c").unwrap();
        assert!(ensure_same(one.path(), other.path()).is_err());
    }
}
