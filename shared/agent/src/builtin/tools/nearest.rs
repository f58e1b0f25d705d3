//! What to say when the text of an edit does not occur: where something like it is.

/// How many lines of the text are compared; the rest follows from them.
const OLD_LINES_MAX: usize = 20;

/// How many lines of the file are compared. Longer ones are not written by hand.
const FILE_LINES_MAX: usize = 50_000;

/// How many bytes of a line are compared and shown.
const LINE_BYTES_MAX: usize = 200;

/// How many lines are shown.
const SHOWN_LINES_MAX: usize = 6;

/// From how many parts in a hundred on a line is like another.
const LIKE_PERCENT_MIN: usize = 60;

/// Says that `old` does not occur in the content, and what in it comes nearest.
pub(super) fn missing(content: &[u8], old: &str) -> String {
    let mut said = vec![
        "old does not occur; view the file and copy the text exactly, spaces and tabs included".to_owned(),
    ];
    if std::str::from_utf8(content).is_err() {
        said.push("The file is not UTF-8: take a part for old that has only plain letters".to_owned());
    }
    let text = String::from_utf8_lossy(content);
    let lines: Vec<&str> = text.lines().take(FILE_LINES_MAX).map(short).collect();
    let old: Vec<&str> = old.lines().take(OLD_LINES_MAX).map(short).collect();
    if let Some(first) = nearest(&lines, &old) {
        said.push("Nearest to it:".to_owned());
        let shown = lines.iter().enumerate().skip(first);
        let count = old.len().clamp(1, SHOWN_LINES_MAX);
        said.extend(
            shown
                .take(count)
                .map(|(index, line)| format!("{}: {line}", index + 1)),
        );
    }
    said.join("\n")
}

/// The index of the line where the text fits best: where most of its lines are, not counting spaces around them; else
/// where a line is like its first one.
fn nearest(lines: &[&str], old: &[&str]) -> Option<usize> {
    let equal_from = |first: usize| {
        let pairs = lines[first..].iter().zip(old);
        pairs
            .filter(|(line, old)| !old.trim().is_empty() && line.trim() == old.trim())
            .count()
    };
    let best = (0..lines.len())
        .map(|first| (equal_from(first), first))
        .reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    if best.0 > 0 {
        return Some(best.1);
    }
    let (skipped, wanted) = old.iter().enumerate().find(|(_, line)| !line.trim().is_empty())?;
    let like = lines
        .iter()
        .enumerate()
        .map(|(index, line)| (likeness(line.trim(), wanted.trim()), index))
        .reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    (like.0 >= LIKE_PERCENT_MIN).then(|| like.1.saturating_sub(skipped))
}

/// How much two lines have in common at their ends, in parts of a hundred.
fn likeness(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let (shorter, longer) = (one.len().min(other.len()), one.len().max(other.len()));
    if longer == 0 {
        return 0;
    }
    let same = |pair: &(&u8, &u8)| pair.0 == pair.1;
    let head = one.iter().zip(other).take_while(same).count();
    let tail = one.iter().rev().zip(other.iter().rev()).take_while(same).count();
    // A short line within a long one must not count its bytes twice.
    (head + tail).min(shorter) * 100 / longer
}

fn short(line: &str) -> &str {
    &line[..line.floor_char_boundary(LINE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "fn add(a: u32, b: u32) -> u32 {\n    let sum = a - b;\n    sum\n}\n\nfn other() {}\n";

    #[test]
    fn lines_that_differ_in_spaces_are_shown() {
        let said = missing(FILE.as_bytes(), "\tlet sum = a - b;\n\tsum\n");
        assert!(
            said.ends_with("Nearest to it:\n2:     let sum = a - b;\n3:     sum"),
            "{said}"
        );
    }

    #[test]
    fn a_line_that_differs_in_a_few_letters_is_shown() {
        let said = missing(FILE.as_bytes(), "\n    let sun = a - b;\n    sun");
        assert!(
            said.ends_with(
                "Nearest to it:\n1: fn add(a: u32, b: u32) -> u32 {\n2:     let sum = a - b;\n3:     sum"
            ),
            "{said}"
        );
    }

    #[test]
    fn nothing_is_shown_where_nothing_is_like_it() {
        for old in ["completely different words", "\n\n", "}}}}}}}}"] {
            let said = missing(FILE.as_bytes(), old);
            assert!(!said.contains("Nearest"), "{old:?}: {said}");
        }
        assert!(!missing(b"", "x").contains("Nearest"));
    }

    #[test]
    fn a_file_that_is_not_utf_8_is_named_as_such() {
        assert!(missing(b"caf\xe9 = 1\n", "café = 1").contains("not UTF-8"));
        assert!(!missing("café = 1\n".as_bytes(), "cafe = 1").contains("not UTF-8"));
    }

    #[test]
    fn long_lines_and_files_are_shown_in_part() {
        let content = format!("{}\n", "x".repeat(1_000_000)).repeat(3);
        let said = missing(content.as_bytes(), &"x\n".repeat(10_000));
        assert!(said.len() < 3_000, "{}", said.len());
    }
}
