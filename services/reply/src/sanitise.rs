//! Text by models, servers and people is data. What leaves here is Markdown whose active parts are ours: no HTML,
//! no image, no link but to Bitbucket itself, nobody notified, nothing invisible, every fence closed.
//!
//! Text is not searched for bad parts. It is parsed, and Markdown is written anew from the parse, so that what
//! nobody thought of comes out as plain text.

mod escape;
mod rewrite;

pub(crate) use pipeline::legible::clean;

/// What data may still do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy<'a> {
    /// The only place links may lead to, without a trailing slash.
    pub(crate) base_url: &'a str,
    /// Whether characters beyond U+FFFF may stay; databases with three-byte text refuse them (bitbucket-dc.md 3.6).
    pub(crate) beyond_bmp: bool,
}

/// Said where a text was cut.
const SHORTENED: &str = "*(shortened)*";

/// Bitbucket counts a comment's characters; UTF-16 units are the strictest reading of that.
pub(crate) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Markdown as several blocks, in at most `units_max` UTF-16 units. Ends without a newline.
pub(crate) fn markdown(text: &str, policy: Policy<'_>, units_max: usize) -> String {
    let text = clean(text, policy.beyond_bmp);
    let whole = rewrite::rewrite(prefix(&text, units_max), policy);
    if units(&whole) <= units_max && units(&text) <= units_max {
        return whole;
    }
    // Escaping makes text longer, at worst eightfold: halving the input ends after a few rounds.
    let room = units_max.saturating_sub(units(SHORTENED) + 2);
    let mut take = room;
    while take > 0 {
        let written = rewrite::rewrite(prefix(&text, take), policy);
        if units(&written) <= room {
            return format!("{written}\n\n{SHORTENED}");
        }
        take /= 2;
    }
    String::new()
}

/// One line of inline Markdown, in at most `units_max` UTF-16 units.
pub(crate) fn line(text: &str, policy: Policy<'_>, units_max: usize) -> String {
    let text = clean(text, policy.beyond_bmp)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let cut = prefix(&text, units_max);
    let mut written = rewrite::rewrite(cut, policy);
    if written.contains('\n') {
        // It opened a block: then it is taken by the letter.
        written = escape::text(cut, policy.base_url, true);
    }
    if units(&written) > units_max {
        // No room for its escapes: shown as code, which needs none.
        written = code(prefix(cut, units_max.saturating_sub(4)));
    }
    if cut.len() < text.len() {
        format!("{written} …")
    } else {
        written
    }
}

/// A short text as inline code: a branch, a commit.
pub(crate) fn code(text: &str) -> String {
    let text = clean(text, true).replace(['\n', '\t'], " ");
    if text.trim().is_empty() {
        return String::new();
    }
    let ticks = "`".repeat(longest_run(&text, '`') + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// A link's address. Brackets only where it could end early without them.
pub(crate) fn destination(url: &str) -> String {
    let plain = url
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#@!$&'*+,;=%".contains(&b));
    if plain { url.to_owned() } else { format!("<{url}>") }
}

/// A fenced block. The fence is longer than any run of backticks inside.
pub(crate) fn fence(text: &str, language: &str, policy: Policy<'_>, units_max: usize) -> String {
    let text = clean(text, policy.beyond_bmp);
    let cut = prefix(&text, units_max);
    let ticks = "`".repeat((longest_run(cut, '`') + 1).max(3));
    let more = if cut.len() < text.len() { "\n…" } else { "" };
    format!(
        "{ticks}{}\n{}{more}\n{ticks}",
        info_string(language),
        cut.trim_end_matches('\n')
    )
}

/// A fence's language. `suggestion` would become a button that applies the text to the branch (bitbucket-dc.md 3.6).
fn info_string(language: &str) -> String {
    const LANGUAGE_CHARACTERS_MAX: usize = 20;
    let word: String = language
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '#'))
        .take(LANGUAGE_CHARACTERS_MAX)
        .collect();
    if word.eq_ignore_ascii_case("suggestion") {
        String::new()
    } else {
        word
    }
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or(0)
}

/// The longest beginning of at most `units_max` UTF-16 units.
fn prefix(text: &str, units_max: usize) -> &str {
    let mut seen = 0;
    for (at, c) in text.char_indices() {
        seen += c.len_utf16();
        if seen > units_max {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests;
