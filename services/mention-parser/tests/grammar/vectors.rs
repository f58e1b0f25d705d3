//! The documented vectors (commands-and-replies.md, Vectors).

use config::Position;
use mention_parser::detect::detect;

use crate::{check, command};

#[test]
fn every_documented_vector_holds() {
    check("@openhands fix the null check", r#"fix "the null check""#);
    check(
        "Thanks! @OpenHands, please add a test.",
        r#"request "please add a test.""#,
    );
    check("@openhands", "request");
    check("> @openhands fix this", "nothing");
    check("`@openhands stop`", "nothing");
    check("```\n@openhands stop\n```", "nothing");
    check("mail me@openhands.dev", "nothing");
    check("@openhands-bot hi", "nothing");
    check("@openhandsx", "nothing");
    check(
        "@openhands fix ci --budget $3 jenkins-unit",
        r#"fix-ci (jenkins-unit) {"budget":{"usd_cents":300}}"#,
    );
    check("@openhands stop.", "stop");
    check(
        "@openhands sotp",
        r#"refused {"kind":"near-miss","word":"sotp","meant":"stop"}"#,
    );
    check(
        "@openhands stop using unwrap in parser.rs",
        r#"request "stop using unwrap in parser.rs""#,
    );
    check(
        "@openhands --model evil --unknown x",
        r#"refused {"kind":"unknown-option","name":"unknown"}"#,
    );
    check(
        "@openhands -- --fix the flag parser",
        r#"request "--fix the flag parser""#,
    );
    check("ask @openhands to fix it later", r#"request "to fix it later""#);
    check("@openhands stop\n@openhands fix b", "stop not fix");
    check("\u{ff20}openhands fix", "nothing");
    check("@openhands\u{a0}fix it", r#"fix "it""#);
    check("@openhands\r\nfix it\r\nand that", r#"fix "it\nand that""#);
    check("@open\u{200b}hands stop", "nothing");
    check("@open\u{202e}hands stop", "nothing");
    let names = ["openhands".to_owned()];
    assert_eq!(
        detect("ask @openhands to fix it", &names, Position::LineStart),
        None
    );
}

#[test]
fn an_unknown_option_is_refused_with_the_list_and_a_near_miss_with_a_hint() {
    let sentence = |comment: &str| command(comment).refused.unwrap().sentence();
    let unknown = sentence("@openhands --model evil --unknown x");
    for part in [
        "`--unknown`",
        "`--model`",
        "`--budget`",
        "`--quiet`",
        "nothing was started",
    ] {
        assert!(unknown.contains(part), "{part}: {unknown}");
    }
    assert!(sentence("@openhands sotp").contains("did you mean `stop`?"));
}

#[test]
fn of_several_mentions_one_counts_and_the_verbs_of_the_others_are_named() {
    check(
        "@openhands fix a\n@openhands stop\n@openhands stop",
        r#"fix "a\n@openhands stop\n@openhands stop" not stop"#,
    );
    check(
        "as @openhands review said:\n- @openhands fix b",
        r#"fix "b" not review"#,
    );
    check(
        "@openhands stop and @openhands fix it",
        r#"request "stop and @openhands fix it" not fix"#,
    );
    check("@openhands go\ncc @openhands", r#"request "go\ncc @openhands""#);
    assert!(command("@openhands fix a\n@openhands stop").remarks()[0].contains("`stop`"));
}
