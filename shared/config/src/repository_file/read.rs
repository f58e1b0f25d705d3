//! From the file's bytes to what can be used of it, and to what is said about the rest.
//!
//! The file is read by its types. What they refuse is taken out, key by key, until they take what is left.

use std::collections::BTreeMap;
use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::{
    CHECK_COMMAND_CHARS_MAX, CHECK_NAME_CHARS_MAX, CHECK_SECONDS_DEFAULT, CHECK_SECONDS_MAX, CHECKS_MAX,
    CheckCommand, Defaults, Level, Paths, REPOSITORY_FILE_BYTES_MAX, REPOSITORY_FILE_PATH, RepositoryFile,
    RepositoryLimits, RepositoryPermission, RepositoryReply,
};

/// Things said about one file: who reads about five puts the file right and sees the rest then.
const NOTES_MAX: usize = 5;
/// Keys taken out before the whole file is given up, each of which costs another reading.
const WRONG_MAX: usize = 50;
/// Characters of what the parser says; it quotes the file.
const REASON_CHARS_MAX: usize = 200;
/// Slips between an unknown key and the one that may be meant.
const SLIPS_MAX: usize = 2;

/// What a repository asks of the resolver: the file as it is written, on the target branch. It narrows what the
/// operator allows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = ".openhands/resolver.toml")]
pub(super) struct File {
    /// Options of requests that do not set them.
    defaults: Defaults,
    /// What one run may use at most, whatever its options say.
    limits: RepositoryLimits,
    /// Where changes may be.
    paths: Paths,
    /// Commands that the resolver runs by itself, in its sandbox, on the commit the work started from and on the one it
    /// ends with; the reply shows both. At most 8, each named by letters, digits, `-`, `_` and `.`.
    #[schemars(with = "BTreeMap<String, CheckTable>", extend("maxProperties" = CHECKS_MAX))]
    checks: BTreeMap<Spanned<String>, CheckTable>,
    /// Who may, beside what the operator asks for; it can only leave people out.
    permission: RepositoryPermission,
    /// How the pull request is told.
    reply: RepositoryReply,
}

/// One check: `test = { command = "cargo test -p parser", seconds = 600 }`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CheckTable {
    /// One line for `/bin/sh -c`, in the root of the tree; at most 500 characters. There is no network. 0 is passed.
    #[schemars(with = "String", length(min = 1, max = CHECK_COMMAND_CHARS_MAX))]
    command: Spanned<String>,
    /// After so many seconds it is ended.
    #[serde(default = "seconds_default")]
    #[schemars(with = "u64", range(min = 1, max = CHECK_SECONDS_MAX))]
    seconds: Spanned<u64>,
}

fn seconds_default() -> Spanned<u64> {
    Spanned::new(0..0, CHECK_SECONDS_DEFAULT)
}

/// The section that fails closed.
const PERMISSION: &str = "permission";

/// Sections and their keys. `checks` has names of its own and, below them, these.
pub(super) const KNOWN: [(&str, &[&str]); 6] = [
    ("defaults", &["model", "effort", "lang", "quiet", "sign_off"]),
    ("limits", &["budget", "time"]),
    ("paths", &["only", "protected"]),
    ("checks", &["command", "seconds"]),
    (
        PERMISSION,
        &[
            "change",
            "read",
            "deny_users",
            "allow_users",
            "plan_needs_second_person",
        ],
    ),
    ("reply", &["build_status"]),
];

/// A key, by the names above it and its own; and where something about it was seen, in bytes from the file's start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: usize,
    path: Vec<String>,
}

/// What becomes of a key that nobody reads.
const UNKNOWN: &str = "is not known and was ignored";

/// What is said about a key, as it goes on after its name.
type Remark = (Place, String);

pub(super) fn read(bytes: &[u8], is_cut: bool, branch: &str) -> RepositoryFile {
    let named = format!("{} of {}", quoted(REPOSITORY_FILE_PATH), quoted(branch));
    let unused = |reason: String| {
        let notes = vec![format!("{named} was not used: {reason}")];
        // What is beyond the cut is not known. Without the word there is no such section.
        let may_keep_out = is_cut
            || bytes
                .windows(PERMISSION.len())
                .any(|word| word == PERMISSION.as_bytes());
        let mut file = RepositoryFile {
            notes,
            ..RepositoryFile::default()
        };
        if may_keep_out {
            file.leave_administrators_only(&named);
        }
        file
    };
    if is_cut {
        return unused(format!(
            "it is longer than {} KiB",
            REPOSITORY_FILE_BYTES_MAX / 1024
        ));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            return unused(format!("line {} is not UTF-8", before.matches('\n').count() + 1));
        }
    };
    match sifted(text) {
        Ok((file, remarks)) => file.into_used(text, remarks, &named),
        Err((at, reason)) => {
            let (line, column) = line_and_column(text, at);
            unused(format!("line {line}, column {column}: {}", one_line(&reason)))
        }
    }
}

