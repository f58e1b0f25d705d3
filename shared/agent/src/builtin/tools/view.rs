//! `view{path}`: a file or a directory.

use std::borrow::Cow;

use rustix::fs::Dir;
use serde::Deserialize;

use super::Done;
use super::tree::{Opened, Tree};

/// About 5,000 tokens, a source file of 500 lines; longer ones are viewed in parts.
const VIEW_BYTES_MAX: usize = 20_000;

/// How many entries of a directory are listed; more say less.
const ENTRIES_MAX: usize = 300;

/// Said of a file whose bytes cannot all be shown.
const NOT_UTF_8: &str = "[the file is not UTF-8; what is shown as \u{fffd} cannot be matched by edit]";

#[derive(Deserialize)]
pub(super) struct Arguments {
    path: String,
    first_line: Option<usize>,
    last_line: Option<usize>,
}

/// Shows a file's text or a directory's entries.
pub(super) fn run(tree: &Tree, arguments: Arguments) -> Result<Done, String> {
    let Arguments {
        path,
        first_line,
        last_line,
    } = arguments;
    let shown = match tree.open_for_reading(&path).map_err(|error| error.of(&path))? {
        Opened::Directory(directory) => list(&directory).map_err(|error| format!("{path}: {error}"))?,
        Opened::File(mut file) => {
            let content = file.read().map_err(|error| error.of(&path))?;
            let text = String::from_utf8_lossy(&content);
            let shown = lines(&text, first_line, last_line);
            // The lossy text borrows what is UTF-8.
            match text {
                Cow::Borrowed(_) => shown,
                Cow::Owned(_) => format!("{shown}\n{NOT_UTF_8}"),
            }
        }
    };
    Ok(Done {
        result: shown,
        step: format!("looked at {path}"),
    })
}

/// The lines asked for, up to the limit, and a last line that says what is missing.
fn lines(text: &str, first: Option<usize>, last: Option<usize>) -> String {
    let first = first.unwrap_or(1).max(1);
    let last = last.unwrap_or(usize::MAX);
    let total = text.lines().count();
    let mut shown = String::new();
    let asked = text
        .split_inclusive('\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    for (number, line) in asked.filter(|(number, _)| (first..=last).contains(number)) {
        if shown.len() + line.len() > VIEW_BYTES_MAX {
            let room = line.floor_char_boundary(VIEW_BYTES_MAX - shown.len());
            shown.push_str(&line[..room]);
            return format!("{shown}\n[cut in line {number} of {total}; view the rest with first_line]");
        }
        shown.push_str(line);
    }
    if shown.is_empty() {
        format!("[no text there; the file has {total} lines]")
    } else {
        shown
    }
}

/// The entries of a directory, directories with a slash, in the order of their names.
fn list(directory: impl std::os::fd::AsFd) -> std::io::Result<String> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(if entry.file_type().is_dir() {
                format!("{name}/")
            } else {
                name
            });
        }
    }
    names.sort();
    let more = names.len().saturating_sub(ENTRIES_MAX);
    names.truncate(ENTRIES_MAX);
    if more > 0 {
        names.push(format!("[and {more} more]"));
    }
    Ok(if names.is_empty() {
        "[empty]".to_owned()
    } else {
        names.join("\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_asked_for_are_shown() {
        let text = "one\ntwo\nthree\n";
        for (first, last, shown) in [
            (None, None, text),
            (Some(2), None, "two\nthree\n"),
            (None, Some(1), "one\n"),
            (Some(2), Some(2), "two\n"),
            (Some(0), Some(1), "one\n"),
            (Some(4), None, "[no text there; the file has 3 lines]"),
            (Some(3), Some(2), "[no text there; the file has 3 lines]"),
        ] {
            assert_eq!(lines(text, first, last), shown, "{first:?} to {last:?}");
        }
    }

    #[test]
    fn a_long_file_is_cut_with_a_word_about_where() {
        let text = "ä".repeat(10).repeat(100) + "\n" + &"line\n".repeat(10_000);
        let shown = lines(&text, None, None);
        assert!(shown.len() < VIEW_BYTES_MAX + 100);
        assert!(
            shown.ends_with("of 10001; view the rest with first_line]"),
            "{}",
            &shown[shown.len() - 100..]
        );
        assert!(lines(&"ä".repeat(VIEW_BYTES_MAX), None, None).contains("[cut in line 1 of 1;"));
    }
}
