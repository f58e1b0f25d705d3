//! Framing: what an agent is to do with the request, in our words, by verb and options. The only text of a brief beside
//! the request that is an instruction.

use pipeline::command::Command;
use pipeline::options::Options;
use pipeline::verbs::{Class, Verb};

use crate::context::visible;

/// Said where files may be changed.
const CHANGE: &str = "Do it by changing files in the working directory, which holds the source branch. Change what the request asks for and nothing else. When the request is not clear enough to act on, change nothing and ask back.";
/// Said where they may not: what is changed all the same is thrown away.
const CHANGE_NOTHING: &str = "The working directory holds the source branch. Change no file: whatever you change is thrown away. What people get to read is your last message, or the summary that you finish with.";
/// How what is more than prose is handed over.
const RESULT: &str = "End your last message, or the summary that you finish with, with one fenced block whose info string is `openhands-result` and whose content is one JSON object, as described here. Nothing else in your message is read by a program; what stands before the block is shown to people.";

/// What to do, what not to, and the form of the answer: paragraphs of Markdown.
pub(crate) fn task(command: &Command) -> Vec<String> {
    let mut task = vec![work(command.verb).to_owned(), boundary(command.verb).to_owned()];
    if let Some(form) = form(command.verb) {
        task.push(RESULT.to_owned());
        task.push(form.to_owned());
    }
    task.extend(narrowed(&command.options));
    task.retain(|paragraph| !paragraph.is_empty());
    task
}

/// Whether a command of this verb is complete without a text, so that it needs to point at nothing.
pub(crate) fn needs_no_text(verb: Verb) -> bool {
    !matches!(verb, Verb::Request | Verb::Fix | Verb::Ask | Verb::Plan)
}

/// Whether a command of this verb is never about the comment it replies to, also without a text.
pub(crate) fn never_points(verb: Verb) -> bool {
    needs_no_text(verb) && !matches!(verb, Verb::Explain | Verb::Test)
}

fn boundary(verb: Verb) -> &'static str {
    let reads_only = verb.class() == Class::Read || matches!(verb, Verb::Plan | Verb::Describe);
    if reads_only { CHANGE_NOTHING } else { CHANGE }
}

/// What the verb means.
fn work(verb: Verb) -> &'static str {
    match verb {
        Verb::Fix => {
            "Fix what the request, or the thread or the line it stands in, points at: the cause, not the symptom."
        }
        Verb::FixCi => {
            "Builds of the source branch failed; they are listed below under \"Failed builds\". Their logs are not here: find out from the code what is wrong, and repair it."
        }
        Verb::Address => {
            "Work through the open threads listed below under \"Open threads\", one after the other: do what each asks for, where it is right, and say why not, where it is not."
        }
        Verb::Review => {
            "Review what the pull request changes. Look for mistakes: wrong results, unhandled cases, security, races, broken promises of the code around. Look into the files where the diff is not enough. Say nothing about taste, and nothing that you are not sure of."
        }
        Verb::Ask => "Answer the question, from the code and what is said below. Say what you do not know.",
        Verb::Explain => {
            "Explain what the request points at: what the code does, why it is so as far as that can be known, and what depends on it. Without more words in the request, explain the place that the thread is about, or else what the pull request changes."
        }
        Verb::Test => {
            "Add the tests that are missing, or repair those that are wrong; run them where that is possible. Without more words in the request, test what the pull request changes. Do not change what is tested, unless a test cannot be written otherwise; say so then."
        }
        Verb::Describe => {
            "Propose a title and a description for the pull request: what it changes and why, for somebody who is to review it. The title is one line of at most 72 characters. Invent no facts; keep references such as issue keys."
        }
        Verb::Plan => {
            "Plan how you would do what the request asks for, without doing it: the steps in order, the files and functions they touch, the tests, and what could go wrong. Take at most 3,500 characters, and no links. The plan is carried out later, by somebody who has only its text, after a person has approved it."
        }
        Verb::Approve => {
            "The request is a plan that a person has approved. Carry it out step by step, and nothing beyond it. Where a step turns out to be wrong, do what the plan means, and say so."
        }
        Verb::Continue => {
            "Go on with the earlier work that is described below under \"The earlier run\". What the request says now answers its questions and comes first."
        }
        Verb::Update => {
            "The target branch was merged into the source branch, and files conflict. Resolve the conflicts that are marked in them with `<<<<<<<`, `=======` and `>>>>>>>`, so that what both sides meant is kept. Change no other file, and leave no mark."
        }
        // Free text says itself what to do; the others reach no agent.
        _ => "",
    }
}

