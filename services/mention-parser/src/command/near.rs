//! Near misses: a line that is one slip away from a verb.

use pipeline::mention::{Class, GrammarRefusal, NearMiss, Verb};
use pipeline::verbs::{Argument, Row, TABLE};

use super::PUNCTUATION;
use super::argument;

/// Longer than every verb and its argument by more than a slip.
const LINE_CHARS_MAX: usize = 60;

/// More words than a verb, its id and what politeness puts around them.
const WORDS_MAX: usize = 12;

/// Of what was typed, this much is told.
const WORD_CHARS_MAX: usize = 40;

/// Punctuation that means nothing in a reply's code.
const HARMLESS: &str = " -!?.,;:'\"()+=%$_";

/// What people put around a verb that is meant for us and says nothing more.
const FILLERS: [&str; 40] = [
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
    "a",
    "my",
    "your",
    "you",
    "again",
    "last",
    "latest",
    "previous",
    "commit",
    "commits",
    "change",
    "changes",
    "plan",
    "request",
    "bot",
    "for",
    "while",
    "moment",
    "working",
    "on",
    "here",
    "mission",
    "then",
    "kindly",
];

/// What the line nearly is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// Taken for free text it would start a run where something else was meant: nothing is started.
    Refused(GrammarRefusal),
    /// It is free text, with a note.
    Noted(NearMiss),
}

/// The verb that the line nearly is: control verbs before others, since taking one for free text would start a run where
/// one was to be stopped.
pub(super) fn miss(line: &str) -> Option<Miss> {
    let line = line
        .trim()
        .trim_end_matches(|c| PUNCTUATION.contains(c))
        .trim_end();
    let words: Vec<String> = line
        .split_whitespace()
        .take(WORDS_MAX + 1)
        .map(str::to_lowercase)
        .collect();
    if let Some(refusal) = no_id(&words) {
        return Some(Miss::Refused(refusal));
    }
    if line.chars().nth(LINE_CHARS_MAX).is_some() {
        return None;
    }
    let near = |control: bool| {
        TABLE
            .iter()
            .filter(|row| is_control(row) == control)
            .flat_map(|row| row.forms.iter().map(move |form| (row, *form)))
            .find(|(row, form)| is_near(&words, form, row.argument))
            .map(|(_, form)| near_miss(&words, form))
    };
    let refused = |near| Miss::Refused(GrammarRefusal::NearMiss(near));
    near(true)
        .or_else(|| padded(&words))
        .map(refused)
        .or_else(|| near(false).map(Miss::Noted))
}

fn is_control(row: &Row) -> bool {
    matches!(row.class, Class::Control | Class::Query)
}

/// A verb with a lone word behind it that looks like the id it takes and is none: one letter lost of it, and a run would
/// be started where one was to be stopped or taken back.
fn no_id(words: &[String]) -> Option<GrammarRefusal> {
    if words.len() > WORDS_MAX {
        return None;
    }
    let words: Vec<String> = words.iter().map(|word| bare(word)).collect();
    let (verb, behind) = words.split_first()?;
    let behind: Vec<&String> = behind
        .iter()
        .filter(|word| !FILLERS.contains(&word.as_str()))
        .collect();
    let ([word], Some(row)) = (behind.as_slice(), row_of(verb)) else {
        return None;
    };
    let is_id = argument::take(row.argument, word).is_some();
    (looks_like_id(row.argument, word) && !is_id).then(|| GrammarRefusal::NoId {
        verb: row.verb,
        word: shown(word),
    })
}

/// Whether nobody would write this word where the verb takes an id and mean something else.
fn looks_like_id(argument: Argument, word: &str) -> bool {
    let is_run = word.strip_prefix("r-").is_some_and(|id| !id.is_empty());
    match argument {
        Argument::Run | Argument::RunOrAll | Argument::Request => is_run,
        Argument::Plan => is_run || !word.is_empty() && word.bytes().all(|b| b.is_ascii_hexdigit()),
        Argument::Text | Argument::Nothing | Argument::Word | Argument::OneOf(_) => false,
    }
}

fn row_of(verb: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.forms.contains(&verb))
}

fn bare(word: &str) -> String {
    word.trim_matches(|c| PUNCTUATION.contains(c)).to_owned()
}

