//! Whether a verb takes what stands behind it on its line.

use pipeline::ids::RunId;
use pipeline::verbs::Argument;

use super::PUNCTUATION;

/// No argument is longer: not a run's id, a commit, a delivery's id; nor should a build's key be.
const ARGUMENT_BYTES_MAX: usize = 200;
/// Git does not shorten commits further by itself.
const SHORT_COMMIT_DIGITS: usize = 7;
const COMMIT_DIGITS: usize = 40;
/// Comment numbers fit in 64 bits.
const NUMBER_DIGITS_MAX: usize = 19;
/// The digits of a UUID between its dashes: Bitbucket's request ids.
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// What a verb takes of its line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) argument: Option<String>,
    pub(super) text: String,
}

/// What `argument` makes of the line; `None` where the line is not what the verb expects.
pub(super) fn take(argument: Argument, line: &str) -> Option<Taken> {
    if argument == Argument::Text {
        return Some(Taken {
            argument: None,
            text: line.to_owned(),
        });
    }
    let bare = line
        .trim()
        .trim_end_matches(|c| PUNCTUATION.contains(c))
        .trim_end();
    if bare.is_empty() {
        return Some(Taken::default());
    }
    if bare.len() > ARGUMENT_BYTES_MAX {
        return None;
    }
    let words: Vec<&str> = bare.split_whitespace().collect();
    let plain = words.join(" ").to_lowercase();
    let is_expected = match argument {
        Argument::Text | Argument::Nothing => false,
        Argument::Word => words.len() == 1 && !bare.chars().any(char::is_control),
        Argument::OneOf(known) => known.contains(&plain.as_str()),
        Argument::Run => is_run(&plain),
        Argument::RunOrAll => plain == "all" || is_run(&plain),
        Argument::Request => is_run(&plain) || is_number(&plain) || is_uuid(&plain),
        Argument::Plan => is_run(&plain) || is_commit(&plain),
    };
    let argument = if argument == Argument::Word {
        bare.to_owned()
    } else {
        plain
    };
    is_expected.then_some(Taken {
        argument: Some(argument),
        text: String::new(),
    })
}

fn is_run(word: &str) -> bool {
    RunId::new(word).is_ok()
}

fn is_number(word: &str) -> bool {
    word.len() <= NUMBER_DIGITS_MAX && word.bytes().all(|b| b.is_ascii_digit())
}

fn is_commit(word: &str) -> bool {
    (SHORT_COMMIT_DIGITS..=COMMIT_DIGITS).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_uuid(word: &str) -> bool {
    let groups: Vec<&str> = word.split('-').collect();
    groups.iter().map(|group| group.len()).eq(UUID_GROUPS)
        && groups
            .iter()
            .all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}
