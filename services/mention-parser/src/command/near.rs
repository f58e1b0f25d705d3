//! Near misses: a line that is one slip away from a verb.

use pipeline::mention::{Class, NearMiss};
use pipeline::verbs::{Argument, TABLE};

use super::PUNCTUATION;
use super::argument;

/// Longer than every verb and its argument by more than a slip.
const LINE_CHARS_MAX: usize = 40;

/// What people put around a verb that is meant for us and says nothing more.
const FILLERS: [&str; 16] = [
    "please",
    "pls",
    "it",
    "that",
    "this",
    "now",
    "me",
    "everything",
    "immediately",
    "the",
    "run",
    "work",
    "right",
    "just",
    "thanks",
    "already",
];

/// The verb that the line nearly is, and its class: control verbs before others, since taking one for free text would
/// start a run where one was to be stopped.
pub(super) fn miss(line: &str) -> Option<(Class, NearMiss)> {
    let line = line
        .trim()
        .trim_end_matches(|c| PUNCTUATION.contains(c))
        .trim_end();
    if line.chars().nth(LINE_CHARS_MAX).is_some() {
        return None;
    }
    let words: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
    let is_control = |class| matches!(class, Class::Control | Class::Query);
    let near = |control: bool| {
        TABLE
            .iter()
            .filter(|row| is_control(row.class) == control)
            .flat_map(|row| row.forms.iter().map(move |form| (row, *form)))
            .find(|(row, form)| is_near(&words, form, row.argument))
            .map(|(row, form)| (row.class, near_miss(&words, form)))
    };
    near(true).or_else(|| padded(&words)).or_else(|| near(false))
}

/// A control verb among words that say nothing: `please stop`, `cancel that`. Taken for free text it would start a run.
fn padded(words: &[String]) -> Option<(Class, NearMiss)> {
    let bare = |word: &str| word.trim_matches(|c| PUNCTUATION.contains(c)).to_owned();
    let (fillers, rest): (Vec<String>, Vec<String>) = words
        .iter()
        .map(|word| bare(word))
        .partition(|word| FILLERS.contains(&word.as_str()));
    let [verb] = rest.as_slice() else {
        return None;
    };
    let row = TABLE.iter().find(|row| row.forms.contains(&verb.as_str()))?;
    let is_control = matches!(row.class, Class::Control | Class::Query);
    (is_control && !fillers.is_empty()).then(|| {
        let miss = NearMiss {
            word: shown(&words.join(" ")),
            meant: verb.clone(),
        };
        (row.class, miss)
    })
}

/// Whether the words are the form with one slip, alone or, where the verb acts on what is named, with what it expects.
fn is_near(words: &[String], form: &str, argument: Argument) -> bool {
    let count = form.split(' ').count();
    let Some(verb) = words.get(..count) else {
        return false;
    };
    let behind = &words[count..];
    let is_expected = behind.is_empty()
        || argument == Argument::RunOrAll && argument::take(argument, &behind.join(" ")).is_some();
    is_expected && is_one_slip(&verb.join(" "), form)
}

fn near_miss(words: &[String], form: &str) -> NearMiss {
    let count = form.split(' ').count();
    NearMiss {
        word: shown(&words[..count].join(" ")),
        meant: form.to_owned(),
    }
}

/// What was typed, with nothing in it that means something in a reply.
fn shown(typed: &str) -> String {
    let harmless = |c: char| {
        if c.is_ascii_alphanumeric() || c == ' ' || c == '-' {
            c
        } else {
            '?'
        }
    };
    typed.chars().map(harmless).collect()
}

/// Whether one character left out, added, changed, or exchanged with its neighbour makes the one the other.
fn is_one_slip(typed: &str, form: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (typed.chars().collect(), form.chars().collect());
    let same_start = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same_start..], &b[same_start..]);
    let same_end = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (a, b) = (&a[..a.len() - same_end], &b[..b.len() - same_end]);
    match (a, b) {
        ([_], [] | [_]) | ([], [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_is_one_character_or_one_exchange() {
        for typed in [
            "sotp",
            "stp",
            "stopp",
            "step",
            "top",
            "tsop",
            "st\u{200b}op",
            "stpo",
        ] {
            assert!(is_one_slip(typed, "stop"), "{typed:?}");
        }
        for typed in ["stop", "", "spot", "sopt2", "potss", "st", "stoppp", "opts"] {
            assert!(!is_one_slip(typed, "stop"), "{typed:?}");
        }
        assert!(is_one_slip("aabort", "abort") && is_one_slip("paause", "pause"));
    }

    #[test]
    fn no_verb_is_a_near_miss_of_a_control_verb() {
        for row in TABLE {
            for form in row.forms {
                let others = TABLE
                    .iter()
                    .filter(|other| matches!(other.class, Class::Control | Class::Query));
                for other in others.flat_map(|other| other.forms) {
                    assert!(!is_one_slip(form, other), "{form} and {other}");
                }
            }
        }
    }

    #[test]
    fn a_control_verb_among_words_that_say_nothing_is_no_request() {
        for (line, meant) in [
            ("stop please", "stop"),
            ("please stop", "stop"),
            ("Stop it now!", "stop"),
            ("cancel that", "cancel"),
            ("just stop the run, please", "stop"),
            ("help me", "help"),
        ] {
            let (class, near) = miss(line).unwrap();
            assert!(matches!(class, Class::Control | Class::Query), "{line}");
            assert_eq!(near.meant, meant, "{line}");
        }
        for request in [
            "stop using unwrap",
            "fix it please",
            "please stop the leak",
            "cancel the timer",
        ] {
            assert_eq!(miss(request), None, "{request}");
        }
    }

    #[test]
    fn only_a_lone_verb_or_one_with_what_it_expects_is_missed() {
        let control = |line: &str| matches!(miss(line), Some((Class::Control | Class::Query, _)));
        assert!(
            control("sotp") && control(" Sotp! ") && control("cancle all") && control("sotp r-0123456789ab")
        );
        assert!(!control("sotp using unwrap") && !control("why all") && !control("step by step"));
        let (class, near) = miss("fixx").unwrap();
        assert_eq!(
            (class, near.word.as_str(), near.meant.as_str()),
            (Class::Work, "fixx", "fix")
        );
        assert_eq!(miss("update brach").unwrap().1.meant, "update branch");
        assert_eq!(miss("fixx the check"), None);
        assert_eq!(miss("st\u{200b}op").unwrap().1.word, "st?op");
        assert_eq!(miss(&"a ".repeat(1000)), None);
    }
}
