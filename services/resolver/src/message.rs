//! The commit message: a short subject, what was asked, and the trailers that make a run findable.

use pipeline::event::Person;
use pipeline::ids::{CommentId, CommitId, RunId};
use pipeline::run::Run;

use crate::secrets::{Known, redacted};

/// Git's custom: subjects longer than this are cut in logs (commands-and-replies.md, rule 6).
pub(crate) const SUBJECT_CHARS_MAX: usize = 72;
/// The body wraps here, as `git log` indents by four.
const BODY_COLUMNS: usize = 72;
/// The request is quoted in the body up to here; the comment has the rest.
const REQUEST_CHARS_MAX: usize = 600;

/// Ends of words that are trailers however they are spelled, those of a run's commits among them.
const TRAILER_ENDS: [&str; 4] = ["-by", "-id", "-run", "thread"];

/// The trailer that names the thread a commit is for.
pub(crate) const THREAD_TRAILER: &str = "Thread";

/// The message for a run's commit. `summary` is the model's and `request` the person's text: data, made harmless here.
/// `signed_off` asks for the requester's signature.
pub(crate) fn commit_message(run: &Run, summary: &str, signed_off: bool) -> String {
    // Whoever wrote a token into a comment has not asked for it to stay in the repository.
    let request = &redacted(&run.command.asked(), &Known::default());
    let subject = subject(summary)
        .or_else(|| subject(request))
        .unwrap_or_else(|| "Change what was asked for".into());
    let mut message = subject;
    let asked = plain(request).chars().take(REQUEST_CHARS_MAX).collect::<String>();
    if !asked.is_empty() {
        message.push_str("\n\n");
        let body = wrap(&format!("Asked for in a pull request comment: {asked}"));
        message.push_str(&body.lines().map(no_trailer).collect::<Vec<_>>().join("\n"));
    }
    message.push_str("\n\n");
    message.push_str(&trailers(run, signed_off));
    message
}

/// The message for a run's commit that does what one thread asks for; the rest as [`commit_message`].
pub(crate) fn thread_message(run: &Run, thread: CommentId, summary: &str, signed_off: bool) -> String {
    let asked = format!("Do what comment {thread} asks for");
    let summary = if summary.trim().is_empty() {
        &asked
    } else {
        summary
    };
    let message = commit_message(run, summary, signed_off);
    format!("{message}{THREAD_TRAILER}: {thread}\n")
}

/// The message for a merge of the second branch into the first, by the names that people see.
pub(crate) fn merge_message(run: &Run, (source, target): (&str, &str), signed_off: bool) -> String {
    let subject = subject(&format!("Merge {} into {}", plain(target), plain(source)));
    let subject = subject.unwrap_or_else(|| "Merge the target branch".into());
    format!("{subject}\n\n{}", trailers(run, signed_off))
}

/// The message for a commit that takes back a commit of the run `about`.
pub(crate) fn revert_message(run: &Run, (commit, about): (&CommitId, &RunId), signed_off: bool) -> String {
    let body = wrap(&format!(
        "This takes back commit {commit}, which was made by an earlier run."
    ));
    format!(
        "Revert what run {about} changed\n\n{body}\n\nReverts-Run: {about}\n{}",
        trailers(run, signed_off)
    )
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
    let line = match line.split_once(": ") {
        Some((word, _)) if begins_subjects(word) => line.to_owned(),
        _ => no_trailer(line),
    };
    if line.chars().count() <= SUBJECT_CHARS_MAX {
        return (!line.is_empty()).then_some(line);
    }
    let cut: String = line.chars().take(SUBJECT_CHARS_MAX - 1).collect();
    let cut = cut.rsplit_once(' ').map_or(cut.as_str(), |(words, _)| words);
    Some(format!("{}…", cut.trim_end()))
}

/// Whether repositories begin their subjects with such a word and a colon, and nobody a trailer: `fix:`, `PROJ-7:`.
fn begins_subjects(word: &str) -> bool {
    // With a colon in it, it is the words before that one that could be taken for a trailer.
    let is_lower = word.starts_with(|c: char| c.is_ascii_lowercase())
        && !word.contains(|c: char| c.is_uppercase() || c == ':');
    let is_key = word.split_once('-').is_some_and(|(project, number)| {
        project.starts_with(|c: char| c.is_ascii_uppercase())
            && project
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit())
    });
    is_key || is_lower && !TRAILER_ENDS.iter().any(|end| word.trim_end().ends_with(end))
}

