//! What an effect writes: the model's words made harmless, what is ours around them, and the marker.

use pipeline::effect::What;
use pipeline::ids::CommentId;
use pipeline::run::{Outcome, Run, RunState};

use super::At;
use super::marker::EffectMarker;
use crate::limit;
use crate::sanitise::{self, Policy, code, destination, markdown};

/// One answer or remark: what a person reads beside a line of code.
const TEXT_UNITS_MAX: usize = 8_000;

/// The comment of an answer or a remark.
pub(super) fn of(at: At<'_>, policy: Policy<'_>) -> String {
    let body = match &at.run.effects[at.index].what {
        What::Answer {
            thread,
            text,
            settled,
            ..
        } => answer(at, (*thread, text), *settled, policy),
        What::Finding { text, suggestion, .. } => remark(text, suggestion.as_deref(), policy),
        // The others write no comment.
        What::Describe { .. } | What::PullRequest { .. } => String::new(),
    };
    let marker = EffectMarker {
        run: at.run.id.clone(),
        index: at.index,
        settled: is_settled(at),
    };
    limit::fit(&body, &footer(at.run), &marker)
}

fn answer(at: At<'_>, (thread, text): (CommentId, &str), settled: bool, policy: Policy<'_>) -> String {
    let page = at
        .client
        .web_url_pull_request(&at.run.repository, at.run.pull_request);
    let head = verdict(at.run, thread, settled, &page);
    format!("{head}\n\n{}", markdown(text, policy, TEXT_UNITS_MAX))
}

/// Whether an answer leaves nothing to do: the work is on the source branch, or none was needed.
fn is_settled(at: At<'_>) -> bool {
    let outcome = at.run.outcome.as_ref();
    let is_delivered = match outcome.and_then(|outcome| outcome.pushed.as_ref()) {
        Some(_) => outcome.is_some_and(Outcome::is_on_source),
        None => at.run.state != RunState::Answered,
    };
    is_delivered && matches!(at.run.effects[at.index].what, What::Answer { settled: true, .. })
}

/// Where the work for a thread is: people resolve the thread by this.
fn verdict(run: &Run, thread: CommentId, settled: bool, page: &str) -> String {
    let outcome = run.outcome.as_ref();
    let pushed = outcome.and_then(|outcome| outcome.pushed.as_ref());
    let own = pushed.and_then(|pushed| pushed.of_thread(thread));
    let Some(pushed) = pushed.filter(|_| settled || own.is_some()) else {
        return match (settled, run.state) {
            (false, _) => "**Not changed.**",
            // Work that was made and not pushed is delivered as a patch, or as suggestions.
            (true, RunState::Answered) => {
                "**Not changed yet:** it would be settled by the patch of this run."
            }
            (true, _) => "**Nothing to change.**",
        }
        .to_owned();
    };
    if own.is_none() && run.contained.contains(&thread) {
        return "**Nothing left to change:** the branch had it already when this was pushed.".to_owned();
    }
    let commit = own.unwrap_or(&pushed.commit);
    let is_on_source = outcome.is_some_and(Outcome::is_on_source);
    let place = if is_on_source {
        let url = format!("{page}/commits/{commit}");
        format!("[{}]({})", code(commit.short()), destination(&url))
    } else {
        let branch = pushed.branch.strip_prefix("refs/heads/");
        let branch = code(branch.unwrap_or(&pushed.branch));
        let commit = code(commit.short());
        format!("{commit} on {branch}; not on the source branch yet")
    };
    match (settled, own.is_some() || pushed.threads.is_empty()) {
        (true, true) if is_on_source => format!("**Done** in {place}."),
        (true, true) => format!("**Done on another branch:** {place}."),
        (true, false) => {
            format!("**Done** without a commit of its own, by what was pushed with it: {place}.")
        }
        (false, _) => format!("**Changed, not settled:** {place}."),
    }
}

fn remark(text: &str, suggestion: Option<&str>, policy: Policy<'_>) -> String {
    let said = markdown(text, policy, TEXT_UNITS_MAX);
    match suggestion {
        Some(lines) => format!("{said}\n\n{}", suggested(lines, policy)),
        None => said,
    }
}

