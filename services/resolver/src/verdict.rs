//! What of the agent's changes is work, and what is litter. Decided by the diff, never by what the agent says.

use git::Change;

/// Files agents leave beside their work, by the beginning of their name (agents-and-tools.md 1).
const LEFTOVERS: [&str; 4] = [".aider", ".openhands-tmp", ".goose", ".claude.json"];
/// Changed files a run may push: more is a mistake of the agent's, such as a build directory that nothing ignores.
const FILES_MAX: usize = 500;

/// The changes to commit, and what was left out of them.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing was changed that may be committed.
    Nothing {
        /// Facts about what was left out, for the reply.
        notes: Vec<String>,
    },
    /// These are to be committed.
    Work {
        /// The changes.
        changes: Vec<Change>,
        /// Facts about what was left out, for the reply.
        notes: Vec<String>,
    },
    /// More than may be pushed.
    TooLarge {
        /// Why, for the reply.
        detail: String,
    },
}

/// Judges a work tree's changes.
pub(crate) fn judge(changes: Vec<Change>, left_out: &[String]) -> Verdict {
    let (litter, work): (Vec<_>, Vec<_>) = changes
        .into_iter()
        .partition(|change| is_leftover(&change.path_lossy()));
    if work.len() > FILES_MAX {
        let detail = format!("{} files were changed, at most {FILES_MAX} may be", work.len());
        return Verdict::TooLarge { detail };
    }
    let mut notes = left_out.to_vec();
    if !litter.is_empty() {
        let names = litter
            .iter()
            .map(|change| format!("`{}`", change.path_lossy()))
            .collect::<Vec<_>>();
        notes.push(format!("Left out as the agent's own files: {}", names.join(", ")));
    }
    if work.is_empty() {
        return Verdict::Nothing { notes };
    }
    Verdict::Work { changes: work, notes }
}

fn is_leftover(path: &str) -> bool {
    path.split('/')
        .any(|name| LEFTOVERS.iter().any(|leftover| name.starts_with(leftover)))
}
