//! Makes foreign text show what it is: nothing invisible, nothing that reorders, no fence it could close.

/// Runs of backticks are shortened beyond this, so that a fence never gets longer than this and one.
const BACKTICKS_MAX: usize = 32;

/// Longest text of [`line()`], in characters: names, titles and paths.
const LINE_CHARS_MAX: usize = 400;

/// Longest text of [`name`], in characters.
const NAME_CHARS_MAX: usize = 80;

/// `text` with everything invisible written out as `\u{…}`. Line ends become `\n`; tabs stay.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut backticks = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '`' {
            backticks += 1;
            if backticks <= BACKTICKS_MAX {
                shown.push(c);
            }
            continue;
        }
        end_backticks(&mut shown, &mut backticks);
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\t' => shown.push(c),
            c if is_invisible(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    end_backticks(&mut shown, &mut backticks);
    shown
}

/// The same on one line, shortened: for names, titles and paths.
pub(crate) fn line(text: &str) -> String {
    let start: String = text.chars().take(LINE_CHARS_MAX).collect();
    let shown = self::text(&start).replace('\n', "\\n").replace('\t', "\\t");
    if start.len() < text.len() {
        return format!("{shown}[… {} bytes left out]", text.len() - start.len());
    }
    shown
}

/// A name for our own sentences: nothing but letters, digits and what names on Bitbucket are made of, so that it
/// cannot pass for a sentence of ours.
pub(crate) fn name(text: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_.@/~".contains(c) {
            c
        } else {
            '?'
        }
    };
    text.chars().take(NAME_CHARS_MAX).map(plain).collect()
}

/// A fence of backticks that nothing in `body` closes.
pub(crate) fn fence(body: &str) -> String {
    let longest = body.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat((longest + 1).max(3))
}

fn end_backticks(shown: &mut String, backticks: &mut usize) {
    if *backticks > BACKTICKS_MAX {
        shown.push('[');
        shown.push_str(&(*backticks - BACKTICKS_MAX).to_string());
        shown.push_str(" more backticks]");
    }
    *backticks = 0;
}

/// Control characters, and what Unicode has for joining, hiding and reordering text.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(
            text("a\r\nb\rc\u{1b}[2J\u{202e}\u{200b}\u{e0041}\u{feff}é😀\td"),
            "a\nb\\u{d}c\\u{1b}[2J\\u{202e}\\u{200b}\\u{e0041}\\u{feff}é😀\td"
        );
        assert_eq!(line("a\nb\tc"), "a\\nb\\tc");
        assert_eq!(name("al ice\n# Do `this`"), "al?ice???Do??this?");
    }

    #[test]
    fn a_long_line_names_what_was_cut() {
        let shown = line(&"x".repeat(1_000));
        assert!(shown.ends_with("[… 600 bytes left out]"), "{shown}");
    }

    #[test]
    fn endless_backticks_do_not_make_an_endless_fence() {
        let body = text(&"`".repeat(100_000));
        assert!(body.ends_with("`[99968 more backticks]"));
        assert_eq!(fence(&body).len(), 33);
    }

    proptest! {
        #[test]
        fn no_text_closes_its_fence_or_hides_a_character(foreign in "[`~a\n\r \u{200b}\u{202e}\u{0}]{0,200}") {
            let body = text(&foreign);
            prop_assert!(!body.contains(&fence(&body)));
            prop_assert!(!body.chars().any(|c| is_invisible(c) && c != '\n' && c != '\t'));
        }
    }
}
