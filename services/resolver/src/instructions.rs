//! What instructs an agent comes from the target branch, which the repository's maintainers guard: a source branch is
//! whoever's pull request it is, and its `AGENTS.md` or `.mcp.json` would steer, re-point or run things for the agent.

use git::{Change, How, Mirror, Overlaid, Overlay, TreeLimits};
use pipeline::ids::CommitId;

mod chain;
mod imports;
mod names;

pub(crate) use chain::fence;
use imports::Imports;
pub(crate) use names::is_instruction;

/// Paths named one by one in the reply; a branch that renames a folder can touch hundreds.
const NAMED_MAX: usize = 10;

/// What the agent gets to see instead of the source branch's own instructions, and what is said about that.
#[derive(Debug, Clone)]
pub(crate) struct Instructions {
    /// The tree to check out, and to compare the agent's work with.
    pub(crate) overlay: Overlay,
    /// The instructions that count for the run, as a part of the prompt; `None` where there are none.
    pub(crate) text: Option<String>,
    /// Facts for the reply.
    pub(crate) notes: Vec<String>,
}

/// The target branch of a run.
pub(crate) struct Target<'a> {
    /// Its head; `None` when it is gone, and then nothing instructs the agent.
    pub(crate) head: Option<&'a CommitId>,
    /// Its name as people see it.
    pub(crate) branch: &'a str,
}

/// Reads the instructions for work on `source`. `near` is the path of the file the request is about, if any: the
/// `AGENTS.md` of its folders count as well.
pub(crate) fn read(
    mirror: &dyn Mirror,
    source: &CommitId,
    target: &Target<'_>,
    near: Option<&str>,
) -> Result<Instructions, git::Error> {
    let imports = match target.head {
        Some(head) => Imports::read(mirror, head)?,
        None => Imports::default(),
    };
    let selects = |path: &[u8]| is_instruction(path) || imports.have(path);
    let overlay = mirror.overlay(source, target.head, &selects, &TreeLimits::default())?;
    let text = match target.head {
        Some(head) => chain::text(mirror, head, target.branch, near)?,
        None => None,
    };
    let notes = notes(&overlay.overlaid, target);
    Ok(Instructions { overlay, text, notes })
}

impl Instructions {
    /// The prompt: the instructions where there are any, then the brief.
    pub(crate) fn with_brief(&self, brief: &str) -> String {
        match &self.text {
            Some(text) => format!("{text}\n{brief}"),
            None => brief.to_owned(),
        }
    }

    /// Takes out what the agent changed in paths that are not the source branch's: on the source branch such a change
    /// would bring the target's text along. Returns the rest, and facts for the reply.
    pub(crate) fn without_overlaid(&self, changes: Vec<Change>) -> (Vec<Change>, Vec<String>) {
        let mut dropped = Vec::new();
        let (mut kept, mut more) = (Vec::with_capacity(changes.len()), 0_usize);
        for change in changes {
            match self.overlay.covering(&change) {
                None => kept.push(change),
                Some(_) if dropped.len() >= NAMED_MAX => more += 1,
                Some(overlaid) => {
                    let of = if overlaid.path_lossy() == change.path_lossy() {
                        "it".to_owned()
                    } else {
                        quoted(&overlaid.path_lossy())
                    };
                    dropped.push(format!(
                        "The change to {} was left out: {of} is not the same on both branches",
                        quoted(&change.path_lossy())
                    ));
                }
            }
        }
        if more > 0 {
            dropped.push(format!("{more} more changes were left out for the same reason"));
        }
        (kept, dropped)
    }
}

/// Facts about these paths for the reply.
pub(crate) fn notes(overlaid: &[Overlaid], target: &Target<'_>) -> Vec<String> {
    let branch = quoted(target.branch);
    if target.head.is_none() && !overlaid.is_empty() {
        return vec![format!(
            "The target branch {branch} is gone, so the source branch's instructions for agents were not used"
        )];
    }
    let mut notes: Vec<_> = overlaid
        .iter()
        .take(NAMED_MAX)
        .map(|overlaid| {
            let path = quoted(&overlaid.path_lossy());
            match overlaid.how {
                How::Replaced => {
                    format!("{path} was taken from {branch}; the source branch's version was not used")
                }
                How::Added => format!("{path} was taken from {branch}; the source branch does not have it"),
                How::Removed => {
                    format!("{path} of the source branch was not used; {branch} does not have it")
                }
            }
        })
        .collect();
    let more = overlaid.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        notes.push(format!(
            "{more} more files or folders that instruct agents were taken from {branch}"
        ));
    }
    notes
}

/// A path or a branch as inline code in a sentence of ours: on one line, and without what could end the code or
/// reorder the sentence.
pub(crate) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let harmless = |c: char| match c {
        '`' => '?',
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

#[cfg(test)]
mod tests;
