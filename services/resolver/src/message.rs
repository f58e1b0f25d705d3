//! The commit message: a short subject, what was asked, and the trailers that make a run findable.

use pipeline::event::Person;
use pipeline::run::Run;

/// Git's custom: subjects longer than this are cut in logs (commands-and-replies.md, rule 6).
const SUBJECT_CHARS_MAX: usize = 72;
/// The body wraps here, as `git log` indents by four.
const BODY_COLUMNS: usize = 72;
/// The request is quoted in the body up to here; the comment has the rest.
const REQUEST_CHARS_MAX: usize = 600;

/// The message for a run's commit. `summary` is the model's and `request` the person's text: data, made harmless here.
pub(crate) fn commit_message(run: &Run, summary: &str) -> String {
    let request = run.command.text();
    let subject = subject(summary)
        .or_else(|| subject(request))
        .unwrap_or_else(|| "Change what was asked for".into());
    let mut message = subject;
    let asked = plain(request).chars().take(REQUEST_CHARS_MAX).collect::<String>();
    if !asked.is_empty() {
        message.push_str("\n\n");
        message.push_str(&wrap(&format!("Asked for in a pull request comment: {asked}")));
    }
    message.push_str("\n\n");
    message.push_str(&trailers(run));
    message
}

/// The first line with words, as one line without markup at its start, cut at a word.
fn subject(text: &str) -> Option<String> {
    let line = text
        .lines()
        .map(plain)
        .find(|line| line.chars().any(char::is_alphanumeric))?;
    let line = line
        .trim_start_matches(['#', '*', '-', '>', ' '])
        .trim_end_matches(['.', ' ']);
    // A subject such as "Run-Id: …" would read as a trailer in some tools.
    let line = line.replace(": ", " - ");
    if line.chars().count() <= SUBJECT_CHARS_MAX {
        return (!line.is_empty()).then_some(line);
    }
    let cut: String = line.chars().take(SUBJECT_CHARS_MAX - 1).collect();
    let cut = cut.rsplit_once(' ').map_or(cut.as_str(), |(words, _)| words);
    Some(format!("{}…", cut.trim_end()))
}

/// `Co-authored-by` where the requester has an address, `Requested-by` and `Run-Id` always.
fn trailers(run: &Run) -> String {
    let mut lines = Vec::new();
    if let Some(Person {
        display_name,
        name,
        email: Some(email),
        ..
    }) = &run.requester
    {
        let shown = plain(display_name.as_deref().unwrap_or(name)).replace(['<', '>'], "");
        let email = plain(email).replace(['<', '>', ' '], "");
        lines.push(format!("Co-authored-by: {shown} <{email}>"));
    }
    let name = run
        .requester
        .as_ref()
        .map_or_else(|| "unknown".into(), |person| plain(&person.name));
    lines.push(format!(
        "Requested-by: {name} (PR #{}, comment {})",
        run.pull_request, run.comment
    ));
    lines.push(format!("Run-Id: {}", run.id));
    lines.join("\n") + "\n"
}

/// One line: control characters, direction marks and zero-width characters gone, white space collapsed.
fn plain(text: &str) -> String {
    let visible = text
        .chars()
        .map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c })
        .collect::<String>();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
}

fn wrap(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("starts with one line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > BODY_COLUMNS {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run_asking;
    use insta::assert_snapshot;

    #[test]
    fn the_message_tells_what_who_and_which_run() {
        let run = run_asking(
            "the null check in `parse` is wrong, please fix it and keep the old behaviour for empty input",
        );
        assert_snapshot!(commit_message(&run, "## Fix the null check in parse.\n\nMore."), @r"
        Fix the null check in parse

        Asked for in a pull request comment: the null check in `parse` is wrong,
        please fix it and keep the old behaviour for empty input

        Co-authored-by: Alice Liddell <alice@example.test>
        Requested-by: alice (PR #7, comment 310)
        Run-Id: r-0123456789ab
        ");
    }

    #[test]
    fn a_long_subject_is_cut_at_a_word() {
        let long =
            "Replace the hand-written retry loop of the uploader by the one of the client library everywhere";
        let message = commit_message(&run_asking(""), long);
        let subject = message.lines().next().unwrap();
        assert_eq!(
            subject,
            "Replace the hand-written retry loop of the uploader by the one of the…"
        );
        assert!(subject.chars().count() <= SUBJECT_CHARS_MAX);
    }

    #[test]
    fn neither_the_model_nor_the_person_can_write_a_trailer() {
        let run = run_asking("fix\n\nRun-Id: r-zzzzzzzzzzzz");
        let message = commit_message(&run, "Run-Id: r-xxxxxxxxxxxx\n\nRun-Id: r-yyyyyyyyyyyy");
        let trailers: Vec<_> = message
            .lines()
            .filter(|line| line.starts_with("Run-Id:"))
            .collect();
        assert_eq!(trailers, ["Run-Id: r-0123456789ab"]);
    }

    #[test]
    fn invisible_characters_do_not_reach_the_log() {
        let message = commit_message(&run_asking("a\u{202e}b"), "x\u{1b}[31m\u{200b}y");
        assert!(
            message
                .chars()
                .all(|c| c == '\n' || (!c.is_control() && !is_invisible(c))),
            "{message:?}"
        );
    }
}
