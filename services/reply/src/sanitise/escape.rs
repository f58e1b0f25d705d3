//! Plain text as Markdown that shows exactly that text.

/// Between `@` and a name: neither a search over the source nor one over the parsed text sees a mention
/// (how Bitbucket searches is undocumented). Written as an entity, so that nothing in the source is invisible.
const AT: &str = "@&#8203;";

/// Escapes text for one inline run. `line_start`: whether it stands where a block could begin.
pub(crate) fn text(text: &str, base_url: &str, line_start: bool) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut line_start = line_start;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let space = &piece[word.len()..];
        match url_in(word) {
            Some((before, url, after)) => {
                escape_into(&mut out, before, line_start);
                if out.ends_with('`') {
                    // Two runs of backticks side by side would be one.
                    out.push(' ');
                }
                out.push_str(&linked(url, base_url));
                escape_into(&mut out, after, false);
            }
            None => escape_into(&mut out, word, line_start),
        }
        // Several spaces at a line's start would begin an indented block.
        let indents = line_start && word.is_empty();
        if !indents && !space.is_empty() {
            out.push(' ');
        }
        line_start = indents;
    }
    out
}

/// Whether a link may lead there.
pub(crate) fn leads_to(url: &str, base_url: &str) -> bool {
    url.strip_prefix(base_url)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
        && !url.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '\\' | '"'))
}

/// A URL that stands in the text: a link if it leads to Bitbucket, else code, which no viewer turns into a link.
fn linked(url: &str, base_url: &str) -> String {
    if leads_to(url, base_url) {
        format!("<{url}>")
    } else {
        super::code(url)
    }
}

/// Splits a word into what stands before a URL, the URL, and closing punctuation.
fn url_in(word: &str) -> Option<(&str, &str, &str)> {
    const STARTS: [&str; 2] = ["www.", "mailto:"];
    let lower = word.to_ascii_lowercase();
    let scheme = lower.find("://").map(|at| {
        lower[..at]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
            .map_or(0, |before| {
                before + lower[before..].chars().next().map_or(0, char::len_utf8)
            })
    });
    let start = STARTS
        .iter()
        .filter_map(|start| lower.find(start))
        .chain(scheme)
        .min()?;
    let end = word
        .trim_end_matches([
            '.', ',', ';', ':', '!', '?', ')', ']', '}', '>', '"', '\'', '*', '_',
        ])
        .len();
    if end <= start {
        return None;
    }
    Some((&word[..start], &word[start..end], &word[end..]))
}

fn escape_into(out: &mut String, word: &str, line_start: bool) {
    let mut previous = None;
    let mut chars = word.char_indices().peekable();
    let ordinal = if line_start { ordinal_end(word) } else { None };
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        let inside_word =
            previous.is_some_and(char::is_alphanumeric) && next.is_some_and(char::is_alphanumeric);
        match c {
            '@' => {
                out.push_str(AT);
                previous = Some(c);
                continue;
            }
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '~' => out.push('\\'),
            '_' if !inside_word => out.push('\\'),
            // At the end the next run may begin with '[' or with the rest of an entity.
            '!' if next.is_none_or(|n| n == '[') => out.push('\\'),
            '&' if next.is_none_or(|n| n == '#' || n.is_alphanumeric()) => out.push('\\'),
            '#' | '+' | '-' | '=' if line_start && at == 0 => out.push('\\'),
            '.' | ')' if ordinal == Some(at) => out.push('\\'),
            _ => {}
        }
        out.push(c);
        previous = Some(c);
    }
}

/// Where the `.` or `)` stands that would make the word a list's number.
fn ordinal_end(word: &str) -> Option<usize> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0 && matches!(word.as_bytes().get(digits), Some(b'.' | b')'))).then_some(digits)
}
