//! `edit{path, old, new}`: replaces a text that occurs once, or creates a file.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;

use super::Done;
use super::nearest;
use super::tree::Tree;

/// How many places are named when a text occurs several times.
const PLACES_NAMED_MAX: usize = 10;

#[derive(Deserialize)]
pub(super) struct Arguments {
    path: String,
    old: String,
    new: String,
}

/// Changes or creates the file.
pub(super) fn run(tree: &Tree, arguments: Arguments) -> Result<Done, String> {
    let Arguments { path, old, new } = arguments;
    if old.is_empty() {
        tree.create(&path, new.as_bytes())
            .map_err(|error| error.of(&path))?;
        return Ok(Done::said(format!("created {path}")));
    }
    let mut file = tree.open_for_writing(&path).map_err(|error| error.of(&path))?;
    let content = file.read().map_err(|error| error.of(&path))?;
    let changed = replace(&content, &old, &new).map_err(|why| format!("{path}: {why}"))?;
    file.overwrite(&changed).map_err(|error| error.of(&path))?;
    Ok(Done::said(format!("edited {path}")))
}

/// The content with `old` replaced by `new`, byte by byte: what else is in the file, of whatever encoding, stays.
///
/// Models write `\n`; in a file whose lines end in `\r\n` that means `\r\n`.
fn replace(content: &[u8], old: &str, new: &str) -> Result<Vec<u8>, String> {
    if old == new {
        return Err("old and new are the same".to_owned());
    }
    let as_written = (Cow::Borrowed(old), Cow::Borrowed(new));
    let with_crlf = (to_crlf(old), to_crlf(new));
    let candidates = match LineEnds::of(content) {
        LineEnds::Lf => vec![as_written],
        LineEnds::Crlf => vec![with_crlf],
        LineEnds::Mixed => vec![as_written, with_crlf],
    };
    for (old, new) in candidates {
        let places = places(content, old.as_bytes());
        match places[..] {
            [] => {}
            [at] => {
                let after = &content[at + old.len()..];
                return Ok([&content[..at], new.as_bytes(), after].concat());
            }
            _ => return Err(several(content, &places)),
        }
    }
    Err(nearest::missing(content, old))
}

/// Where the text occurs, overlapping ones included.
fn places(content: &[u8], text: &[u8]) -> Vec<usize> {
    let finder = memmem::Finder::new(text);
    let mut places = Vec::new();
    let mut from = 0;
    // One more than is named, to know that there are more. Each search begins behind the last hit's first byte.
    while places.len() <= PLACES_NAMED_MAX {
        let Some(at) = content.get(from..).and_then(|rest| finder.find(rest)) else {
            break;
        };
        places.push(from + at);
        from += at + 1;
    }
    places
}

fn several(content: &[u8], places: &[usize]) -> String {
    let named = &places[..places.len().min(PLACES_NAMED_MAX)];
    let lines: Vec<String> = named
        .iter()
        .map(|at| (memchr::memchr_iter(b'\n', &content[..*at]).count() + 1).to_string())
        .collect();
    let (times, more) = if places.len() > PLACES_NAMED_MAX {
        (format!("more than {PLACES_NAMED_MAX} times"), ", …")
    } else {
        (format!("{} times", places.len()), "")
    };
    format!(
        "old occurs more than once, {times}, beginning in lines {}{more}; take more of the lines around it",
        lines.join(", ")
    )
}

enum LineEnds {
    Lf,
    Crlf,
    Mixed,
}

impl LineEnds {
    fn of(content: &[u8]) -> Self {
        let ends = memchr::memchr_iter(b'\n', content).count();
        let crlf = memmem::find_iter(content, b"\r\n").count();
        match crlf {
            0 => Self::Lf,
            _ if crlf == ends => Self::Crlf,
            _ => Self::Mixed,
        }
    }
}

fn to_crlf(text: &str) -> Cow<'_, str> {
    if text.contains('\n') {
        text.replace("\r\n", "\n").replace('\n', "\r\n").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content: &[u8], old: &str, new: &str, expected: Result<&[u8], &str>) {
        match (replace(content, old, new), expected) {
            (Ok(changed), Ok(expected)) => {
                assert_eq!(
                    String::from_utf8_lossy(&changed),
                    String::from_utf8_lossy(expected)
                );
                assert_eq!(changed, expected);
            }
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
            (actual, expected) => panic!("{actual:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_text_that_occurs_once_is_replaced() {
        check(b"a - b\n", "-", "+", Ok(b"a + b\n"));
        check(b"one\ntwo\n", "one\ntwo\n", "", Ok(b""));
        check(b"end", "end", "the end", Ok(b"the end"));
    }

    #[test]
    fn no_occurrence_or_several_are_refused() {
        check(b"abc", "x", "y", Err("does not occur"));
        check(b"", "x", "y", Err("does not occur"));
        check(b"abab", "ab", "y", Err("more than once, 2 times"));
        check(b"aaa", "aa", "y", Err("more than once"));
        check(b"abc", "b", "b", Err("the same"));
    }

    #[test]
    fn several_occurrences_are_counted_with_their_lines() {
        check(
            b"x\na = 1\ny\na = 1\n",
            "a = 1",
            "a = 2",
            Err("2 times, beginning in lines 2, 4; take"),
        );
        let many = b"a\n".repeat(50);
        check(
            &many,
            "a",
            "b",
            Err("more than 10 times, beginning in lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …; take"),
        );
    }

    #[test]
    fn line_ends_of_a_crlf_file_are_kept() {
        check(
            b"a\r\nb\r\nc\r\n",
            "a\nb\n",
            "x\ny\nz\n",
            Ok(b"x\r\ny\r\nz\r\nc\r\n"),
        );
        check(b"a\r\nb\r\n", "a\r\nb", "x\r\ny", Ok(b"x\r\ny\r\n"));
        check(b"a\r\nb\r\n", "b", "x\ny", Ok(b"a\r\nx\r\ny\r\n"));
    }

    #[test]
    fn mixed_line_ends_are_matched_as_written_first() {
        check(b"a\nb\r\nc\r\nd\n", "a\n", "x\n", Ok(b"x\nb\r\nc\r\nd\n"));
        check(b"a\nb\r\nc\r\nd\n", "b\nc\n", "x\ny\n", Ok(b"a\nx\r\ny\r\nd\n"));
    }

    #[test]
    fn bytes_that_are_not_utf_8_stay() {
        check(b"\xe9t\xe9 = 1\n", "= 1", "= 2", Ok(b"\xe9t\xe9 = 2\n"));
        check(
            b"\xef\xbb\xbfkey\n\xff\xfe\0",
            "key",
            "k\u{e9}y",
            Ok(b"\xef\xbb\xbfk\xc3\xa9y\n\xff\xfe\0"),
        );
    }

    #[test]
    fn a_text_that_repeats_itself_is_looked_for_in_linear_time() {
        let content = "a".repeat(4_000_000);
        let old = "a".repeat(500_000) + "b";
        check(content.as_bytes(), &old, "x", Err("does not occur"));
    }
}