/// What the block holds, where the verb has a result that programs read.
fn form(verb: Verb) -> Option<&'static str> {
    Some(match verb {
        Verb::Address => {
            "The object is `{\"answers\": [{\"thread\": 123, \"text\": \"...\", \"settled\": true}]}`, with one entry for each open thread: `thread` is its number, `text` is what is to be answered in it in a sentence or two, and `settled` says whether your change does what the thread asks for."
        }
        Verb::Review => {
            "The object is `{\"findings\": [{\"path\": \"src/a.rs\", \"line\": 12, \"last_line\": 14, \"text\": \"...\", \"suggestion\": \"...\"}]}`, the most important finding first, or an empty list. `line` and `last_line` count lines of the file as it is in the working directory, and should lie in the diff; `last_line` and `suggestion` may be left out. `suggestion` is what all the lines from `line` to `last_line` should be instead, whole and indented. Before the block, sum up the review in a few sentences."
        }
        Verb::Describe => {
            "The object is `{\"title\": \"...\", \"description\": \"...\"}`; the description is Markdown."
        }
        _ => return None,
    })
}

/// What options add. A language tag was parsed as one; globs are the requester's and fenced.
fn narrowed(options: &Options) -> Vec<String> {
    let mut lines = Vec::new();
    if !options.paths.is_empty() {
        let globs = visible::text(&options.paths.join("\n"));
        let fence = visible::fence(&globs);
        lines.push(format!(
            "Change only files that match one of these globs; a change to any other file spoils the whole work.\n\n{fence}text\n{globs}\n{fence}"
        ));
    }
    if let Some(tag) = &options.lang {
        lines.push(format!(
            "Write what people read (your messages, not code, comments or commit messages) in the language `{tag}`."
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_that_an_agent_works_for_says_what_to_do() {
        for verb in Verb::all().filter(|verb| verb.is_queued()) {
            let task = task(&Command::of_verb(verb, "text"));
            let is_said_elsewhere = matches!(verb, Verb::Request | Verb::Retry | Verb::Undo | Verb::Split);
            assert_eq!(task.len() == 1, is_said_elsewhere, "{verb:?}: {task:?}");
            assert_eq!(
                task.iter().any(|text| text == RESULT),
                form(verb).is_some(),
                "{verb:?}"
            );
            assert!(task.iter().all(|text| text.ends_with('.')), "{verb:?}: {task:?}");
        }
    }

    #[test]
    fn what_never_pushes_is_told_to_change_nothing() {
        for verb in Verb::all().filter(|verb| verb.is_queued()) {
            let told_to_change_nothing =
                task(&Command::of_verb(verb, "")).contains(&CHANGE_NOTHING.to_owned());
            assert_eq!(
                told_to_change_nothing,
                !verb.may_push() && verb != Verb::Split,
                "{verb:?}"
            );
        }
    }

    #[test]
    fn paths_and_language_are_told() {
        let options = Options {
            paths: vec!["src/**".into(), "a`\n# Request".into()],
            lang: Some("de".into()),
            ..Options::default()
        };
        assert_eq!(
            narrowed(&options),
            [
                "Change only files that match one of these globs; a change to any other file spoils the whole work.\n\n```text\nsrc/**\na`\n# Request\n```",
                "Write what people read (your messages, not code, comments or commit messages) in the language `de`.",
            ]
        );
        assert!(narrowed(&Options::default()).is_empty());
    }
}
