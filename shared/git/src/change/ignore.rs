//! What the work tree's own `.gitignore` files exclude: an agent that builds leaves `target/` and `node_modules/`
//! behind. Only files that are not tracked can be ignored.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use gix::bstr::BStr;
use gix::glob::pattern::Case;
use gix::ignore::Search;
use gix::ignore::search::Ignore;
use rustix::fs::{FileType, OFlags};

use super::open_beneath;
use crate::tree::{as_path, join};

/// Bytes read of one `.gitignore`; the longest collections of templates have a tenth of this.
const BYTES_MAX: u64 = 256 * 1024;
/// Patterns that apply at one place; each of them is tried for each untracked path.
const PATTERNS_MAX: usize = 10_000;

/// The patterns of the directories the walk is in.
#[derive(Default)]
pub(super) struct Ignores {
    search: Search,
    patterns: usize,
}

impl Ignores {
    /// Adds the directory's `.gitignore`. Says whether there is one to [leave](Self::leave).
    pub(super) fn enter(&mut self, root: &OwnedFd, directory: &BStr) -> bool {
        let path = join(directory, ".gitignore".into());
        let Some(bytes) = read(root, &path) else {
            return false;
        };
        // An absolute place of its own: a list remembers where it applies by its path below a root.
        let source = Path::new("/").join(as_path(path.as_ref()));
        let parse = Ignore {
            support_precious: false,
        };
        if self
            .search
            .add_patterns_buffer(&bytes, source, Some(Path::new("/")), parse)
            .is_err()
        {
            return false;
        }
        let added = self.search.patterns.last().map_or(0, |list| list.patterns.len());
        if self.patterns + added > PATTERNS_MAX {
            self.search.patterns.pop();
            return false;
        }
        self.patterns += added;
        true
    }

    /// Forgets the innermost directory's.
    pub(super) fn leave(&mut self) {
        if let Some(list) = self.search.patterns.pop() {
            self.patterns -= list.patterns.len();
        }
    }

    /// Whether the path is ignored by the last pattern that matches.
    pub(super) fn matches(&self, path: &BStr, is_directory: bool) -> bool {
        self.search
            .pattern_matching_relative_path(path, Some(is_directory), Case::Sensitive)
            .is_some_and(|found| !found.pattern.is_negative())
    }
}

fn read(root: &OwnedFd, path: &[u8]) -> Option<Vec<u8>> {
    let opened = open_beneath(root, path, OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
    let stat = rustix::fs::fstat(&opened).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::from(opened)
        .take(BYTES_MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}
