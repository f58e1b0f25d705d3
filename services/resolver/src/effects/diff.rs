//! A unified diff by file and hunk: where a comment may stand, and what a change replaces.

use std::collections::BTreeMap;

/// Whether a line was added, taken away, or is on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Added,
    Removed,
    Context,
}

/// One line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) kind: Kind,
    /// Its number before the change, from 1; of an added line that of the next one.
    pub(crate) old: u32,
    /// Its number after the change; of a removed line that of the next one.
    pub(crate) new: u32,
    pub(crate) text: String,
    /// Whether the file ends with it, without a newline.
    pub(crate) is_cut: bool,
}

/// One hunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hunk {
    pub(crate) lines: Vec<Line>,
}

/// The hunks of one file that is there before and after the change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileDiff {
    /// Its path after the change.
    pub(crate) path: String,
    /// Whether the change makes or removes the file.
    pub(crate) is_whole: bool,
    pub(crate) hunks: Vec<Hunk>,
}

/// Reads a diff, as git and Bitbucket write it. Files without lines (binary ones, mode changes) have no entry.
pub(crate) fn files(diff: &str) -> Vec<FileDiff> {
    let mut files: Vec<FileDiff> = Vec::new();
    // What is left of the hunk on either side, by its own count: content may look like anything.
    let (mut old_left, mut new_left) = (0_u32, 0_u32);
    let (mut old, mut new) = (0_u32, 0_u32);
    let mut source_is_there = true;
    for line in diff.split('\n') {
        if old_left == 0 && new_left == 0 {
            if line.starts_with("diff --git ") {
                source_is_there = true;
            } else if let Some(path) = line.strip_prefix("--- ") {
                source_is_there = path.trim_end() != "/dev/null";
            } else if let Some(path) = line.strip_prefix("+++ ") {
                files.push(FileDiff {
                    is_whole: !source_is_there || path.trim_end() == "/dev/null",
                    path: path_of(path),
                    hunks: Vec::new(),
                });
            } else if let Some(header) = line.strip_prefix("@@ ")
                && let Some(file) = files.last_mut()
            {
                ((old, old_left), (new, new_left)) = sides(header);
                file.hunks.push(Hunk::default());
            } else if line.starts_with('\\')
                && let Some(last) = last_line(&mut files)
            {
                last.is_cut = true;
            }
            continue;
        }
        let (kind, text) = match line.as_bytes().first() {
            Some(b'+') => (Kind::Added, &line[1..]),
            Some(b'-') => (Kind::Removed, &line[1..]),
            Some(b'\\') => {
                if let Some(last) = last_line(&mut files) {
                    last.is_cut = true;
                }
                continue;
            }
            Some(b' ') => (Kind::Context, &line[1..]),
            // Some writers leave the blank of an empty line out.
            _ => (Kind::Context, line),
        };
        if let Some(hunk) = files.last_mut().and_then(|file| file.hunks.last_mut()) {
            let (text, is_cut) = (text.to_owned(), false);
            hunk.lines.push(Line {
                kind,
                old,
                new,
                text,
                is_cut,
            });
        }
        if kind != Kind::Added {
            (old, old_left) = (old.saturating_add(1), old_left.saturating_sub(1));
        }
        if kind != Kind::Removed {
            (new, new_left) = (new.saturating_add(1), new_left.saturating_sub(1));
        }
    }
    files
}

fn last_line(files: &mut [FileDiff]) -> Option<&mut Line> {
    files.last_mut()?.hunks.last_mut()?.lines.last_mut()
}

/// `-12,3 +12 @@ …`: of each side the first line and how many.
fn sides(header: &str) -> ((u32, u32), (u32, u32)) {
    let mut sides = header.split(' ').map(|side| {
        let side = side.trim_start_matches(['-', '+']);
        let (first, count) = side.split_once(',').unwrap_or((side, "1"));
        (first.parse().unwrap_or(0), count.parse().unwrap_or(0))
    });
    (sides.next().unwrap_or_default(), sides.next().unwrap_or_default())
}

