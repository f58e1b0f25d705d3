//! Which verbs a request may begin with.

use pipeline::mention::Verb;
use pipeline::verbs::TABLE;

use super::PUNCTUATION;
use super::scan::{Scan, is_blank};

/// A verb that the request may begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) verb: Verb,
    /// Where what stands behind it begins: behind punctuation that touches it.
    pub(super) end: usize,
}

/// What people put around a word to make it stand out.
const EMPHASIS: &str = "*_`";
/// Longer runs of it are no emphasis.
const EMPHASIS_MAX: usize = 3;

/// The verbs that stand here, the longest form first, whatever their case.
pub(super) fn forms(scan: &mut Scan<'_>) -> Vec<Form> {
    let text = scan.rest();
    let opening = text.find(|c| !EMPHASIS.contains(c)).unwrap_or(text.len());
    if opening > EMPHASIS_MAX {
        scan.look(opening);
        return Vec::new();
    }
    let emphasis = &text[..opening];
    let mut found: Vec<Form> = Vec::new();
    for row in TABLE {
        for form in row.forms {
            let (length, looked_at) = spelled(&text[opening..], form);
            scan.look(looked_at);
            let Some(length) = length else { continue };
            let (end, looked_at) = closed(text, opening + length, emphasis);
            scan.look(looked_at);
            let Some(end) = end else { continue };
            found.push(Form { verb: row.verb, end });
        }
    }
    found.sort_by_key(|form| std::cmp::Reverse(form.end));
    found
}

/// How many bytes spell the form's words, with blanks between them; and how many were looked at.
fn spelled(text: &str, form: &str) -> (Option<usize>, usize) {
    let mut rest = text;
    for (number, word) in form.split(' ').enumerate() {
        if number > 0 {
            let behind = rest.trim_start_matches(is_blank);
            if behind.len() == rest.len() {
                return (None, text.len() - rest.len() + 1);
            }
            rest = behind;
        }
        match rest.get(..word.len()) {
            Some(typed) if typed.eq_ignore_ascii_case(word) => rest = &rest[word.len()..],
            _ => return (None, text.len() - rest.len() + word.len()),
        }
    }
    let length = text.len() - rest.len();
    (Some(length), length)
}

/// Where a verb ends that was spelled up to `end`: its emphasis closed, punctuation behind it, and then white space or
/// nothing. `None` where it is the beginning of another word. And how many bytes were looked at.
fn closed(text: &str, end: usize, emphasis: &str) -> (Option<usize>, usize) {
    let Some(behind) = text[end..].strip_prefix(emphasis) else {
        return (None, emphasis.len());
    };
    let behind = behind.trim_start_matches(|c| PUNCTUATION.contains(c));
    let closes = behind.chars().next().is_none_or(char::is_whitespace);
    let at = text.len() - behind.len();
    (closes.then_some(at), at - end + 1)
}
