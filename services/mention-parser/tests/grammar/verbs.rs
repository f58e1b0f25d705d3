//! Every verb, with and without what may stand behind it, and what only looks like one.

use pipeline::mention::{Class, Verb};
use pipeline::verbs::{Argument, TABLE};

use crate::{check, command, told};

const RUN: &str = "r-0123456789ab";

/// Arguments a verb takes and lines it does not.
fn arguments(argument: Argument) -> (Vec<&'static str>, Vec<&'static str>) {
    match argument {
        Argument::Text => (vec![], vec![]),
        Argument::Nothing => (vec![], vec!["the parser", RUN, "all"]),
        Argument::Word => (vec!["jenkins-unit", "PROJ/plan-1"], vec!["two words"]),
        Argument::OneOf(words) => (words.to_vec(), vec!["everything", "all this"]),
        Argument::Run => (vec![RUN], vec!["all", "the rename of it"]),
        Argument::RunOrAll => (vec![RUN, "all"], vec!["all the noise", "using unwrap", "310"]),
        Argument::Request => (
            vec![RUN, "310", "7a0d7c7e-9b5f-4f0e-8d0e-1f6b1f0f0a01"],
            vec!["not", "all", "does this fail"],
        ),
        Argument::Plan => (
            vec![RUN, "abc1234", "0123456789012345678901234567890123456789"],
            vec!["the certificate", "abc of it"],
        ),
    }
}

#[test]
fn every_form_of_every_verb_is_known_alone_in_any_case_and_with_punctuation() {
    for row in TABLE {
        for form in row.forms {
            let spaced = form.replace(' ', " \u{a0}\t");
            for comment in [
                format!("@openhands {form}"),
                format!("@openhands {}", form.to_uppercase()),
                format!("@openhands, {form}."),
                format!("@openhands: {form}!\r\n"),
                format!("@openhands {spaced} ?"),
                format!("hello\n\n- **@openhands {form}**"),
                format!("(@openhands {form})"),
                format!("@openhands **{form}**"),
                format!("@openhands `{form}`"),
                format!("@openhands\n{form}"),
                format!("@openhands --quiet {form}"),
                format!("@openhands {form} --quiet"),
            ] {
                let command = command(&comment);
                assert_eq!((command.verb, command.refused), (row.verb, None), "{comment:?}");
                assert_eq!(command.argument, None, "{comment:?}");
                assert!(
                    command.text.is_empty() || command.text == "?",
                    "{comment:?}: {}",
                    command.text
                );
            }
        }
    }
}

#[test]
fn every_verb_takes_what_it_expects_and_with_anything_else_is_prose() {
    for row in TABLE {
        let (expected, unexpected) = arguments(row.argument);
        for form in row.forms {
            for argument in &expected {
                for comment in [
                    format!("@openhands {form} {argument}"),
                    format!("@openhands {form} {argument}. --quiet"),
                    format!("@openhands {form} --quiet {argument}"),
                ] {
                    let command = command(&comment);
                    assert_eq!(
                        (command.verb, command.argument.as_deref(), command.text.as_str()),
                        (row.verb, Some(*argument), ""),
                        "{comment:?}"
                    );
                }
            }
            for line in &unexpected {
                let comment = format!("@openhands {form} {line}");
                let read = command(&comment);
                assert_ne!(read.verb, row.verb, "{comment:?}");
                assert_eq!(
                    read.asked(),
                    format!("{form} {line}"),
                    "nothing is lost of {comment:?}"
                );
                assert!(read.refused.is_none() && read.nearly.is_none(), "{comment:?}");
            }
            if row.argument == Argument::Text {
                let comment = format!("@openhands {form} the parser, please.\nAnd more.");
                let command = command(&comment);
                assert_eq!(
                    (command.verb, command.text.as_str()),
                    (row.verb, "the parser, please.\nAnd more."),
                    "{comment:?}"
                );
            }
        }
    }
}

#[test]
fn control_verbs_with_anything_unexpected_are_prose_and_never_act() {
    for row in TABLE
        .iter()
        .filter(|row| matches!(row.class, Class::Control | Class::Query))
    {
        for form in row.forms {
            for behind in ["using unwrap", "-5", "r-0123456789ab and more", "all of it"] {
                let comment = format!("@openhands {form} {behind}");
                assert_eq!(
                    told(&comment),
                    format!("request {:?}", format!("{form} {behind}"))
                );
            }
        }
    }
}

