//! The lines that a patch adds, with the file and the line they are in.

use std::collections::VecDeque;

/// Lines looked ahead: a key's first line of content may come after headers.
const NEXT_MAX: usize = 4;
/// Characters of the lines ahead.
const NEXT_CHARS_MAX: usize = 400;

/// A line that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Added {
    /// The file, below the work tree; quoted as in the patch if it is odd.
    pub(super) path: String,
    /// The line in the new file, from 1.
    pub(super) line: u32,
    /// What it says.
    pub(super) text: String,
    /// What is added right after it.
    pub(super) next: String,
}

impl Added {
    /// Goes through a patch.
    pub(super) fn of(patch: &[u8]) -> impl Iterator<Item = Self> + '_ {
        let mut lines = Lines {
            rest: patch.split(|byte| *byte == b'\n'),
            path: String::new(),
            old_left: 0,
            new_left: 0,
            line: 0,
        };
        let mut ahead: VecDeque<(String, u32, String)> = VecDeque::new();
        std::iter::from_fn(move || {
            while ahead.len() <= NEXT_MAX {
                match lines.next_added() {
                    Some(added) => ahead.push_back(added),
                    None => break,
                }
            }
            let (path, line, text) = ahead.pop_front()?;
            let mut next = String::new();
            for (_, _, text) in ahead.iter().take_while(|(other, _, _)| *other == path) {
                next.extend(text.chars().take(NEXT_CHARS_MAX));
                next.push('\n');
            }
            Some(Self {
                path,
                line,
                text,
                next,
            })
        })
    }
}

struct Lines<I> {
    rest: I,
    path: String,
    /// Lines of the hunk that are still to come, by its own count: content may look like anything.
    old_left: u32,
    new_left: u32,
    line: u32,
}

impl<'p, I: Iterator<Item = &'p [u8]>> Lines<I> {
    fn next_added(&mut self) -> Option<(String, u32, String)> {
        loop {
            let line = self.rest.next()?;
            if self.old_left == 0 && self.new_left == 0 {
                self.header(line);
                continue;
            }
            match line.first() {
                Some(b'+') => {
                    self.new_left = self.new_left.saturating_sub(1);
                    self.line += 1;
                    let text = String::from_utf8_lossy(&line[1..]).into_owned();
                    return Some((self.path.clone(), self.line, text));
                }
                Some(b'-') => self.old_left = self.old_left.saturating_sub(1),
                Some(b'\\') => {}
                _ => {
                    self.old_left = self.old_left.saturating_sub(1);
                    self.new_left = self.new_left.saturating_sub(1);
                    self.line += 1;
                }
            }
        }
    }

    fn header(&mut self, line: &[u8]) {
        if let Some(path) = line.strip_prefix(b"+++ ") {
            let path = String::from_utf8_lossy(path);
            let path = path.trim_end_matches('\t').trim_matches('"');
            path.strip_prefix("b/").unwrap_or(path).clone_into(&mut self.path);
        } else if let Some(hunk) = line.strip_prefix(b"@@ ") {
            let hunk = String::from_utf8_lossy(hunk);
            let mut sides = hunk.split(' ');
            let (old, new) = (side(sides.next()), side(sides.next()));
            (self.old_left, self.new_left) = (old.1, new.1);
            self.line = new.0.saturating_sub(1);
        }
    }
}

/// `-12,3` or `+12`: the first line and how many.
fn side(text: Option<&str>) -> (u32, u32) {
    let text = text.unwrap_or_default().trim_start_matches(['-', '+']);
    let (start, count) = text.split_once(',').unwrap_or((text, "1"));
    (start.parse().unwrap_or(0), count.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_lines_have_their_file_and_number() {
        let patch = b"diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@ fn f\n one\n-two\n+2\n three\n\
@@ -10 +10,2 @@\n-ten\n+++ not a header\n+11\n\\ No newline at end of file\ndiff --git \"a/\\303\\251 b\" \"b/\\303\\251 b\"\n\
new file mode 100644\n--- /dev/null\n+++ \"b/\\303\\251 b\"\t\n@@ -0,0 +1 @@\n+only\n";
        let added: Vec<_> = Added::of(patch)
            .map(|added| (added.path, added.line, added.text))
            .collect();
        let expected = [
            ("x", 2, "2"),
            ("x", 10, "++ not a header"),
            ("x", 11, "11"),
            ("\\303\\251 b", 1, "only"),
        ];
        assert_eq!(
            added,
            expected.map(|(path, line, text)| (path.to_owned(), line, text.to_owned()))
        );
    }

    #[test]
    fn binary_files_have_no_lines() {
        let patch = b"diff --git a/x b/x\nindex 1..2\nGIT binary patch\nliteral 5\nMc$}qH+x\n\nliteral 0\n\n";
        assert_eq!(Added::of(patch).count(), 0);
    }
}
