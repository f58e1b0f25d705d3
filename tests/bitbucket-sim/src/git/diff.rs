//! Diffs: git's text, and the structure Bitbucket's JSON shows (bitbucket-dc.md 3.8).

/// The changes of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileDiff {
    /// Absent for an added file.
    pub(crate) source: Option<String>,
    /// Absent for a deleted file.
    pub(crate) destination: Option<String>,
    pub(crate) binary: bool,
    pub(crate) hunks: Vec<Hunk>,
}

/// A run of changed lines with their surroundings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hunk {
    pub(crate) context: String,
    pub(crate) source_line: u64,
    pub(crate) source_span: u64,
    pub(crate) destination_line: u64,
    pub(crate) destination_span: u64,
    pub(crate) lines: Vec<Line>,
}

/// One line of a hunk. A line that one side lacks carries that side's next number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) kind: LineKind,
    pub(crate) source: u64,
    pub(crate) destination: u64,
    pub(crate) text: String,
}

/// What a line is; Bitbucket's segment type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    Context,
    Added,
    Removed,
}

impl LineKind {
    /// Bitbucket's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LineKind::Context => "CONTEXT",
            LineKind::Added => "ADDED",
            LineKind::Removed => "REMOVED",
        }
    }
}

impl FileDiff {
    /// The path the file has now, or had if it is gone.
    pub(crate) fn path(&self) -> &str {
        self.destination
            .as_deref()
            .or(self.source.as_deref())
            .unwrap_or_default()
    }

    /// The line an anchor names: by its number on the `FROM` or the `TO` side.
    pub(crate) fn line(&self, number: u64, on_source: bool) -> Option<&Line> {
        self.hunks.iter().flat_map(|hunk| &hunk.lines).find(|line| {
            if on_source {
                line.kind != LineKind::Added && line.source == number
            } else {
                line.kind != LineKind::Removed && line.destination == number
            }
        })
    }

    /// This file's diff with only the hunk that has the line.
    pub(crate) fn around(&self, number: u64, on_source: bool) -> FileDiff {
        let mut diff = self.clone();
        diff.hunks.retain(|hunk| {
            let (start, span) = if on_source {
                (hunk.source_line, hunk.source_span)
            } else {
                (hunk.destination_line, hunk.destination_span)
            };
            (start..start + span).contains(&number)
        });
        diff
    }
}

/// Reads the output of `git diff` with the prefixes `a/` and `b/`.
pub(crate) fn parse(text: &str) -> Vec<FileDiff> {
    let mut files: Vec<FileDiff> = Vec::new();
    let mut position = (0, 0);
    // Counted down, so that a removed line "-- x" is not taken for a file header.
    let mut left = (0, 0);
    for line in text.split('\n') {
        if left == (0, 0) && line.starts_with("diff --git ") {
            files.push(header(line));
            continue;
        }
        let Some(file) = files.last_mut() else { continue };
        if left == (0, 0) {
            if let Some(hunk) = line.strip_prefix("@@ -").and_then(hunk_header) {
                position = (hunk.source_line, hunk.destination_line);
                left = (hunk.source_span, hunk.destination_span);
                file.hunks.push(hunk);
            } else {
                extended_header(file, line);
            }
        } else if let Some(hunk) = file.hunks.last_mut() {
            body_line(hunk, line, &mut position, &mut left);
        }
    }
    files
}

fn body_line(hunk: &mut Hunk, line: &str, position: &mut (u64, u64), left: &mut (u64, u64)) {
    let (kind, text) = match line.as_bytes().first() {
        Some(b'+') => (LineKind::Added, &line[1..]),
        Some(b'-') => (LineKind::Removed, &line[1..]),
        Some(b'\\') => return,
        _ => (LineKind::Context, line.get(1..).unwrap_or_default()),
    };
    hunk.lines.push(Line {
        kind,
        source: position.0,
        destination: position.1,
        text: text.to_owned(),
    });
    if kind != LineKind::Added {
        position.0 += 1;
        left.0 = left.0.saturating_sub(1);
    }
    if kind != LineKind::Removed {
        position.1 += 1;
        left.1 = left.1.saturating_sub(1);
    }
}

