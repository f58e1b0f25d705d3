//! Is there a mention in this text, and what does it ask for? A pure function of text, names and position.

use std::ops::Range;

use config::Position;
use pipeline::mention::{Command, Verb};

use crate::{command, prose};

/// The mention that counts, of all in a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it asks for.
    pub command: Command,
    /// Where the mention stands in the text, in bytes, from `@` to the end of the name.
    pub at: Range<usize>,
    /// How many further mentions the comment has; their text is part of the command or of the context.
    pub others: usize,
    /// How many bytes were looked at to read commands, all passes together.
    pub looked_at: usize,
}

/// Finds the mention of one of `names`: the first at the beginning of a line, else the first.
/// With [`Position::LineStart`] only those at the beginning of a line count.
pub fn detect(text: &str, names: &[String], position: Position) -> Option<Found> {
    let mentions = mentions(text, names, position);
    let leading = mentions.iter().position(|mention| mention.leads_its_line);
    let chosen = leading.unwrap_or(0);
    let at = mentions.get(chosen)?.at.clone();
    let mut parsed = command::parse(&text[at.end..]);
    let (verbs, looked_at) = verbs_of_others(text, &mentions, chosen);
    parsed.command.ignored_verbs = verbs;
    Some(Found {
        command: parsed.command,
        at,
        others: mentions.len() - 1,
        looked_at: parsed.looked_at + looked_at,
    })
}

/// The verbs of the mentions that do not count, each once, and how many bytes were looked at. A mention is read up to the
/// next one, so that ten thousand of them cost no more than one.
fn verbs_of_others(text: &str, mentions: &[Candidate], chosen: usize) -> (Vec<Verb>, usize) {
    let mut verbs = Vec::new();
    let mut looked_at = 0;
    for (number, mention) in mentions.iter().enumerate() {
        if number == chosen {
            continue;
        }
        let end = mentions.get(number + 1).map_or(text.len(), |next| next.at.start);
        let parsed = command::parse(&text[mention.at.end..end]);
        looked_at += parsed.looked_at;
        let verb = parsed.command.verb;
        if verb != Verb::Request && !verbs.contains(&verb) {
            verbs.push(verb);
        }
    }
    (verbs, looked_at)
}

struct Candidate {
    at: Range<usize>,
    leads_its_line: bool,
}

/// All mentions that count, in the order of the text. Every byte is looked at a bounded number of times: the
/// beginning of a line is judged for the line's first `@` only, since a second one cannot lead.
fn mentions(text: &str, names: &[String], position: Position) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut line_start = 0;
    let mut looked_at = 0;
    let mut first_of_line = true;
    for span in prose::spans(text) {
        for (offset, _) in text[span.clone()].match_indices('@') {
            let at = span.start + offset;
            if let Some(newline) = text[looked_at..at].rfind(['\n', '\r']) {
                line_start = looked_at + newline + 1;
                first_of_line = true;
            }
            looked_at = at;
            let leads_its_line = first_of_line && is_line_lead(&text[line_start..at]);
            first_of_line = false;
            if position == Position::LineStart && !leads_its_line {
                continue;
            }
            if !text[..at].chars().next_back().is_none_or(may_stand_before) {
                continue;
            }
            if let Some(length) = names
                .iter()
                .find_map(|name| mention_length(&text[at..span.end], &text[at..], name))
            {
                found.push(Candidate {
                    at: at..at + length,
                    leads_its_line,
                });
            }
        }
    }
    found
}

/// The length of a mention of `name` that begins at `prose`'s first byte, an `@`. `source` begins at the same
/// place and goes on behind the prose, to see what follows.
fn mention_length(prose: &str, source: &str, name: &str) -> Option<usize> {
    let rest = prose.strip_prefix('@')?;
    let length = if let Some(quoted) = rest.strip_prefix('"') {
        let name_length = prefix_length(quoted, name)?;
        quoted[name_length..]
            .starts_with('"')
            .then_some(1 + 1 + name_length + 1)?
    } else if name.chars().any(char::is_whitespace) {
        return None; // Bitbucket writes such names in quotes (bitbucket-dc.md section 4.1)
    } else {
        1 + prefix_length(rest, name)?
    };
    ends_mention(&source[length..]).then_some(length)
}

/// How many bytes of `text` spell `name`, whatever the case.
fn prefix_length(text: &str, name: &str) -> Option<usize> {
    let mut rest = text.chars();
    for expected in name.chars() {
        if !same_letter(rest.next()?, expected) {
            return None;
        }
    }
    Some(text.len() - rest.as_str().len())
}

/// Equal but for case. ASCII letters equal ASCII letters only, so that no look-alike (the Kelvin sign is a `k` in
/// lower case) spells a name.
fn same_letter(a: char, b: char) -> bool {
    match (a.is_ascii(), b.is_ascii()) {
        (true, true) => a.eq_ignore_ascii_case(&b),
        (false, false) => a.to_lowercase().eq(b.to_lowercase()),
        _ => false,
    }
}

fn may_stand_before(before: char) -> bool {
    before.is_whitespace() || "([{*_".contains(before)
}

/// Whether a mention may end here. Dots and underscores end one only where no further letter follows:
/// `@openhands_bot` and `@openhands.dev` are other people's names.
fn ends_mention(after: &str) -> bool {
    let Some(next) = after.chars().next() else {
        return true;
    };
    if ['.', '_'].contains(&next) {
        let behind = after.trim_start_matches(['.', '_']).chars().next();
        return !behind.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '@');
    }
    next.is_whitespace() || ",;:!?)]}*".contains(next)
}

/// Whether a line's beginning is nothing but blanks, list and heading marks, emphasis and opening brackets.
fn is_line_lead(prefix: &str) -> bool {
    let mut rest = prefix;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "*_#-+([{]".contains(c));
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return rest.is_empty();
        }
        match rest[digits..].strip_prefix(['.', ')']) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
}