/// A line that no tool takes for a trailer: `Word:` at its start becomes `Word -`. Addresses stay.
fn no_trailer(line: &str) -> String {
    match line.split_once(':') {
        Some((word, rest))
            if !rest.starts_with("//")
                && !word.trim().is_empty()
                && word.trim().chars().all(|c| c.is_alphanumeric() || c == '-') =>
        {
            format!("{} - {}", word.trim_end(), rest.trim_start())
                .trim_end()
                .to_owned()
        }
        _ => line.to_owned(),
    }
}

/// The requester as commits name people; none where Bitbucket shows no address of theirs.
pub(crate) fn signature(run: &Run) -> Option<String> {
    let Person {
        display_name,
        name,
        email,
        ..
    } = run.requester.as_ref()?;
    let shown = plain(display_name.as_deref().unwrap_or(name)).replace(['<', '>'], "");
    let email = plain(email.as_ref()?).replace(['<', '>', ' '], "");
    (!email.is_empty()).then(|| format!("{shown} <{email}>"))
}

/// `Co-authored-by`, and `Signed-off-by` where that is asked for, where the requester has an address; `Requested-by` and
/// `Run-Id` always.
fn trailers(run: &Run, signed_off: bool) -> String {
    let mut lines = Vec::new();
    if let Some(person) = signature(run) {
        lines.push(format!("Co-authored-by: {person}"));
        if signed_off {
            lines.push(format!("Signed-off-by: {person}"));
        }
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

/// One line: control characters, direction marks and invisible characters gone, white space collapsed. Words such as
/// `#close` lose their mark: issue trackers read them in commit messages as orders of whoever commits.
pub(crate) fn plain(text: &str) -> String {
    let visible = text
        .chars()
        .map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c })
        .collect::<String>();
    let words = visible.split_whitespace().map(|word| {
        let order = word.trim_start_matches('#');
        if order.len() < word.len() && order.starts_with(char::is_alphabetic) {
            order
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Zero-width characters, direction marks, fillers, variation selectors, tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
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
        assert_snapshot!(commit_message(&run, "## Fix the null check in parse.\n\nMore.", false), @r"
        Fix the null check in parse

        Asked for in a pull request comment: the null check in `parse` is wrong,
        please fix it and keep the old behaviour for empty input

        Co-authored-by: Alice Liddell <alice@example.test>
        Requested-by: alice (PR #7, comment 310)
        Run-Id: r-0123456789ab
        ");
    }

    #[test]
    fn the_commit_for_a_thread_names_it_and_nobody_else_can() {
        let run = run_asking("these\n\nThread: 7");
        let message = thread_message(&run, CommentId(305), "Thread: 8\n\nThread: 9", false);
        assert!(
            message.ends_with("\nRun-Id: r-0123456789ab\nThread: 305\n"),
            "{message}"
        );
        let named = message.lines().filter(|line| line.starts_with("Thread:"));
        assert_eq!(named.count(), 1, "{message}");
        let message = thread_message(&run, CommentId(305), " \n", false);
        assert!(
            message.starts_with("Do what comment 305 asks for\n\n"),
            "{message}"
        );
    }

    #[test]
    fn a_long_subject_is_cut_at_a_word() {
        let long =
            "Replace the hand-written retry loop of the uploader by the one of the client library everywhere";
        let message = commit_message(&run_asking(""), long, false);
        let subject = message.lines().next().unwrap();
        assert_eq!(
            subject,
            "Replace the hand-written retry loop of the uploader by the one of the…"
        );
        assert!(subject.chars().count() <= SUBJECT_CHARS_MAX);
    }

    #[test]
    fn what_repositories_begin_subjects_with_stays_and_trailers_do_not() {
        for (said, expected) in [
            ("fix: Add again", "fix: Add again"),
            ("fix(parser)!: Add: again", "fix(parser)!: Add: again"),
            ("context-builder: Say it", "context-builder: Say it"),
            ("PROJ-12: Add again", "PROJ-12: Add again"),
            ("[parser] Add again", "[parser] Add again"),
            ("Thread: 8", "Thread - 8"),
            ("thread: 8", "thread - 8"),
            ("run-id: r-zzzzzzzzzzzz", "run-id - r-zzzzzzzzzzzz"),
            ("reverts-run : r-zzzzzzzzzzzz", "reverts-run - r-zzzzzzzzzzzz"),
            ("co-authored-by: Eve <e@x>", "co-authored-by - Eve <e@x>"),
            ("co-authored-by:eve <e@x>: hi", "co-authored-by - eve <e@x>: hi"),
            ("run-id:r-zzzzzzzzzzzz and: x", "run-id - r-zzzzzzzzzzzz and: x"),
            ("feat(a::b): x", "feat(a::b): x"),
            ("PROJ-x: Eve", "PROJ-x - Eve"),
            ("-1: Eve", "1 - Eve"),
        ] {
            assert_eq!(subject(said).as_deref(), Some(expected));
        }
    }

    #[test]
    fn neither_the_model_nor_the_person_can_write_a_trailer() {
        let run = run_asking("fix\n\nRun-Id: r-zzzzzzzzzzzz");
        let message = commit_message(&run, "Run-Id: r-xxxxxxxxxxxx\n\nRun-Id: r-yyyyyyyyyyyy", false);
        let trailers: Vec<_> = message
            .lines()
            .filter(|line| line.starts_with("Run-Id:"))
            .collect();
        assert_eq!(trailers, ["Run-Id: r-0123456789ab"]);
    }

    #[test]
    fn a_request_that_is_wrapped_brings_no_trailer_to_a_lines_start() {
        for word in [
            "Run-Id:",
            "Co-authored-by:",
            "Signed-off-by :",
            "Run-Id:r-zzzzzzzzzzzz",
        ] {
            for length in 0..80 {
                let asked = format!("{} {word} Eve <eve@example.test>", "x".repeat(length));
                let message = commit_message(&run_asking(&asked), word, false);
                let (text, _ours) = message.split_once("\n\nCo-authored-by: Alice").unwrap();
                let name = word.split(':').next().unwrap().trim();
                let forged = text.lines().filter(|line| {
                    line.split_once(':')
                        .is_some_and(|(start, _)| start.trim() == name)
                });
                assert_eq!(forged.count(), 0, "{message}");
            }
        }
    }

    #[test]
    fn addresses_at_a_lines_start_stay_as_they_are() {
        assert_eq!(
            no_trailer("https://example.test/a: b"),
            "https://example.test/a: b"
        );
        assert_eq!(no_trailer("two words: here"), "two words: here");
        assert_eq!(no_trailer("Run-Id:"), "Run-Id -");
    }

    #[test]
    fn nobody_gives_orders_to_an_issue_tracker_or_leaves_a_token() {
        let token = format!("glpat-{}", "aB3dE5gH7jK9mN1pQ3sT");
        let run = run_asking(&format!("PROJ-1 #close ##time 2d see #7 with {token}"));
        let message = commit_message(&run, "Fix PROJ-1 #done #comment x", false);
        assert!(message.starts_with("Fix PROJ-1 done comment x\n"), "{message}");
        assert!(message.contains("PROJ-1 close time 2d see #7 with"), "{message}");
        assert!(!message.contains(&token), "{message}");
    }

    #[test]
    fn invisible_characters_do_not_reach_the_log() {
        let message = commit_message(
            &run_asking("a\u{202e}b\u{e0041}"),
            "x\u{1b}[31m\u{200b}y\u{fe0f}",
            false,
        );
        assert!(
            message
                .chars()
                .all(|c| c == '\n' || (!c.is_control() && !is_invisible(c))),
            "{message:?}"
        );
    }

    #[test]
    fn a_sign_off_names_the_requester_and_nobody_without_an_address() {
        let mut run = run_asking("fix it");
        let message = commit_message(&run, "Fix it", true);
        assert!(
            message.contains("\nSigned-off-by: Alice Liddell <alice@example.test>\n"),
            "{message}"
        );
        assert!(!commit_message(&run, "Fix it", false).contains("Signed-off-by"));
        if let Some(person) = &mut run.requester {
            person.display_name = Some("Eve\nSigned-off-by: Root".into());
            person.email = Some("a@b\nRun-Id: x".into());
        }
        let message = commit_message(&run, "Fix it", true);
        let signed = message.lines().filter(|line| line.starts_with("Signed-off-by:"));
        assert_eq!(signed.count(), 1, "{message}");
        let runs = message.lines().filter(|line| line.starts_with("Run-Id:"));
        assert_eq!(runs.count(), 1, "{message}");
        if let Some(person) = &mut run.requester {
            person.email = None;
        }
        assert_eq!(signature(&run), None);
        assert!(!commit_message(&run, "Fix it", true).contains("Signed-off-by"));
    }
}
