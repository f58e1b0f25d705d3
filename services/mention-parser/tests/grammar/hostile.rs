//! Text made to break or to stall the grammar. Bitbucket lets a comment have 32,768 characters.

use pipeline::mention::Verb;
use proptest::prelude::*;

use crate::{command, found};

const COMMENT_BYTES: usize = 32 * 1024;

/// What the grammar looks at specially, to be put together in any order.
const PIECES: &[&str] = &[
    "@openhands",
    "@openhands ",
    "\n@openhands ",
    "fix ",
    "fix ci",
    "fix",
    "build ",
    "stop",
    "stop ",
    "sotp",
    "why ",
    "all",
    "update ",
    "branch",
    "resolve conflicts ",
    "address review ",
    "--",
    " -- ",
    "--model",
    "--model=",
    "--model ",
    "--path \"",
    "--path ",
    "--budget $",
    "--budget -",
    "--quiet ",
    "--unknown ",
    "--x=",
    "=",
    "\"",
    "\" ",
    "$3",
    "20m",
    "r-0123456789ab",
    " ",
    "\t",
    "\u{a0}",
    "\n",
    "\r\n",
    "\r",
    ".",
    ",",
    ":",
    "-",
    "*",
    "**",
    "_",
    "`",
    "```",
    "> ",
    "    ",
    "<!--",
    "[",
    "](",
    "\\",
    "é",
    "😀",
    "\u{200b}",
    "\u{202e}",
    "\u{0}",
    "\u{7f}",
    "\u{2028}",
    "ß",
    "İ",
    "ſtop",
    "x",
];

fn up_to(bytes: usize, pieces: &[&str]) -> String {
    let mut text = String::new();
    while text.len() < bytes {
        for piece in pieces {
            text.push_str(piece);
        }
    }
    text.truncate(text.floor_char_boundary(bytes));
    text
}

/// Counts, not times: however a comment is made up, four times the text takes at most about four times the looking, and
/// no byte is looked at more than a bounded number of times.
#[test]
fn what_is_looked_at_grows_with_the_length_of_the_comment() {
    const LOOKS_PER_BYTE_MAX: usize = 40;
    let mut patterns: Vec<Vec<&str>> = PIECES.iter().map(|piece| vec![*piece]).collect();
    for piece in PIECES {
        patterns.push(vec!["@openhands ", piece]);
        patterns.push(vec!["--path \"", piece]);
        patterns.push(vec!["--unknown ", piece, "x "]);
        patterns.push(vec!["fix ", piece]);
    }
    for pattern in patterns {
        let looked_at = |bytes| {
            let comment = format!("@openhands {}", up_to(bytes, &pattern));
            found(&comment).map_or(0, |found| found.looked_at)
        };
        let (small, large) = (looked_at(COMMENT_BYTES / 4), looked_at(COMMENT_BYTES));
        assert!(
            large <= LOOKS_PER_BYTE_MAX * COMMENT_BYTES,
            "{pattern:?}: {large}"
        );
        assert!(
            large <= 5 * small + 1_000,
            "{pattern:?}: {small} at 8 KiB, {large} at 32 KiB"
        );
    }
}

#[test]
fn ten_thousand_mentions_are_one_request() {
    let comment = "@openhands fix ".repeat(10_000);
    let command = command(&comment);
    assert_eq!(
        (command.verb, command.ignored_verbs),
        (Verb::Fix, vec![Verb::Fix])
    );
}

fn adversarial() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 0..400);
    prop_oneof![
        4 => pieces.prop_map(|pieces| pieces.concat()),
        1 => (prop::collection::vec(prop::sample::select(PIECES), 1..5)).prop_map(|pieces| up_to(COMMENT_BYTES, &pieces)),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_comment_makes_the_grammar_panic_and_what_it_reads_keeps_its_promises(text in adversarial()) {
        let comment = format!("@openhands {text}");
        let Some(found) = found(&comment) else { return Ok(()) };
        let command = found.command;
        prop_assert!(found.looked_at <= 40 * comment.len() + 1_000, "{} for {}", found.looked_at, comment.len());
        prop_assert_eq!(command.text.trim_end(), &command.text);
        prop_assert!(!command.text.contains('\r'));
        prop_assert!(!command.text.starts_with('\n'));
        if command.refused.is_some() {
            prop_assert!(!command.starts_a_run() && command.text.is_empty());
            let sentence = command.refused.as_ref().unwrap().sentence();
            prop_assert!(sentence.len() < 1_000 && sentence.matches('`').count() % 2 == 0, "{}", sentence);
        }
        let json = serde_json::to_vec(&command).unwrap();
        let read: pipeline::mention::Command = serde_json::from_slice(&json).unwrap();
        prop_assert_eq!(read.digest(), command.digest());
        prop_assert_eq!(read, command);
    }

    #[test]
    fn a_control_verb_acts_only_alone_or_with_what_it_expects(word in "[a-z]{1,8}", more in "[a-z]{1,8}") {
        prop_assume!(word != "all");
        let command = command(&format!("@openhands stop {word} {more}"));
        prop_assert_eq!(command.verb, Verb::Request);
    }
}
