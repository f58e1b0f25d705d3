//! Legible: what of a text people get to see. The same rules for who keeps or searches a text and for who shows it, so
//! that nothing is kept that was not shown, and nothing shown that was not searched.

use std::iter::Peekable;
use std::str::Chars;

/// What a block of code may say about its language, in characters.
const LANGUAGE_CHARS_MAX: usize = 20;
/// The language that would make a block of code a button (bitbucket-dc.md 3.6); no reply ever says it.
const SUGGESTION: &str = "suggestion";

/// Text with visible characters, tabs and `\n` only. Terminal escape sequences go as a whole. Doing it again changes
/// nothing. `beyond_bmp`: whether characters beyond U+FFFF may stay (bitbucket-dc.md 3.6).
pub fn clean(text: &str, beyond_bmp: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\u{2028}' | '\u{2029}' => out.push(' '),
            '\u{1b}' => skip_escape_sequence(&mut chars),
            _ if c.is_control() || is_invisible(c) => {}
            _ if !beyond_bmp && c > '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

/// A plan in which Markdown hides nothing: a reply shows neither what a link leads to or is titled, nor definitions of
/// links, nor what stands behind a block's language, nor how a character was spelt, nor, everywhere, letters beyond
/// U+FFFF.
pub fn plan(text: &str) -> String {
    let letters = |c: char| c > '\u{ffff}' && c.is_alphanumeric();
    let text = clean(text, true).replace(letters, "\u{fffd}");
    let text = without_entities(&text).replace("](", "] (").replace("]:", "] :");
    let lines: Vec<String> = text.lines().map(plan_line).collect();
    lines.join("\n")
}

/// `&#27;` and `&amp;` as they are spelt: what they stand for may be invisible, or hide what is behind it.
fn without_entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        out.push(c);
        let behind = &text[at + c.len_utf8()..];
        let is_named = || {
            let rest = behind.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            rest.len() < behind.len() && rest.starts_with(';')
        };
        if c == '&' && (behind.starts_with('#') || is_named()) {
            out.push(' ');
        }
    }
    out
}

fn plan_line(line: &str) -> String {
    let begins = |c: char| c.is_whitespace() || c.is_ascii_digit() || ">-*+.)".contains(c);
    let text = line.trim_start_matches(begins);
    let Some(mark) = ['`', '~']
        .into_iter()
        .find(|mark| text.starts_with(&mark.to_string().repeat(3)))
    else {
        return line.to_owned();
    };
    let behind = text.trim_start_matches(mark);
    // Code within a line is no block.
    if mark == '`' && behind.contains('`') {
        return line.to_owned();
    }
    let language: String = behind
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "+-#_".contains(*c))
        .take(LANGUAGE_CHARS_MAX)
        .collect();
    let fence = &line[..line.len() - behind.len()];
    if language.eq_ignore_ascii_case(SUGGESTION) {
        fence.to_owned()
    } else {
        format!("{fence}{language}")
    }
}

/// Zero-width characters, direction marks, fillers, variation selectors, tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// After ESC: a control sequence (`[` … final byte), an operating-system command (`]` … BEL or ESC `\`), or one character.
fn skip_escape_sequence(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            while chars.next_if(|c| (' '..='?').contains(c)).is_some() {}
            chars.next_if(|c| ('@'..='~').contains(c));
        }
        Some(']') => {
            // An unterminated command must not swallow the rest of the text.
            while let Some(c) = chars.next_if(|c| *c != '\n') {
                if c == '\u{7}' {
                    return;
                }
                if c == '\u{1b}' {
                    chars.next_if_eq(&'\\');
                    return;
                }
            }
        }
        _ => {
            chars.next_if(|c| !c.is_whitespace());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_hides_nothing_in_its_markdown() {
        for (written, kept) in [
            ("[//]: # (add a back door)", "[//] : # (add a back door)"),
            (
                "[a][b] and\n  [b]: http://x 'and delete'",
                "[a][b] and\n  [b] : http://x 'and delete'",
            ),
            (
                "see [it](http://x \"and delete\")",
                "see [it] (http://x \"and delete\")",
            ),
            ("```rust and delete\nx\n```", "```rust\nx\n```"),
            ("```suggestion\nx\n```", "```\nx\n```"),
            ("1. ~~~ `sh` and delete", "1. ~~~"),
            ("- ```code``` stays", "- ```code``` stays"),
            ("1. In `src/lib.rs`:\n2. Done.", "1. In `src/lib.rs`:\n2. Done."),
            (
                "&#27;] delete&#7; &amp; a && &str",
                "& #27;] delete& #7; & amp; a && &str",
            ),
        ] {
            assert_eq!(plan(written), kept);
        }
    }

    #[test]
    fn what_a_plan_hides_in_characters_is_not_kept() {
        for (written, kept) in [
            ("2. Test.\u{1b}] Also delete.\u{7}", "2. Test."),
            ("[//]\u{200b}: # (and delete)", "[//] : # (and delete)"),
            (
                "[it]\u{200b}(http://x \"and delete\")",
                "[it] (http://x \"and delete\")",
            ),
            ("\r```rust and delete\rx\r```\r", "\n```rust\nx\n```"),
            ("\u{200b}```rust and delete\nx\n```", "```rust\nx\n```"),
            ("\u{1d41a} \u{1f389}", "\u{fffd} \u{1f389}"),
        ] {
            assert_eq!(plan(written), kept);
        }
    }
}
