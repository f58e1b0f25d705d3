//! From the text behind a mention to a command. Verbs and options join here.

use pipeline::mention::Command;

/// Reads what stands behind the mention, up to the end of the comment, as Markdown source. Never fails: what is
/// not a known form is a request in free text.
pub(crate) fn parse(behind_mention: &str) -> Command {
    Command::request(
        without_separators(behind_mention)
            .trim_end()
            .replace("\r\n", "\n"),
    )
}

/// Drops what only separates the mention from its request: punctuation and emphasis that touch the mention, then
/// blanks, commas, colons and lone dashes on its line, then empty lines. A `--` alone says that the text follows.
fn without_separators(behind_mention: &str) -> &str {
    let mut rest = behind_mention.trim_start_matches(|c: char| ".,;:!?)]}*_".contains(c));
    loop {
        let shorter =
            rest.trim_start_matches(|c: char| (c.is_whitespace() && !is_line_end(c)) || ",:".contains(c));
        match shorter.strip_prefix('-') {
            Some(behind) if behind.chars().next().is_none_or(char::is_whitespace) => rest = behind,
            _ => {
                rest = shorter;
                break;
            }
        }
    }
    if let Some(text) = rest
        .strip_prefix("--")
        .filter(|text| text.chars().next().is_none_or(char::is_whitespace))
    {
        rest = text;
    }
    without_leading_blank_lines(rest)
}

/// Drops blank lines at the beginning but keeps the indentation of the first line with text when it is on a line
/// of its own: an indented code block stays one.
fn without_leading_blank_lines(text: &str) -> &str {
    let first_text = text.len() - text.trim_start().len();
    match text[..first_text].rfind(is_line_end) {
        Some(newline) => &text[newline + 1..],
        None => &text[first_text..],
    }
}

fn is_line_end(c: char) -> bool {
    c == '\n' || c == '\r'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(behind_mention: &str, text: &str) {
        assert_eq!(
            parse(behind_mention).text,
            text,
            "behind the mention: {behind_mention:?}"
        );
    }

    #[test]
    fn separators_are_dropped_and_markdown_is_kept() {
        check(" fix the null check", "fix the null check");
        check(", please add a test.", "please add a test.");
        check(": fix", "fix");
        check(" - fix", "fix");
        check("\u{a0}fix", "fix");
        check("** fix", "fix");
        check("! Fix **this**", "Fix **this**");
        check(" **fix** it", "**fix** it");
        check("", "");
        check(" :\r\n", "");
    }

    #[test]
    fn a_list_or_code_block_below_the_mention_stays_one() {
        check("\n- a\n- b\n", "- a\n- b");
        check(":\r\n\r\n    code\r\nmore", "    code\nmore");
    }

    #[test]
    fn options_are_not_taken_for_separators() {
        check(" --model fast fix", "--model fast fix");
        check(" -- --fix the flag parser", "--fix the flag parser");
        check(" -x", "-x");
    }
}