/// The file without what is not known or not right, and what is said of that. An error where it is not TOML.
fn sifted(text: &str) -> Result<(File, Vec<Remark>), (usize, String)> {
    let parse = || {
        DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            (at, error.message().to_owned())
        })
    };
    let mut remarks = Vec::new();
    for _ in 0..WRONG_MAX {
        let mut table = parse()?;
        for (place, _) in &remarks {
            let place: &Place = place;
            remove(table.get_mut(), &place.path);
        }
        let error = match File::deserialize(toml::de::Deserializer::from(table)) {
            Ok(file) => {
                remarks.extend(unknown(parse()?.get_ref(), text));
                return Ok((file, remarks));
            }
            Err(error) => error,
        };
        let at = error.span().map_or(0, |span| span.start);
        let Some(path) = covering(parse()?.get_ref(), at) else {
            return Err((at, error.message().to_owned()));
        };
        remarks.push((Place { at, path }, wrong(text, at, error.message())));
    }
    Err((0, "too much in it is not right".to_owned()))
}

impl File {
    fn into_used(self, text: &str, mut remarks: Vec<Remark>, named: &str) -> RepositoryFile {
        let checks = checks(self.checks, text, &mut remarks);
        let is_lost = remarks.iter().any(|(place, _)| place.is_of_permission());
        remarks.sort();
        let more = remarks.len().saturating_sub(NOTES_MAX);
        let mut notes: Vec<String> = remarks
            .iter()
            .take(NOTES_MAX)
            .map(|(place, said)| format!("In {named}, {} {said}", quoted(&place.path.join("."))))
            .collect();
        if more > 0 {
            notes.push(format!("In {named}, {more} more keys were not used"));
        }
        let mut file = RepositoryFile {
            defaults: self.defaults,
            limits: self.limits,
            paths: self.paths,
            checks,
            permission: self.permission,
            reply: self.reply,
            notes,
        };
        if is_lost {
            file.leave_administrators_only(named);
        }
        file
    }
}

impl RepositoryFile {
    /// Whom the file was to keep out is not known: `[permission]` fails closed, and says so.
    fn leave_administrators_only(&mut self, named: &str) {
        self.permission.change = Some(Level::Admin);
        self.permission.read = Some(Level::Admin);
        self.notes.push(format!(
            "Until `[permission]` in {named} is put right, only who administers the repository may ask"
        ));
    }
}

impl Place {
    /// Whether it is in `[permission]`, or in a section that was to be it.
    fn is_of_permission(&self) -> bool {
        let sections = KNOWN.map(|(section, _)| section);
        let section = self.path.first();
        section
            .is_some_and(|section| section == PERMISSION || nearest(section, &sections) == Some(PERMISSION))
    }
}

/// The checks in the file's order, which a table of TOML does not keep.
fn checks(
    written: BTreeMap<Spanned<String>, CheckTable>,
    text: &str,
    remarks: &mut Vec<Remark>,
) -> Vec<CheckCommand> {
    let mut written: Vec<_> = written.into_iter().collect();
    written.sort_by_key(|(name, _)| name.span().start);
    let mut good = Vec::new();
    for (name, table) in written {
        let check = check_of(&name, table).and_then(|check| {
            let fits = good.len() < CHECKS_MAX;
            fits.then_some(check)
                .ok_or((name.span(), format!("there are more than {CHECKS_MAX} checks")))
        });
        match check {
            Ok(check) => good.push(check),
            Err((span, reason)) => {
                let path = vec!["checks".to_owned(), name.into_inner()];
                let place = Place { at: span.start, path };
                remarks.push((place, wrong(text, span.start, &reason)));
            }
        }
    }
    good
}

fn check_of(name: &Spanned<String>, table: CheckTable) -> Result<CheckCommand, (Range<usize>, String)> {
    let spelled = name.get_ref();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if spelled.is_empty() || spelled.len() > CHECK_NAME_CHARS_MAX || !spelled.chars().all(is_plain) {
        let reason =
            format!("a check's name is 1 to {CHECK_NAME_CHARS_MAX} letters, digits, `-`, `_` and `.`");
        return Err((name.span(), reason));
    }
    let command = table.command.get_ref().trim();
    if command.is_empty()
        || command.chars().count() > CHECK_COMMAND_CHARS_MAX
        || command.chars().any(char::is_control)
    {
        let reason = format!("a check's command is one line of at most {CHECK_COMMAND_CHARS_MAX} characters");
        return Err((table.command.span(), reason));
    }
    let seconds = *table.seconds.get_ref();
    if !(1..=CHECK_SECONDS_MAX).contains(&seconds) {
        let reason = format!("a check's seconds are 1 to {CHECK_SECONDS_MAX}");
        return Err((table.seconds.span(), reason));
    }
    Ok(CheckCommand {
        name: spelled.clone(),
        command: command.to_owned(),
        time_limit: std::time::Duration::from_secs(seconds),
    })
}