/// A verb that acts on runs among words that say nothing, also with the id it takes: `please stop`, `undo the last
/// commit`, `stop r-0123456789ab now`. Taken for free text it would start a run.
fn padded(words: &[String]) -> Option<NearMiss> {
    let bare: Vec<String> = words.iter().map(|word| bare(word)).collect();
    let (fillers, rest): (Vec<&String>, Vec<&String>) =
        bare.iter().partition(|word| FILLERS.contains(&word.as_str()));
    let (verb, behind) = rest.split_first()?;
    let row = row_of(verb)?;
    let acts = is_control(row) || matches!(row.verb, Verb::Undo | Verb::Retry | Verb::Approve);
    let is_expected = match behind {
        [] => true,
        [id] => row.argument != Argument::Text && argument::take(row.argument, id).is_some(),
        _ => false,
    };
    let meant = rest
        .iter()
        .map(|word| word.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    (acts && is_expected && !fillers.is_empty()).then(|| NearMiss {
        word: shown(&words.join(" ")),
        meant: shown(&meant),
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
        || argument == Argument::RunOrAll && argument::take(argument, &behind.join(" ")).is_some()
        || matches!(behind, [id] if looks_like_id(argument, id));
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
        if c.is_ascii_alphanumeric() || HARMLESS.contains(c) {
            c
        } else {
            '?'
        }
    };
    typed.chars().take(WORD_CHARS_MAX).map(harmless).collect()
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

    /// What a line that starts nothing was meant to be.
    fn refused(line: &str) -> Option<String> {
        match miss(line) {
            Some(Miss::Refused(GrammarRefusal::NearMiss(near))) => Some(near.meant),
            _ => None,
        }
    }

    /// What is told of what was typed.
    fn word_of(line: &str) -> Option<String> {
        match miss(line)? {
            Miss::Refused(GrammarRefusal::NearMiss(near)) | Miss::Noted(near) => Some(near.word),
            Miss::Refused(GrammarRefusal::NoId { word, .. }) => Some(word),
            Miss::Refused(_) => None,
        }
    }

    #[test]
    fn a_word_that_looks_like_an_id_and_is_none_is_no_request() {
        for (line, word) in [
            ("stop r-qr0624swpnv", "r-qr0624swpnv"),
            ("cancel r-zzzz!", "r-zzzz"),
            ("undo r-zzzz", "r-zzzz"),
            ("undo run r-zzzz please", "r-zzzz"),
            ("why r-1", "r-1"),
            ("approve r-s8swkkdvkcv", "r-s8swkkdvkcv"),
            ("approve abc", "abc"),
            ("approve r-`a`", "r-?a?"),
        ] {
            let said = miss(line);
            assert!(
                matches!(said, Some(Miss::Refused(GrammarRefusal::NoId { .. }))),
                "{line}: {said:?}"
            );
            assert_eq!(word_of(line).as_deref(), Some(word), "{line}");
        }
        let long = format!("approve {}", "a".repeat(41));
        assert_eq!(word_of(&long).map(|word| word.len()), Some(WORD_CHARS_MAX));
        for request in [
            "fix r-zzzz",
            "stop r-zzzz from failing",
            "undo abc",
            "approve requests of bots",
            "why not",
        ] {
            assert_eq!(miss(request), None, "{request}");
        }
    }

    #[test]
    fn punctuation_that_means_nothing_is_told_as_it_was_typed() {
        assert_eq!(word_of("stop!!! please").as_deref(), Some("stop!!! please"));
        assert_eq!(
            word_of("stop `it` @now").as_deref(),
            None,
            "no word of these says nothing"
        );
        assert_eq!(word_of("st`op").as_deref(), Some("st?op"));
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
            ("undo please", "undo"),
            ("undo it", "undo"),
            ("Undo the last commit.", "undo"),
            ("retry, please", "retry"),
            ("please retry again", "retry"),
            ("approve the plan", "approve"),
            ("pause for now", "pause"),
            ("resume please", "resume"),
            ("abort mission", "abort"),
            ("stop working on this", "stop"),
            ("stop r-0123456789ab please", "stop r-0123456789ab"),
            ("please stop all", "stop all"),
            ("approve abc1234 now", "approve abc1234"),
        ] {
            assert_eq!(refused(line).as_deref(), Some(meant), "{line}");
        }
        for request in [
            "stop using unwrap",
            "fix it please",
            "please stop the leak",
            "cancel the timer",
            "undo the rename in parser.rs",
            "retry the upload",
            "approve the certificate",
            "pause the timer",
            "plan it please",
            "the last commit",
        ] {
            assert_eq!(miss(request), None, "{request}");
        }
    }

    #[test]
    fn only_a_lone_verb_or_one_with_what_it_expects_is_missed() {
        let control = |line: &str| refused(line).is_some();
        assert!(
            control("sotp") && control(" Sotp! ") && control("cancle all") && control("sotp r-0123456789ab")
        );
        assert!(!control("sotp using unwrap") && !control("why all") && !control("step by step"));
        let noted = |word: &str, meant: &str| {
            Some(Miss::Noted(NearMiss {
                word: word.to_owned(),
                meant: meant.to_owned(),
            }))
        };
        assert_eq!(miss("fixx"), noted("fixx", "fix"));
        assert_eq!(miss("update brach"), noted("update brach", "update branch"));
        assert_eq!(miss("fixx the check"), None);
        assert_eq!(word_of("st\u{200b}op").as_deref(), Some("st?op"));
        assert_eq!(miss(&"a ".repeat(1000)), None);
    }
}
