//! `.openhands/resolver.toml` of the target branch: what a repository asks of the resolver.
//!
//! A file that is not valid does not stop a run. It is left unused as a whole, and the reply says where it is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use git::TreeFile;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::instructions::quoted;

/// Where it is.
pub(crate) const PATH: &str = ".openhands/resolver.toml";
/// Longer than this it is no configuration.
pub(crate) const BYTES_MAX: usize = 64 * 1024;
/// Checks of one repository; each is run twice, and a reply has a line for each.
const CHECKS_MAX: usize = 8;
/// Characters of a check's name, which stands in replies and artifacts.
const NAME_CHARS_MAX: usize = 40;
/// Characters of a check's command; a longer one belongs into a script.
const COMMAND_CHARS_MAX: usize = 500;
/// Time-out of a check that names none.
const SECONDS_DEFAULT: u64 = 300;
/// Longest time-out: with two runs of one such check, all the time there is for checks is used up.
const SECONDS_MAX: u64 = 600;
/// Unknown keys named in the reply.
const UNKNOWN_NAMED_MAX: usize = 5;
/// Characters of what the parser says; it quotes the file.
const REASON_CHARS_MAX: usize = 200;

/// What the resolver takes from the file, and what it says about it in the reply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// In the file's order.
    pub(crate) checks: Vec<CheckCommand>,
    /// Facts for the reply: what is wrong in the file, what is not known.
    pub(crate) notes: Vec<String>,
}

/// A check to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckCommand {
    /// What the repository calls it.
    pub(crate) name: String,
    /// For `/bin/sh -c`, in the root of the tree.
    pub(crate) command: String,
    /// After which it is ended.
    pub(crate) time_limit: Duration,
}

/// What a repository asks of the resolver: the file as it is written, on the target branch.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = ".openhands/resolver.toml")]
pub(crate) struct File {
    /// Commands that the resolver runs by itself, in its sandbox, on the commit the work started from and on the one it
    /// ends with; the reply shows both. At most 8, each named by letters, digits, `-`, `_` and `.`.
    #[schemars(with = "BTreeMap<String, CheckTable>", extend("maxProperties" = CHECKS_MAX))]
    checks: BTreeMap<Spanned<String>, Spanned<CheckTable>>,
}

/// One check: `test = { command = "cargo test -p parser", seconds = 600 }`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CheckTable {
    /// One line for `/bin/sh -c`, in the root of the tree; at most 500 characters. There is no network. 0 is passed.
    #[schemars(with = "String", length(min = 1, max = COMMAND_CHARS_MAX))]
    command: Spanned<String>,
    /// After so many seconds it is ended.
    #[serde(default = "seconds_default")]
    #[schemars(with = "u64", range(min = 1, max = SECONDS_MAX))]
    seconds: Spanned<u64>,
}

fn seconds_default() -> Spanned<u64> {
    Spanned::new(0..0, SECONDS_DEFAULT)
}

/// Something wrong in the file.
#[derive(Debug)]
struct Wrong {
    /// Bytes from its start.
    at: usize,
    reason: String,
}

/// Reads the file of `branch`.
pub(crate) fn read(file: &TreeFile, branch: &str) -> Configuration {
    let (path, branch) = (quoted(PATH), quoted(branch));
    let unused = |reason: String| Configuration {
        checks: Vec::new(),
        notes: vec![format!("{path} of {branch} was not used: {reason}")],
    };
    if file.is_cut() {
        return unused(format!("it is longer than {} KiB", BYTES_MAX / 1024));
    }
    let text = match std::str::from_utf8(&file.bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let (line, _) = line_and_column(
                &String::from_utf8_lossy(&file.bytes[..error.valid_up_to()]),
                usize::MAX,
            );
            return unused(format!("line {line} is not UTF-8"));
        }
    };
    match parse(text) {
        Ok(checks) => Configuration {
            checks,
            notes: unknown(text)
                .into_iter()
                .map(|unknown| format!("In {path} of {branch}, {unknown}"))
                .collect(),
        },
        Err(wrong) => {
            let (line, column) = line_and_column(text, wrong.at);
            unused(format!("line {line}, column {column}: {}", wrong.reason))
        }
    }
}