/// The block that Bitbucket offers to apply (bitbucket-dc.md 3.6). Whatever would come out changed, or could end the
/// block early, is shown as a plain block: a button must not write something else than was meant.
fn suggested(lines: &str, policy: Policy<'_>) -> String {
    let is_plain = sanitise::clean(lines, policy.beyond_bmp) == lines && !lines.contains("```");
    if is_plain {
        let newline = if lines.is_empty() { "" } else { "\n" };
        format!("```suggestion\n{lines}{newline}```")
    } else {
        let shown = sanitise::fence(lines, "", policy, TEXT_UNITS_MAX);
        format!("Instead (not exactly, so it cannot be applied by a button):\n\n{shown}")
    }
}

fn footer(run: &Run) -> String {
    format!("run {}", code(run.id.as_str()))
}

#[cfg(test)]
mod tests {
    use pipeline::ids::CommitId;
    use pipeline::run::{Pushed, ThreadCommit};

    use super::*;
    use crate::sample;

    const POLICY: Policy<'_> = Policy {
        base_url: "https://bitbucket.example.com",
        beyond_bmp: true,
    };

    #[test]
    fn an_answer_names_the_commit_that_is_for_its_thread() {
        let commit = |digit: &str| CommitId::new(digit.repeat(40)).unwrap();
        let one_for_305 = vec![ThreadCommit {
            thread: CommentId(305),
            commit: commit("1"),
        }];
        let said = |thread: u64, settled: bool, threads: &[ThreadCommit], aside: bool| {
            let mut run = sample::running();
            // 305 was there at an earlier try of the push, and has a commit since.
            run.contained = vec![CommentId(305), CommentId(307)];
            let outcome = Outcome {
                pushed: Some(Pushed {
                    commit: commit("2"),
                    branch: "refs/heads/x".into(),
                    files: 1,
                    added: 1,
                    removed: 0,
                    threads: threads.to_vec(),
                }),
                pushed_aside: aside,
                ..Outcome::default()
            };
            run.end(None, RunState::Done, outcome, sample::at(1)).unwrap();
            verdict(&run, CommentId(thread), settled, "https://b/pr/7")
        };
        let (first, last) = (
            format!("[`11111111111`](https://b/pr/7/commits/{})", commit("1")),
            format!("[`22222222222`](https://b/pr/7/commits/{})", commit("2")),
        );
        let table = [
            (305, true, &one_for_305[..], format!("**Done** in {first}.")),
            (
                305,
                false,
                &one_for_305,
                format!("**Changed, not settled:** {first}."),
            ),
            (
                306,
                true,
                &one_for_305,
                format!("**Done** without a commit of its own, by what was pushed with it: {last}."),
            ),
            (306, false, &one_for_305, "**Not changed.**".to_owned()),
            (
                307,
                true,
                &one_for_305,
                "**Nothing left to change:** the branch had it already when this was pushed.".to_owned(),
            ),
            (307, false, &one_for_305, "**Not changed.**".to_owned()),
            (306, true, &[], format!("**Done** in {last}.")),
            (306, false, &[], "**Not changed.**".to_owned()),
        ];
        for (thread, settled, threads, expected) in table {
            assert_eq!(said(thread, settled, threads, false), expected);
        }
        assert_eq!(
            said(305, true, &one_for_305, true),
            "**Done on another branch:** `11111111111` on `x`; not on the source branch yet."
        );
    }

    #[test]
    fn a_suggestion_is_exact_or_none() {
        assert_eq!(
            suggested("    a + 1\n    b", POLICY),
            "```suggestion\n    a + 1\n    b\n```"
        );
        assert_eq!(suggested("", POLICY), "```suggestion\n```");
        for odd in ["a\n```\nb", "a\u{200b}b", "a\u{202e}b"] {
            let text = suggested(odd, POLICY);
            assert!(
                !text.contains("```suggestion") && text.starts_with("Instead"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_remarks_words_can_neither_suggest_nor_notify() {
        let text = remark("```suggestion\nrm -rf\n```\n@bob look", Some("x"), POLICY);
        assert_eq!(text.matches("```suggestion").count(), 1, "{text}");
        assert!(!text.contains(" @bob") && !text.starts_with("@bob"), "{text}");
    }
}
