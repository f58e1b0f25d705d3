//! What a run is to do to the pull request beside its commit and its status reply: planned here, from what the agent
//! handed over and from facts that are not the agent's; done by `services/reply`, each once.

mod diff;
mod hand_over;
mod suggestions;

use std::collections::BTreeSet;

use pipeline::command::Command;
use pipeline::effect::{EFFECT_TEXT_MAX, EFFECTS_MAX, EFFECTS_TEXT_MAX, Effect, What};
use pipeline::ids::CommentId;
use pipeline::job::OpenThread;
use pipeline::legible;
use pipeline::verbs::Verb;

use crate::policy::OnlyPaths;
use crate::result::{Handed, Remark};
use crate::secrets::{Known, redacted};

use diff::Commentable;
pub(crate) use hand_over::{note, note_suggestions, take};
use suggestions::of_patch;

/// Threads and files named one by one in a sentence.
const NAMED_MAX: usize = 20;

/// What is to be done, and what is to be said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Plan {
    /// What `services/reply` does.
    effects: Vec<Effect>,
    /// Facts for the reply.
    notes: Vec<String>,
    /// What the agent's words are followed by, Markdown of the agent's.
    more: String,
}

/// Whether the agent's last message has a block beside its words.
fn has_result(verb: Verb) -> bool {
    matches!(verb, Verb::Review | Verb::Address | Verb::Describe)
}

/// The effects of what an agent handed over. A verb that has none of a kind ignores what was handed over of it: what an
/// agent was talked into by a comment stays without effect.
fn plan(command: &Command, handed: Handed, threads: &[OpenThread], commentable: &Commentable) -> Plan {
    let mut plan = match command.verb {
        Verb::Review => review(handed.findings, commentable),
        Verb::Address => address(handed, threads),
        Verb::Describe => describe(handed, command.options.apply),
        _ => Plan::default(),
    };
    plan.bound();
    plan
}

/// An agent's change as suggestions. What cannot be one is said; the patch has it.
fn suggest(patch: &str, commentable: &Commentable) -> Plan {
    let found = of_patch(patch, commentable);
    let mut plan = Plan::default();
    for remark in found.remarks {
        match commentable.range(&remark.path, remark.first, remark.last) {
            Some(added) => plan.effects.push(finding(remark, added)),
            None => plan.notes.push(not_on_a_line(&[remark.path])),
        }
    }
    if !found.elsewhere.is_empty() {
        plan.notes.push(not_on_a_line(&found.elsewhere));
    }
    plan.bound();
    plan
}

fn not_on_a_line(files: &[String]) -> String {
    format!(
        "Not everything could become a suggestion, for it is not on lines of the diff; the patch has it: {}",
        named(files.iter().map(|file| shown(file)))
    )
}

/// Remarks on lines of the diff become comments there; the others follow the agent's words.
fn review(findings: Vec<Remark>, commentable: &Commentable) -> Plan {
    let mut plan = Plan::default();
    let mut elsewhere = Vec::new();
    for mut remark in findings {
        let mut range = commentable.range(&remark.path, remark.first, remark.last);
        if range.is_none() && remark.suggestion.is_none() {
            // The end of a remark may be guessed; where it begins is what it is about.
            range = commentable.range(&remark.path, remark.first, remark.first);
            remark.last = remark.first;
        }
        match range {
            Some(added) => plan.effects.push(finding(remark, added)),
            None => elsewhere.push(remark),
        }
    }
    if !elsewhere.is_empty() {
        plan.more.push_str("On lines that the diff does not show:\n");
    }
    for remark in elsewhere {
        let text = remark.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let place = format!("\n- {} line {}: ", shown(&remark.path), remark.first);
        plan.more.push_str(&place);
        plan.more.push_str(&text);
    }
    plan
}

fn finding(remark: Remark, (first_is_added, last_is_added): (bool, bool)) -> Effect {
    Effect::planned(What::Finding {
        path: remark.path,
        first_line: remark.first,
        last_line: remark.last,
        first_is_added,
        last_is_added,
        text: remark.text,
        suggestion: remark.suggestion,
    })
}