#[test]
fn control_verbs_among_words_that_say_nothing_start_nothing_and_are_told() {
    for (comment, word, meant) in [
        ("@openhands please stop", "please stop", "stop"),
        ("@openhands stop it now!", "stop it now", "stop"),
        ("@openhands cancel that", "cancel that", "cancel"),
        ("@openhands undo the last commit", "undo the last commit", "undo"),
        ("@openhands retry, please!", "retry, please", "retry"),
        ("@openhands approve the plan", "approve the plan", "approve"),
    ] {
        check(
            comment,
            &format!(r#"refused {{"kind":"near-miss","word":"{word}","meant":"{meant}"}}"#),
        );
    }
}

#[test]
fn what_looks_like_an_id_and_is_none_starts_nothing_and_is_told() {
    for (typed, word) in [
        ("stop r-qr0624swpnv", "r-qr0624swpnv"),
        ("undo r-zzzz", "r-zzzz"),
        ("approve r-s8swkkdvkcv", "r-s8swkkdvkcv"),
        ("approve abc", "abc"),
        ("why r-zzzz", "r-zzzz"),
    ] {
        let refused = command(&format!("@openhands {typed}")).refused;
        let said = refused.map(|refused| refused.sentence()).unwrap_or_default();
        assert!(
            said.starts_with(&format!("`{word}` is ")) && said.contains("nothing was started"),
            "{typed}: {said:?}"
        );
    }
    check("@openhands undo abc", r#"request "undo abc""#);
    check("@openhands -- stop r-zzzz", r#"request "stop r-zzzz""#);
}

#[test]
fn the_longest_verb_that_takes_what_follows_wins() {
    check("@openhands fix ci", "fix-ci");
    check("@openhands fix build", "fix-ci");
    check("@openhands fix ci-pipeline", r#"fix "ci-pipeline""#);
    check(
        "@openhands fix build warnings in parser",
        r#"fix "build warnings in parser""#,
    );
    check("@openhands fix comments", "address");
    check(
        "@openhands fix comments in the README",
        r#"fix "comments in the README""#,
    );
    check("@openhands address review", "address");
    check("@openhands address mine", "address (mine)");
    check("@openhands address ALL!", "address (all)");
    check(
        "@openhands update branch protection docs",
        r#"request "update branch protection docs""#,
    );
    check(
        "@openhands fix ci --quiet unit tests",
        r#"fix "ci unit tests" {"quiet":true}"#,
    );
}

#[test]
fn a_verb_counts_only_as_the_first_words() {
    check(
        "@openhands please stop the leak",
        r#"request "please stop the leak""#,
    );
    check("@openhands can you fix it", r#"request "can you fix it""#);
    check("@openhands fixed it?", r#"request "fixed it?""#);
    check("@openhands fix-it", r#"request "fix-it""#);
    check("@openhands stop-gap", r#"request "stop-gap""#);
    check(
        "@openhands **stop using** unwrap",
        r#"request "**stop using** unwrap""#,
    );
    check("@openhands go\nstop", r#"request "go\nstop""#);
    check("@openhands\n    stop", r#"request "    stop""#);
    check("@openhands -- stop", r#"request "stop""#);
    check("@openhands fix: the check", r#"fix "the check""#);
    check("@openhands **fix** it", r#"fix "it""#);
}

#[test]
fn lines_below_a_control_verb_are_remarks_and_below_others_are_text() {
    check("@openhands stop\n\nThis is the wrong branch.", "stop");
    check("@openhands stop all\nsorry", "stop (all)");
    check("@openhands why 310\n\n?", "why (310)");
    check(
        "@openhands address all\n\nBut not in parser.rs.",
        r#"address (all) "But not in parser.rs.""#,
    );
    check("@openhands fix\n\n- a\n- b", r#"fix "- a\n- b""#);
}

#[test]
fn near_misses_of_control_verbs_start_nothing_and_of_others_are_free_text_with_a_note() {
    for (typed, meant) in [
        ("sotp", "stop"),
        ("stp", "stop"),
        ("STOPP!", "stop"),
        ("cancle", "cancel"),
        ("abrt", "abort"),
        ("statsu", "status"),
        ("quueue", "queue"),
        ("wyh", "why"),
        ("puase", "pause"),
        ("resmue", "resume"),
        ("confgi", "config"),
        ("hlep", "help"),
        ("pnig", "ping"),
        ("sotp all", "stop"),
        ("cancle r-0123456789ab", "cancel"),
        ("sotp --quiet", "stop"),
        ("sotp\n\nnow", "stop"),
        ("\nsotp", "stop"),
        ("st\u{200b}op", "stop"),
    ] {
        let command = command(&format!("@openhands {typed}"));
        let sentence = command.refused.map(|refused| refused.sentence());
        assert!(
            sentence
                .as_ref()
                .is_some_and(|said| said.contains(&format!("did you mean `{meant}`?"))),
            "{typed}: {sentence:?}"
        );
    }
    check("@openhands reviwe", r#"request "reviwe" nearly review"#);
    check("@openhands undoo", r#"request "undoo" nearly undo"#);
    check("@openhands fix cii", r#"fix "cii""#);
    check("@openhands sotp using unwrap", r#"request "sotp using unwrap""#);
    check("@openhands shop for bargains", r#"request "shop for bargains""#);
}

#[test]
fn a_mention_alone_is_a_request_without_text() {
    for comment in [
        "@openhands",
        "@openhands.",
        "look, @openhands!\n\n",
        "@openhands -",
        "@openhands --",
    ] {
        let command = command(comment);
        assert_eq!(
            (command.verb, command.text.as_str()),
            (Verb::Request, ""),
            "{comment:?}"
        );
    }
}
