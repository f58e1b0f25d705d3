//! The hunks of a text file.

use std::io;

use gix_diff::blob::unified_diff::{ConsumeHunk, ContextSize, DiffLineKind, HunkHeader};
use gix_diff::blob::{Algorithm, InternedInput, UnifiedDiff, diff_with_slider_heuristics};

use crate::error::Error;

/// Lines of one file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) added: u32,
    pub(super) removed: u32,
}

/// Appends the hunks.
pub(super) fn write(text: &mut Vec<u8>, old: &[u8], new: &[u8]) -> Result<Counted, Error> {
    let input = InternedInput::new(old, new);
    let diff = diff_with_slider_heuristics(Algorithm::Histogram, &input);
    let sink = Sink {
        text,
        counted: Counted::default(),
    };
    UnifiedDiff::new(&diff, &input, sink, ContextSize::default())
        .consume()
        .map_err(Error::io("writing a patch"))
}

struct Sink<'a> {
    text: &'a mut Vec<u8>,
    counted: Counted,
}

impl ConsumeHunk for Sink<'_> {
    type Out = Counted;

    fn consume_hunk(&mut self, header: HunkHeader, lines: &[(DiffLineKind, &[u8])]) -> io::Result<()> {
        // An empty side starts at line 0.
        let start = |start: u32, length: u32| {
            if length == 0 {
                start.saturating_sub(1)
            } else {
                start
            }
        };
        let title = format!(
            "@@ -{},{} +{},{} @@\n",
            start(header.before_hunk_start, header.before_hunk_len),
            header.before_hunk_len,
            start(header.after_hunk_start, header.after_hunk_len),
            header.after_hunk_len,
        );
        self.text.extend_from_slice(title.as_bytes());
        for (kind, line) in lines {
            let sign = match kind {
                DiffLineKind::Context => b' ',
                DiffLineKind::Add => {
                    self.counted.added = self.counted.added.saturating_add(1);
                    b'+'
                }
                DiffLineKind::Remove => {
                    self.counted.removed = self.counted.removed.saturating_add(1);
                    b'-'
                }
            };
            self.text.push(sign);
            self.text.extend_from_slice(line);
            if !line.ends_with(b"\n") {
                self.text.extend_from_slice(b"\n\\ No newline at end of file\n");
            }
        }
        Ok(())
    }

    fn finish(self) -> Counted {
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, expected: &str, counted: (u32, u32)) {
        let mut text = Vec::new();
        let (added, removed) = counted;
        assert_eq!(
            write(&mut text, old.as_bytes(), new.as_bytes()).unwrap(),
            Counted { added, removed }
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn a_change_has_three_lines_around_it() {
        check(
            "1\n2\n3\n4\n5\n6\n",
            "1\n2\n3\n4\nfive\n6\n",
            "@@ -2,5 +2,5 @@\n 2\n 3\n 4\n-5\n+five\n 6\n",
            (1, 1),
        );
    }

    #[test]
    fn a_new_file_starts_at_line_zero() {
        check("", "a\n", "@@ -0,0 +1,1 @@\n+a\n", (1, 0));
        check("a\n", "", "@@ -1,1 +0,0 @@\n-a\n", (0, 1));
    }

    #[test]
    fn a_missing_newline_is_said() {
        check(
            "a\nb",
            "a\nc",
            "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n",
            (1, 1),
        );
    }
}
