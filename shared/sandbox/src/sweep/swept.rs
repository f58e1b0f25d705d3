//! What a sweep has done, and why one could not be done.

use std::fmt;

/// Removed paths that are kept by name; the rest is counted.
const REMOVED_NAMED_MAX: usize = 1_000;
/// Sentences of one kind for a reply; nobody reads more.
const SENTENCES_MAX: usize = 20;

/// What a sweep has done to a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// What was removed; the first thousand.
    pub removed: Vec<Removed>,
    /// How many were removed in all.
    pub removed_count: u64,
    /// Paths of which nothing may be taken: what is tracked there has to stay as it was.
    pub withheld: Vec<Withheld>,
    /// What the reply has to name, as sentences; paths in them are escaped.
    pub left_out: Vec<String>,
    /// Files and directories whose owner got back the right to them.
    pub repaired: u64,
    /// Everything with a name that was seen.
    pub entries: u64,
    /// Bytes of all files that may be read.
    pub bytes: u64,
}

/// A path that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Below the tree, with `/`; not every path is text.
    pub path: Vec<u8>,
    /// Why.
    pub why: Why,
}

/// A path of which nothing may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// Below the tree, with `/`; not every path is text.
    pub path: Vec<u8>,
    /// Why.
    pub why: Why,
}

/// Why a path is not as the agent left it, or may not be read. Its text completes "… was left out: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// `.git` at the top.
    Repository,
    /// `.git` further down.
    NestedRepository,
    /// A name that another system takes for `.git`.
    GitSpelling,
    /// A FIFO, a socket, a device.
    Special,
    /// Deeper or longer than any path that is checked out.
    TooDeep,
    /// A file over the limit.
    TooLarge,
    /// A file with another name outside the tree.
    LinkedElsewhere,
    /// It belongs to a user whose files are closed to us.
    NotOurs,
    /// It was there and then it was not, or it was something else.
    Changed,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repository => "the agent made a repository of the work tree",
            Self::NestedRepository => "it belongs to a nested repository; the files beside it are kept",
            Self::GitSpelling => "its name stands for `.git` on other systems",
            Self::Special => "it is neither a file nor a directory nor a symbolic link",
            Self::TooDeep => "it is too deep",
            Self::TooLarge => "it is too large",
            Self::LinkedElsewhere => "the file has another name outside the work tree",
            Self::NotOurs => "it cannot be read",
            Self::Changed => "it changed while it was read",
        })
    }
}

/// Why a tree could not be swept. It must not be read then.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// More than may be read.
    #[error("{what} is over the limit of {limit}")]
    TooMuch {
        /// What.
        what: &'static str,
        /// The limit, in the unit that `what` names.
        limit: u64,
    },
    /// It took too long.
    #[error("the work tree could not be gone through within {seconds} s")]
    TimeOut {
        /// The limit.
        seconds: u64,
    },
    /// The file system.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl SweepError {
    /// Whether the disk is full, of bytes or of files.
    pub(super) fn is_no_room(&self) -> bool {
        use std::io::ErrorKind;
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
    }

    pub(super) fn io(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |error| Self::Io {
            what,
            source: error.into(),
        }
    }
}

impl Swept {
    pub(super) fn note_removed(&mut self, path: Vec<u8>, why: Why) {
        self.removed_count += 1;
        if self.removed.len() < REMOVED_NAMED_MAX {
            self.removed.push(Removed { path, why });
        }
    }

    /// Writes [`left_out`](Self::left_out). What is withheld and still there is not in it: whoever reads the tree knows
    /// whether it would have been taken.
    pub(super) fn write_notes(&mut self) {
        // A repository of its own is how some agents work; nothing of what was asked for is in it.
        let worth = |removed: &&Removed| removed.why != Why::Repository;
        let mut named: Vec<_> = self.removed.iter().filter(worth).collect();
        named.sort_by(|a, b| a.path.cmp(&b.path));
        let unnamed = self.removed_count.saturating_sub(self.removed.len() as u64)
            + named.len().saturating_sub(SENTENCES_MAX) as u64;
        self.left_out = named
            .into_iter()
            .take(SENTENCES_MAX)
            .map(|removed| format!("`{}` was left out: {}", removed.path.escape_ascii(), removed.why))
            .collect();
        if unnamed > 0 {
            self.left_out.push(format!("{unnamed} more were removed"));
        }
    }
}