fn parse(text: &str) -> Result<Vec<CheckCommand>, Wrong> {
    let file: File = toml::from_str(text).map_err(|error| Wrong {
        at: error.span().map_or(0, |span| span.start),
        reason: one_line(error.message()),
    })?;
    // A table of TOML has no order of its own; people read the reply in the file's.
    let mut written: Vec<_> = file.checks.into_iter().collect();
    written.sort_by_key(|(name, _)| name.span().start);
    if let Some((name, _)) = written.get(CHECKS_MAX) {
        return Err(Wrong {
            at: name.span().start,
            reason: format!("there are {} checks, at most {CHECKS_MAX} may be", written.len()),
        });
    }
    written
        .into_iter()
        .map(|(name, check)| check_of(&name, check.into_inner()))
        .collect()
}

fn check_of(name: &Spanned<String>, table: CheckTable) -> Result<CheckCommand, Wrong> {
    let wrong = |at: std::ops::Range<usize>, reason: String| Err(Wrong { at: at.start, reason });
    let spelled = name.get_ref();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if spelled.is_empty() || spelled.len() > NAME_CHARS_MAX || !spelled.chars().all(is_plain) {
        let reason = format!("a check's name is 1 to {NAME_CHARS_MAX} letters, digits, `-`, `_` and `.`");
        return wrong(name.span(), reason);
    }
    let command = table.command.get_ref().trim();
    if command.is_empty()
        || command.chars().count() > COMMAND_CHARS_MAX
        || command.chars().any(char::is_control)
    {
        let reason = format!("a check's command is one line of at most {COMMAND_CHARS_MAX} characters");
        return wrong(table.command.span(), reason);
    }
    let seconds = *table.seconds.get_ref();
    if !(1..=SECONDS_MAX).contains(&seconds) {
        let reason = format!("a check's seconds are 1 to {SECONDS_MAX}");
        return wrong(table.seconds.span(), reason);
    }
    Ok(CheckCommand {
        name: spelled.clone(),
        command: command.to_owned(),
        time_limit: Duration::from_secs(seconds),
    })
}

/// Keys nobody reads: of another version, or misspelt. They are said and ignored.
fn unknown(text: &str) -> Vec<String> {
    let Ok(table) = DeTable::parse(text) else {
        return Vec::new();
    };
    let mut keys = Vec::new();
    for (key, value) in table.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("checks", DeValue::Table(checks)) => {
                for (name, check) in checks {
                    if let DeValue::Table(check) = check.get_ref() {
                        let unread = check
                            .keys()
                            .filter(|key| !matches!(key.get_ref().as_ref(), "command" | "seconds"));
                        keys.extend(unread.map(|key| {
                            (
                                key.span().start,
                                format!("checks.{}.{}", name.get_ref(), key.get_ref()),
                            )
                        }));
                    }
                }
            }
            _ => keys.push((key.span().start, key.get_ref().to_string())),
        }
    }
    keys.sort();
    let more = keys.len().saturating_sub(UNKNOWN_NAMED_MAX);
    let mut said: Vec<_> = keys
        .into_iter()
        .take(UNKNOWN_NAMED_MAX)
        .map(|(at, key)| {
            let (line, _) = line_and_column(text, at);
            format!("{} (line {line}) is not known and was ignored", quoted(&key))
        })
        .collect();
    if more > 0 {
        said.push(format!("{more} more keys are not known and were ignored"));
    }
    said
}

fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(REASON_CHARS_MAX).collect()
}

/// Counted from 1, columns in characters.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

#[cfg(test)]
mod tests;
