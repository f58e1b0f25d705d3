//! What of the agent's changes is work, and what is left out of it. Decided by the diff, never by what the agent says.

use git::{Change, ChangeKind};

use crate::policy::{Facts, Fate, Policy};

/// Paths named one by one in a sentence; a build directory has thousands.
const NAMED_MAX: usize = 10;

/// What is to be done with the changes.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing was changed that may be committed.
    Nothing,
    /// These are to be committed.
    Work {
        /// The changes.
        changes: Vec<Change>,
    },
    /// More than may be pushed.
    TooLarge {
        /// Why, for the reply.
        detail: String,
    },
}

/// Judges a work tree's changes. `left_out`: what was left out before, as sentences. Returns them too, with those about
/// what is left out here: facts for the reply.
pub(crate) fn judge(changes: Vec<Change>, left_out: &[String], policy: &Policy) -> (Verdict, Vec<String>) {
    let facts: Vec<_> = changes
        .iter()
        .map(|change| Facts {
            path: change.path_lossy(),
            bytes: change.bytes,
            removed: change.mode().is_none(),
            added: change.kind == ChangeKind::Added,
        })
        .collect();
    let fates = policy.fates(&facts);
    let mut notes = left_out.to_vec();
    notes.extend(sentences(&facts, &fates, policy));
    let work: Vec<_> = changes
        .into_iter()
        .zip(fates)
        .filter(|(_, fate)| *fate == Fate::Work)
        .map(|(change, _)| change)
        .collect();
    if work.len() > policy.files_max {
        let detail = format!(
            "{} files were changed, at most {} may be",
            work.len(),
            policy.files_max
        );
        return (Verdict::TooLarge { detail }, notes);
    }
    if work.is_empty() {
        return (Verdict::Nothing, notes);
    }
    (Verdict::Work { changes: work }, notes)
}

/// What was left out, one sentence for each reason.
fn sentences(facts: &[Facts], fates: &[Fate], policy: &Policy) -> Vec<String> {
    let too_large = format!("Left out as larger than {} bytes", policy.file_bytes_max);
    let reasons = [
        (Fate::Litter, "Left out as the agent's own files"),
        (
            Fate::Protected,
            "Left out as protected, an administrator can allow them (`[policy] allow_protected_paths`)",
        ),
        (Fate::TooLarge, &too_large),
        (
            Fate::InTheWay,
            "Left out because something that stays is in their place",
        ),
    ];
    reasons
        .into_iter()
        .filter_map(|(fate, reason)| {
            let of_it = facts.iter().zip(fates).filter(|(_, found)| **found == fate);
            let names: Vec<_> = of_it.map(|(facts, _)| shown(&facts.path)).collect();
            if names.is_empty() {
                return None;
            }
            let more = match names.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named = names.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
            Some(format!("{reason}: {named}{more}"))
        })
        .collect()
}

/// A path as code in a sentence, without what would end the code early.
fn shown(path: &str) -> String {
    let plain: String = path
        .chars()
        .map(|c| if c == '`' || c.is_control() { '?' } else { c })
        .collect();
    format!("`{plain}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_left_out_is_named() {
        let config = config::Policy {
            allow_protected_paths: Vec::new(),
            files_max: 500,
            file_bytes_max: 1_000,
            allow_no_test: false,
        };
        let policy = Policy::new(&config, &[]);
        let fact = |path: &str, bytes| Facts {
            path: path.to_owned(),
            bytes,
            removed: false,
            added: true,
        };
        let mut facts = vec![
            fact("src/a.rs", 10),
            fact(".aider.input.history", 10),
            fact("large.bin", 2_000),
        ];
        facts.extend((0..12).map(|number| fact(&format!(".github/{number}`\n.yml"), 10)));
        let sentences = sentences(&facts, &policy.fates(&facts), &policy);
        assert_eq!(
            sentences[0],
            "Left out as the agent's own files: `.aider.input.history`"
        );
        assert!(
            sentences[1].starts_with("Left out as protected")
                && sentences[1].ends_with(", `.github/9??.yml` and 2 more"),
            "{sentences:?}"
        );
        assert_eq!(sentences[2], "Left out as larger than 1000 bytes: `large.bin`");
        assert_eq!(sentences.len(), 3);
        let (verdict, notes) = judge(Vec::new(), &sentences, &policy);
        assert!(matches!(verdict, Verdict::Nothing));
        assert_eq!(notes, sentences);
    }
}
