//! Passwords and keys that have no shape: something is called a secret, and what it is set to looks random.

use super::shapes::is_random;

/// What is found.
const KIND: &str = "a password or key";
/// Ends of names whose value is a secret.
const NAMES: [&str; 21] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "secretkey",
    "secretkeybase",
    "clientsecret",
    "token",
    "accesstoken",
    "authtoken",
    "apikey",
    "accesskey",
    "secretaccesskey",
    "privatekey",
    "encryptionkey",
    "signingkey",
    "masterkey",
    "accountkey",
    "credential",
    "credentials",
];
/// Characters of a value.
const VALUE_CHARS: std::ops::RangeInclusive<usize> = 16..=200;
/// Bits of each character of a value, by how often each occurs; words and names have less.
const BITS_MIN: f64 = 3.3;
/// Lines longer than this are not written by people.
const LINE_BYTES_MAX: usize = 2_000;
/// Names of files whose long random values are checksums, or that nobody wrote.
const GENERATED: [&str; 10] = [
    ".lock",
    "-lock.json",
    "-lock.yaml",
    "go.sum",
    ".min.js",
    ".min.css",
    ".map",
    ".svg",
    ".snap",
    ".ipynb",
];
/// Names of files in which values need no quotes.
const UNQUOTED: [&str; 10] = [
    ".env",
    ".properties",
    ".ini",
    ".cfg",
    ".conf",
    ".yml",
    ".yaml",
    ".npmrc",
    ".pypirc",
    ".tfvars",
];
/// Words in values that say that they are none, in lower case.
const PLACEHOLDERS: [&str; 19] = [
    "password", "passwd", "secret", "token", "test", "change", "changeme", "insert", "replace", "todo",
    "foobar", "hunter", "correct", "default", "local", "demo", "mock", "admin", "user",
];
/// Where values come from that are not in the text.
const ELSEWHERE: &str = "process.env";

/// Says what an added line gives away, if it sets something that is called a secret to something random.
pub(super) fn find(path: &str, line: &str) -> Option<&'static str> {
    let file = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    if line.len() > LINE_BYTES_MAX || GENERATED.iter().any(|end| file.ends_with(end)) {
        return None;
    }
    if in_url(line) {
        return Some("a password in an address");
    }
    let is_unquoted = UNQUOTED.iter().any(|end| file.ends_with(end)) || file.starts_with(".env");
    assignments(line)
        .filter(|(name, _)| is_secret_name(name))
        .filter_map(|(_, rest)| value(rest, is_unquoted))
        .any(is_secret)
        .then_some(KIND)
}

/// Every `name =`, `name:`, `name =>` and `name: Type =`, with what follows.
fn assignments(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let signs = line.char_indices().filter(|(_, c)| matches!(c, '=' | ':'));
    signs.flat_map(|(at, sign)| {
        let (before, rest) = (&line[..at], &line[at + sign.len_utf8()..]);
        let rest = rest.trim_start_matches(['=', '>', ' ', '\t']);
        let typed = before
            .rsplit_once(':')
            .filter(|_| sign == '=')
            .map(|(name, _)| name);
        [Some(before), typed]
            .into_iter()
            .flatten()
            .map(move |before| (last_name(before), rest))
    })
}

fn last_name(before: &str) -> &str {
    let before = before
        .trim_end()
        .trim_end_matches(['"', '\'', '`', ']', '?', '!']);
    let start = before
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
        .last()
        .map_or(before.len(), |(at, _)| at);
    &before[start..]
}

fn is_secret_name(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    NAMES.iter().any(|end| plain.ends_with(end))
}

/// What a name is set to: between quotes, or the rest of the line where files have none.
fn value(rest: &str, is_unquoted: bool) -> Option<&str> {
    let rest = rest.trim_start_matches(['b', 'r', 'f', '@']);
    let quote = rest.chars().next()?;
    if matches!(quote, '"' | '\'' | '`') {
        let inner = &rest[1..];
        return inner.find(quote).map(|end| &inner[..end]);
    }
    is_unquoted.then(|| rest.split([' ', '\t', '#', ';', ',']).next().unwrap_or_default())
}

fn is_secret(value: &str) -> bool {
    let count = value.chars().count();
    let lower = value.to_lowercase();
    if !VALUE_CHARS.contains(&count)
        || !value.bytes().all(|byte| byte.is_ascii_graphic())
        || value.contains(['$', '<', '>', '{', '}', '(', ')', '\\', '[', ']'])
        || value.contains("://")
        || value.starts_with(['/', '.', '%', '@'])
        || lower.contains(ELSEWHERE)
        || words(value).any(|word| PLACEHOLDERS.contains(&word.as_str()))
        || !is_random(value.as_bytes())
        || is_uuid(value)
    {
        return false;
    }
    let has = |kind: fn(&u8) -> bool| value.bytes().any(|byte| kind(&byte));
    let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    let is_hex = value.bytes().all(|byte| byte.is_ascii_hexdigit()) && has(u8::is_ascii_digit) && count >= 32;
    (mixed && bits(value) >= BITS_MIN) || (is_hex && bits(value) >= 3.0)
}

/// The words of a value, in lower case: parted by what is no letter, and by capital letters as in `testUser`. A random
/// value has none of the placeholders' as a whole word but by chance.
fn words(value: &str) -> impl Iterator<Item = String> {
    let parts = value.split(|c: char| !c.is_ascii_alphabetic());
    parts.flat_map(|part| {
        let mut words = vec![String::new()];
        let mut after_small = false;
        for c in part.chars() {
            if c.is_ascii_uppercase() && after_small {
                words.push(String::new());
            }
            after_small = c.is_ascii_lowercase();
            if let Some(word) = words.last_mut() {
                word.push(c.to_ascii_lowercase());
            }
        }
        words
    })
}

fn is_uuid(value: &str) -> bool {
    let lengths: Vec<_> = value.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Entropy of each character.
fn bits(value: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let all = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / all;
            -share * share.log2()
        })
        .sum()
}

/// `scheme://user:password@host` with a password that looks random.
fn in_url(line: &str) -> bool {
    line.match_indices("://").any(|(at, _)| {
        let rest = &line[at + 3..];
        let authority = rest
            .split(['/', '?', '#', ' ', '"', '\'', '`', '<', '>', ')'])
            .next()
            .unwrap_or_default();
        authority
            .rsplit_once('@')
            .and_then(|(user, _)| user.split_once(':'))
            .is_some_and(|(_, password)| is_secret(password))
    })
}