/// Both paths from `diff --git a/x b/x`; headers that follow make them exact.
fn header(line: &str) -> FileDiff {
    let rest = line.trim_start_matches("diff --git ");
    // Without a rename both halves are the same, apart from the prefix.
    let half = rest.len() / 2;
    let (source, destination) = match (rest.get(..half), rest.get(half + 1..)) {
        (Some(a), Some(b)) => (unquote(a), unquote(b)),
        _ => (String::new(), String::new()),
    };
    let strip = |path: String, prefix: &str| path.strip_prefix(prefix).map(str::to_owned);
    FileDiff {
        source: strip(source, "a/"),
        destination: strip(destination, "b/"),
        ..FileDiff::default()
    }
}

fn extended_header(file: &mut FileDiff, line: &str) {
    let side = |path: &str, prefix: &str| unquote(path).strip_prefix(prefix).map(str::to_owned);
    if line.starts_with("new file mode") {
        file.source = None;
    } else if line.starts_with("deleted file mode") {
        file.destination = None;
    } else if let Some(path) = line.strip_prefix("--- ") {
        file.source = side(path.trim_end_matches('\t'), "a/");
    } else if let Some(path) = line.strip_prefix("+++ ") {
        file.destination = side(path.trim_end_matches('\t'), "b/");
    } else if let Some(path) = line
        .strip_prefix("rename from ")
        .or_else(|| line.strip_prefix("copy from "))
    {
        file.source = Some(unquote(path));
    } else if let Some(path) = line
        .strip_prefix("rename to ")
        .or_else(|| line.strip_prefix("copy to "))
    {
        file.destination = Some(unquote(path));
    } else if line.starts_with("Binary files ") || line.starts_with("GIT binary patch") {
        file.binary = true;
    }
}

/// `10,2 +10,3 @@ context`, without the leading `@@ -`.
fn hunk_header(rest: &str) -> Option<Hunk> {
    let (ranges, context) = rest.split_once(" @@")?;
    let (source, destination) = ranges.split_once(" +")?;
    let range = |text: &str| match text.split_once(',') {
        Some((line, span)) => Some((line.parse().ok()?, span.parse().ok()?)),
        None => Some((text.parse().ok()?, 1)),
    };
    let ((source_line, source_span), (destination_line, destination_span)) =
        (range(source)?, range(destination)?);
    let context = context.strip_prefix(' ').unwrap_or(context).to_owned();
    Some(Hunk {
        context,
        source_line,
        source_span,
        destination_line,
        destination_span,
        lines: Vec::new(),
    })
}

/// A path as git prints it; quoted only for control characters, quotes and backslashes.
fn unquote(path: &str) -> String {
    let Some(inner) = path.strip_prefix('"').and_then(|p| p.strip_suffix('"')) else {
        return path.to_owned();
    };
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => text.push('\n'),
            ('\\', Some('t')) => text.push('\t'),
            ('\\', Some(escaped)) => text.push(escaped),
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "diff --git a/src/a b.rs b/src/a b.rs\nindex 1..2 100644\n--- a/src/a b.rs\t\n+++ b/src/a b.rs\t\n@@ -10,2 +10,3 @@ fn upload()\n let r = send();\n--- x\n+r?;\n+Ok(())\ndiff --git a/old b/old\ndeleted file mode 100644\n--- a/old\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n\\ No newline at end of file\n";

    #[test]
    fn lines_are_numbered_on_both_sides() {
        let files = parse(TEXT);
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].path(), "src/a b.rs");
        let hunk = &files[0].hunks[0];
        assert_eq!(
            (hunk.context.as_str(), hunk.source_span, hunk.destination_span),
            ("fn upload()", 2, 3)
        );
        let lines: Vec<_> = hunk
            .lines
            .iter()
            .map(|l| (l.kind.name(), l.source, l.destination, l.text.as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                ("CONTEXT", 10, 10, "let r = send();"),
                ("REMOVED", 11, 11, "-- x"),
                ("ADDED", 12, 11, "r?;"),
                ("ADDED", 12, 12, "Ok(())"),
            ]
        );
    }

    #[test]
    fn a_deleted_file_has_no_destination() {
        let file = &parse(TEXT)[1];
        assert_eq!(
            (file.source.as_deref(), file.destination.as_deref()),
            (Some("old"), None)
        );
        assert_eq!(file.hunks[0].lines.len(), 1);
    }

    #[test]
    fn a_line_is_found_on_its_own_side_only() {
        let file = &parse(TEXT)[0];
        assert_eq!(file.line(12, false).unwrap().text, "Ok(())");
        assert_eq!(file.line(11, true).unwrap().text, "-- x");
        assert!(file.line(12, true).is_none());
        assert_eq!(file.around(12, false).hunks.len(), 1);
        assert!(file.around(40, false).hunks.is_empty());
    }
}