/// One answer for each thread that was work; a thread that the agent invented, or one it was not given, gets none.
fn address(handed: Handed, threads: &[OpenThread]) -> Plan {
    let mut plan = Plan::default();
    let mut answered: BTreeSet<CommentId> = BTreeSet::new();
    let mut unknown = 0;
    for answer in handed.answers {
        let Some(thread) = threads.iter().find(|thread| thread.comment == answer.thread) else {
            unknown += 1;
            continue;
        };
        if answered.insert(answer.thread) {
            plan.effects.push(Effect::planned(What::Answer {
                thread: answer.thread,
                text: answer.text,
                settled: answer.settled,
                tick: thread.is_task && answer.settled,
            }));
        }
    }
    if unknown > 0 {
        plan.notes.push(
            "The agent also answered threads that it was not asked about; these answers are left out."
                .to_owned(),
        );
    }
    let left: Vec<_> = threads
        .iter()
        .filter(|thread| !answered.contains(&thread.comment))
        .map(|thread| format!("comment {}", thread.comment))
        .collect();
    if !left.is_empty() {
        plan.notes
            .push(format!("Not addressed: {}", named(left.into_iter())));
    }
    plan
}

/// The proposal follows the agent's words; with `--apply` it is carried out.
fn describe(handed: Handed, apply: bool) -> Plan {
    let mut plan = Plan::default();
    let title = handed.title.map(|title| {
        let line = title.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().take(bitbucket::TITLE_MAX).collect::<String>()
    });
    let description = handed.description;
    let parts = [
        title.as_ref().map(|title| format!("**Title:** {title}")),
        description
            .as_ref()
            .map(|text| format!("**Description:**\n\n{text}")),
    ];
    plan.more = parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n");
    if !apply || (title.is_none() && description.is_none()) {
        return plan;
    }
    if description
        .as_ref()
        .is_some_and(|text| text.len() > EFFECT_TEXT_MAX)
    {
        plan.notes.push(format!(
            "Not applied: the description is longer than {EFFECT_TEXT_MAX} bytes."
        ));
        return plan;
    }
    plan.effects
        .push(Effect::planned(What::Describe { title, description }));
    plan
}

impl Plan {
    /// Keeps the record small: long texts are cut, and what is too much in all is left out, which is said.
    fn bound(&mut self) {
        let planned = self.effects.len();
        self.effects.truncate(EFFECTS_MAX);
        let mut bytes = 0;
        self.effects.retain_mut(|effect| {
            bytes += bounded(&mut effect.what);
            bytes <= EFFECTS_TEXT_MAX
        });
        let left_out = planned - self.effects.len();
        if left_out > 0 {
            self.notes.push(format!(
                "{left_out} more than a run may write on a pull request were left out."
            ));
        }
    }
}

/// Cuts the texts of one effect; their bytes together. A suggestion that was cut would be another one, so it goes.
fn bounded(what: &mut What) -> usize {
    match what {
        What::Answer { text, .. } => {
            cut(text);
            text.len()
        }
        What::Finding {
            text,
            suggestion,
            path,
            ..
        } => {
            cut(text);
            suggestion.take_if(|lines| lines.len() > EFFECT_TEXT_MAX);
            text.len() + path.len() + suggestion.as_ref().map_or(0, String::len)
        }
        What::Describe { title, description } => {
            title.as_ref().map_or(0, String::len) + description.as_ref().map_or(0, String::len)
        }
        What::PullRequest {
            title, description, ..
        } => {
            cut(description);
            title.len() + description.len()
        }
    }
}

fn cut(text: &mut String) {
    if text.len() > EFFECT_TEXT_MAX {
        let end = text.floor_char_boundary(EFFECT_TEXT_MAX - '…'.len_utf8());
        text.truncate(end);
        text.push('…');
    }
}

/// The same without findings where the request was not to look.
fn within(mut handed: Handed, paths: &[String]) -> Handed {
    let only = OnlyPaths::default().and(paths);
    handed.findings.retain(|finding| !only.leave_out(&finding.path));
    handed
}

/// The same without tokens that the agent may have seen or made up. A suggestion that would be another one goes.
fn without_secrets(mut handed: Handed, known: &Known) -> Handed {
    for finding in &mut handed.findings {
        finding.text = redacted(&finding.text, known);
        finding
            .suggestion
            .take_if(|lines| redacted(lines, known) != legible::clean(lines, true));
    }
    // A file of that name has no place in a diff that the bot would comment on.
    handed
        .findings
        .retain(|finding| redacted(&finding.path, known) == legible::clean(&finding.path, true));
    for answer in &mut handed.answers {
        answer.text = redacted(&answer.text, known);
    }
    for text in handed.title.iter_mut().chain(&mut handed.description) {
        *text = redacted(text, known);
    }
    handed
}

fn named(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let sentence = names.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    match more {
        0 => sentence,
        more => format!("{sentence} and {more} more"),
    }
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
mod tests;