/// Keys nobody reads: of another version, or misspelt.
fn unknown(table: &DeTable<'_>, text: &str) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut judge = |at: usize, path: Vec<&str>, known: &[&str]| {
        let last = path.last().copied().unwrap_or_default();
        if known.contains(&last) {
            return true;
        }
        let path = path.into_iter().map(ToOwned::to_owned).collect();
        let meant = nearest(last, known).map(|meant| format!("; did you mean {}?", quoted(meant)));
        let (line, _) = line_and_column(text, at);
        let said = format!("(line {line}) {UNKNOWN}{}", meant.unwrap_or_default());
        remarks.push((Place { at, path }, said));
        false
    };
    let sections = KNOWN.map(|(section, _)| section);
    for (section, value) in table {
        let name = section.get_ref().as_ref();
        if !judge(section.span().start, vec![name], &sections) {
            continue;
        }
        let keys = KNOWN
            .iter()
            .find_map(|(known, keys)| (*known == name).then_some(*keys))
            .unwrap_or_default();
        for (key, value) in value.get_ref().as_table().into_iter().flatten() {
            if name != "checks" {
                judge(key.span().start, vec![name, key.get_ref()], keys);
                continue;
            }
            for (part, _) in value.get_ref().as_table().into_iter().flatten() {
                judge(part.span().start, vec![name, key.get_ref(), part.get_ref()], keys);
            }
        }
    }
    remarks
}

/// The known key that the typed one nearly is.
fn nearest<'k>(typed: &str, known: &[&'k str]) -> Option<&'k str> {
    let (slips, key) = known
        .iter()
        .map(|key| (slips(&typed.to_lowercase(), key), *key))
        .min()?;
    // In a short word two slips leave nothing.
    (slips <= SLIPS_MAX && slips * 2 < key.len()).then_some(key)
}

/// Characters to leave out, add or change to make the one the other.
fn slips(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, d) in b.iter().enumerate() {
            let changed = diagonal + usize::from(c != *d);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The key to blame for an error at this byte: below a section the key, or the section itself if it is none.
fn covering(table: &DeTable<'_>, at: usize) -> Option<Vec<String>> {
    let section = key_at(table, at)?;
    let path = match section.1.get_ref() {
        DeValue::Table(keys) => [Some(section), key_at(keys, at)],
        _ => [Some(section), None],
    };
    Some(
        path.into_iter()
            .flatten()
            .map(|(key, _)| key.get_ref().to_string())
            .collect(),
    )
}

/// The entry that begins last before the byte: what stands behind it up to the next entry is its own. A section's keys
/// may stand in several places, so it begins where any of them does.
fn key_at<'t, 'i>(
    table: &'t DeTable<'i>,
    at: usize,
) -> Option<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let begins = |key: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>| {
        let below = value.get_ref().as_table().into_iter().flatten();
        let starts = below.map(|(key, _)| key.span().start).chain([key.span().start]);
        starts.filter(|start| *start <= at).max()
    };
    let begun = table
        .iter()
        .filter_map(|(key, value)| Some((begins(key, value)?, (key, value))));
    begun.max_by_key(|(start, _)| *start).map(|(_, entry)| entry)
}

fn remove(table: &mut DeTable<'_>, path: &[String]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let key = table.keys().find(|key| key.get_ref() == first).cloned();
    let Some(key) = key else { return };
    if rest.is_empty() {
        table.remove(&key);
    } else if let Some(value) = table.get_mut(&key)
        && let DeValue::Table(below) = value.get_mut()
    {
        remove(below, rest);
    }
}

fn wrong(text: &str, at: usize, reason: &str) -> String {
    let (line, column) = line_and_column(text, at);
    format!("was not used: line {line}, column {column}: {}", one_line(reason))
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

/// A name from the file as inline code: on one line, and without what could end the code or reorder the sentence.
pub(super) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let harmless = |c: char| match c {
        '`' | '|' => '?',
        c if c.is_control() => '?',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => '?',
        c => c,
    };
    let mut shown: String = text.chars().take(CHARS_MAX).map(harmless).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
