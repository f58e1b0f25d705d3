//! Bounds of what a run record keeps of an ending: whatever a model says or a work tree holds, the record can be
//! written. One that cannot would turn a push that succeeded into a run that failed.

use pipeline::run::{Check, Measured, Outcome};

/// The model's account; a reply shows less, a comment could not hold more.
const SUMMARY_CHARS_MAX: usize = 16_000;
/// Items of one list; nobody reads more of them in a comment.
const ITEMS_MAX: usize = 50;
/// One item: a long path, or two sentences. All lists together stay far below the 1 MiB of a NATS message, also when
/// every character has to be escaped.
const ITEM_CHARS_MAX: usize = 500;
/// Checks; a repository may ask for this many.
const CHECKS_MAX: usize = 8;
/// A check's name, and why it was not run or not measured: a few words.
const WHY_CHARS_MAX: usize = 200;
/// What a failure adds to its sentence; git's words are cut to about this much, too.
const DETAIL_CHARS_MAX: usize = 2_000;

/// The outcome within its bounds.
pub(crate) fn bounded(mut outcome: Outcome) -> Outcome {
    if let Some(summary) = &mut outcome.summary {
        cut(summary, SUMMARY_CHARS_MAX);
    }
    if let Some(detail) = outcome
        .failure
        .as_mut()
        .and_then(|failure| failure.detail.as_mut())
    {
        cut(detail, DETAIL_CHARS_MAX);
    }
    for items in [
        &mut outcome.not_done,
        &mut outcome.questions,
        &mut outcome.notes,
        &mut outcome.left_out,
    ] {
        cut_list(items);
    }
    outcome.checks.truncate(CHECKS_MAX);
    for check in &mut outcome.checks {
        cut_check(check);
    }
    outcome
}

fn cut_check(check: &mut Check) {
    cut(&mut check.name, WHY_CHARS_MAX);
    cut(&mut check.command, ITEM_CHARS_MAX);
    for measured in [&mut check.before, &mut check.after] {
        if let Measured::Stopped { limit: text, .. }
        | Measured::NotMeasurable { why: text }
        | Measured::NotRun { why: text } = measured
        {
            cut(text, WHY_CHARS_MAX);
        }
    }
}

fn cut_list(items: &mut Vec<String>) {
    if items.len() > ITEMS_MAX {
        let more = items.len() - (ITEMS_MAX - 1);
        items.truncate(ITEMS_MAX - 1);
        items.push(format!("and {more} more"));
    }
    for item in items {
        cut(item, ITEM_CHARS_MAX);
    }
}

fn cut(text: &mut String, chars_max: usize) {
    if text.chars().nth(chars_max).is_none() {
        return;
    }
    if let Some((end, _)) = text.char_indices().nth(chars_max - 1) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use pipeline::failure_code::FailureCode;
    use pipeline::ids::{CommentId, CommitId};
    use pipeline::message::encode;
    use pipeline::run::{COMMITS_MAX, Pushed, RunState, THREAD_COMMITS_MAX, ThreadCommit};

    use super::*;
    use crate::testing::run_asking;

    /// What NATS takes in one message, by default.
    const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
    /// Bitbucket's longest comment.
    const COMMENT_CHARS_MAX: usize = 32_768;
    /// The longest name of a branch that file systems let a server keep.
    const BRANCH_BYTES_MAX: usize = 4_096;

    #[test]
    fn a_record_fits_into_a_message_whatever_was_said_and_left_out() {
        // A control character takes six bytes in JSON, more than any other.
        let long = "\u{1}".repeat(100_000);
        let list = vec![long.clone(); 1_000];
        let commit = CommitId::new("a".repeat(40)).unwrap();
        let of_thread = ThreadCommit {
            thread: CommentId(u64::MAX),
            commit: commit.clone(),
        };
        let outcome = Outcome {
            pushed: Some(Pushed {
                commit: commit.clone(),
                branch: "x".repeat(BRANCH_BYTES_MAX),
                files: u32::MAX,
                added: u32::MAX,
                removed: u32::MAX,
                threads: vec![of_thread; THREAD_COMMITS_MAX],
            }),
            failure: Outcome::of_failure(FailureCode::BranchConflict, Some(long.clone())).failure,
            summary: Some(long.clone()),
            not_done: list.clone(),
            questions: list.clone(),
            notes: list.clone(),
            left_out: list,
            checks: vec![
                Check {
                    name: long.clone(),
                    command: long.clone(),
                    before: Measured::NotRun { why: long.clone() },
                    after: Measured::NotMeasurable { why: long },
                };
                1_000
            ],
            ..Outcome::default()
        };
        let mut run = run_asking(&"\u{1}".repeat(COMMENT_CHARS_MAX));
        run.commits = vec![commit; COMMITS_MAX];
        run.end(
            None,
            RunState::Failed,
            bounded(outcome),
            jiff::Timestamp::UNIX_EPOCH,
        )
        .unwrap();
        let bytes = encode(&run).len();
        assert!(bytes < MESSAGE_BYTES_MAX, "{bytes}");
    }

    #[test]
    fn what_is_within_the_bounds_stays_as_it_is() {
        let outcome = Outcome {
            failure: Outcome::of_failure(FailureCode::BranchConflict, Some("in a.rs".into())).failure,
            summary: Some("é".repeat(SUMMARY_CHARS_MAX)),
            notes: vec!["n".repeat(ITEM_CHARS_MAX); ITEMS_MAX],
            ..Outcome::default()
        };
        assert_eq!(bounded(outcome.clone()), outcome);
    }

    #[test]
    fn what_is_cut_says_so() {
        let outcome = bounded(Outcome {
            summary: Some("é".repeat(SUMMARY_CHARS_MAX + 1)),
            notes: (0..=ITEMS_MAX).map(|i| i.to_string()).collect(),
            ..Outcome::default()
        });
        let summary = outcome.summary.unwrap();
        assert!(summary.ends_with('…') && summary.chars().count() == SUMMARY_CHARS_MAX);
        assert_eq!(outcome.notes.len(), ITEMS_MAX);
        assert_eq!(outcome.notes.last().unwrap(), "and 2 more");
    }
}
