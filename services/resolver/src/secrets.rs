//! Secrets in what an agent added: tokens by their shape, passwords by their name and randomness, and those of this
//! service by themselves. What is found stops the push, since a pushed secret is a published one.
//!
//! A wrong alarm stops work that somebody waits for, so a rule has to be sure: hashes, ids, lock files, encoded images
//! and placeholders are no secrets. The value of a secret is never said, neither here nor in a log.

mod added;
mod assigned;
mod shapes;

use std::fmt::Write as _;

use agent::Redactor;
use pipeline::failure::Failure;
use pipeline::legible;
use secrecy::{ExposeSecret as _, SecretString};

use added::Added;

/// Findings that are named; the change is not pushed for the first one.
const FINDINGS_MAX: usize = 10;
/// Shorter known secrets would be found in ordinary words.
const KNOWN_BYTES_MIN: usize = 12;

/// Secrets that are known by themselves, looked for as they are, in base64 and in hex.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Redactor);

impl Known {
    /// All of these that are long enough not to be ordinary words.
    pub(crate) fn new(secrets: &[SecretString]) -> Result<Self, Failure> {
        let worth = secrets
            .iter()
            .filter(|secret| secret.expose_secret().len() >= KNOWN_BYTES_MIN);
        let worth: Vec<_> = worth.cloned().collect();
        Ok(Self(Redactor::new(&worth)?))
    }
}

/// Where a secret is, and of what kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The file, below the work tree.
    pub(crate) path: String,
    /// The line in the new file; 0 for the path itself and for files that have no lines.
    pub(crate) line: u32,
    /// What it seems to be.
    pub(crate) kind: &'static str,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain: String = self
            .path
            .chars()
            .map(|c| if c == '`' || c.is_control() { '?' } else { c })
            .collect();
        // A path that has the secret in it is not repeated.
        match self.line {
            0 if self.kind == IN_A_PATH => write!(f, "{}", self.kind),
            0 => write!(f, "`{plain}`: {}", self.kind),
            line => write!(f, "`{plain}` line {line}: {}", self.kind),
        }
    }
}

/// The kind of a secret that is in a file's name.
const IN_A_PATH: &str = "a secret in the name of a file";
/// The kind of a secret that is this service's own.
const OURS: &str = "a credential of this service";

/// The secrets in the lines and files that a patch adds, and in the names of the files.
pub(crate) fn in_patch(patch: &git::Patch, known: &Known) -> Vec<Finding> {
    let mut findings: Vec<_> = patch
        .binary
        .iter()
        .flat_map(|file| in_binary(file, known))
        .collect();
    let mut last = None;
    for added in Added::of(&patch.text) {
        if findings.len() >= FINDINGS_MAX {
            break;
        }
        if last.as_ref() != Some(&added.path) {
            findings.extend(in_path(&added.path, known));
            last = Some(added.path.clone());
        }
        let kind = if known.0.finds(&added.text) {
            Some(OURS)
        } else {
            shapes::find(&added.text, Some(&added.next))
                .map(|found| found.kind)
                .or_else(|| assigned::find(&added.path, &added.text))
        };
        if let Some(kind) = kind {
            findings.push(Finding {
                path: added.path,
                line: added.line,
                kind,
            });
        }
    }
    findings.truncate(FINDINGS_MAX);
    findings
}

/// Files without lines are searched for what cannot be there by chance.
fn in_binary(file: &git::BinaryFile, known: &Known) -> Vec<Finding> {
    let text = String::from_utf8_lossy(&file.content);
    let kind = if known.0.finds(&text) {
        Some(OURS)
    } else {
        shapes::find(&text, Some("")).map(|found| found.kind)
    };
    let in_content = kind.map(|kind| Finding {
        path: file.path.clone(),
        line: 0,
        kind,
    });
    in_path(&file.path, known).into_iter().chain(in_content).collect()
}

fn in_path(path: &str, known: &Known) -> Option<Finding> {
    let found = shapes::find(path, None).is_some() || known.0.finds(path);
    found.then(|| Finding {
        path: String::new(),
        line: 0,
        kind: IN_A_PATH,
    })
}

/// The text as a reply shows it, with every token that has a known shape, and every known secret, replaced by what it is.
/// A token with an invisible character in it would be whole again where it is shown.
pub(crate) fn redacted(text: &str, known: &Known) -> String {
    let text = legible::clean(text, true);
    let text = known.0.replace(&text, &format!("[{OURS} was here]"));
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(found) = shapes::find(rest, None) {
        clean.push_str(&rest[..found.start]);
        write!(clean, "[{} was here]", found.kind).expect("writing to a string");
        rest = &rest[found.end..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests;