/// A path of a header, unquoted and without what stands for the side: git's `b/`, Bitbucket's `dst://`.
fn path_of(header: &str) -> String {
    let header = header.trim_end_matches(['\t', '\r']);
    let path = header
        .strip_prefix('"')
        .and_then(|quoted| quoted.strip_suffix('"'))
        .map_or_else(|| header.to_owned(), unquoted);
    ["dst://", "b/"]
        .iter()
        .find_map(|side| path.strip_prefix(side))
        .map_or(path.clone(), ToOwned::to_owned)
}

/// Git quotes odd names as C does: `\303\251`, `\t`, `\"`.
fn unquoted(quoted: &str) -> String {
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(digit @ b'0'..=b'7') => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    let Some(digit) = rest.next_if(|b| (b'0'..=b'7').contains(b)) else {
                        break;
                    };
                    value = value * 8 + u32::from(digit - b'0');
                }
                bytes.push(u8::try_from(value).unwrap_or(b'?'));
            }
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'r') => bytes.push(b'\r'),
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The lines of a pull request's diff that comments may stand on, as they are after the change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Commentable {
    /// By file and line, whether the line is new.
    files: BTreeMap<String, BTreeMap<u32, bool>>,
}

impl Commentable {
    /// The lines that a pull request's diff shows.
    pub(crate) fn of(diff: &str) -> Self {
        let mut lines = Self::default();
        for file in files(diff) {
            let shown = lines.files.entry(file.path).or_default();
            for line in file.hunks.iter().flat_map(|hunk| &hunk.lines) {
                if line.kind != Kind::Removed {
                    shown.insert(line.new, line.kind == Kind::Added);
                }
            }
        }
        lines
    }

    /// Whether the first and the last line are new, where all lines from one to the other are shown.
    pub(crate) fn range(&self, path: &str, first: u32, last: u32) -> Option<(bool, bool)> {
        let shown = self.files.get(path)?;
        let count = usize::try_from(last.checked_sub(first)?).ok()? + 1;
        let within = shown.range(first..=last).count() == count;
        within.then(|| Some((*shown.get(&first)?, *shown.get(&last)?)))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1,3 +1,4 @@ fn f\n one\n-two\n+2\n+2a\n three\n\
@@ -10 +11 @@\n-+++ b/y\n+++ c/z\n\\ No newline at end of file\ndiff --git \"a/\\303\\251\" \"b/\\303\\251\"\nnew file mode 100644\n\
--- /dev/null\n+++ \"b/\\303\\251\"\n@@ -0,0 +1 @@\n+only\n";

    #[test]
    fn a_diff_is_read_by_file_and_line() {
        let files = files(DIFF);
        let shown: Vec<_> = files
            .iter()
            .map(|f| (f.path.as_str(), f.is_whole, f.hunks.len()))
            .collect();
        assert_eq!(shown, [("x", false, 2), ("é", true, 1)]);
        let lines: Vec<_> = files[0]
            .hunks
            .iter()
            .flat_map(|h| &h.lines)
            .map(|l| (l.old, l.new, l.text.as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                (1, 1, "one"),
                (2, 2, "two"),
                (3, 2, "2"),
                (3, 3, "2a"),
                (3, 4, "three"),
                (10, 11, "+++ b/y"),
                (11, 11, "++ c/z")
            ]
        );
        assert!(files[0].hunks[1].lines[1].is_cut);
    }

    #[test]
    fn comments_may_stand_on_what_is_shown_after_the_change() {
        let lines = Commentable::of(DIFF);
        assert_eq!(lines.range("x", 1, 1), Some((false, false)));
        assert_eq!(lines.range("x", 1, 3), Some((false, true)));
        assert_eq!(lines.range("x", 4, 11), None, "what is between is not shown");
        assert_eq!(lines.range("x", 5, 5), None);
        assert_eq!(lines.range("x", 3, 2), None);
        assert_eq!(lines.range("é", 1, 1), Some((true, true)));
        assert_eq!(lines.range("y", 1, 1), None);
    }
}
