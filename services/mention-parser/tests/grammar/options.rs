//! Options: where they may stand, what they take, and every way to be refused.

use pipeline::options::OPTIONS;

use crate::{check, command, told};

#[test]
fn options_stand_behind_the_mention_the_verb_or_the_text() {
    for comment in [
        "@openhands --model fast fix the check",
        "@openhands fix --model fast the check",
        "@openhands fix the check --model fast",
        "@openhands fix the check --model=fast",
        "@openhands, --MODEL \"fast\", fix the check",
        "@openhands fix the check --model fast.",
        "@openhands --model fast fix the check --model fast",
        "@openhands --model fast\nfix the check",
    ] {
        check(comment, r#"fix "the check" {"model":"fast"}"#);
    }
    check(
        "@openhands --effort high fix --time 20m it --no-test --quiet\nand --model x",
        r#"fix "it\nand --model x" {"effort":"high","time_seconds":1200,"no_test":true,"quiet":true}"#,
    );
}

#[test]
fn what_stands_elsewhere_is_text() {
    check(
        "@openhands fix the --model flag in parser.rs",
        r#"fix "the --model flag in parser.rs""#,
    );
    check("@openhands\nfix --quiet it", r#"fix "--quiet it""#);
    check("@openhands fix it\n--quiet", r#"fix "it\n--quiet""#);
    check("@openhands remove `--quiet`", r#"request "remove `--quiet`""#);
    check(
        "@openhands go -- it says --quiet",
        r#"request "go -- it says --quiet""#,
    );
    check("@openhands fix -- --quiet", r#"fix "--quiet""#);
    check(
        "@openhands fix it --quiet -- in parser.rs",
        r#"fix "it in parser.rs" {"quiet":true}"#,
    );
    check("@openhands -5 --> 3", r#"request "-5 --> 3""#);
}

#[test]
fn a_known_option_that_stands_in_the_text_is_told() {
    let remarks = |comment: &str| command(comment).remarks().concat();
    for comment in [
        "@openhands fix it\n--dry-run",
        "@openhands please fix --dry-run the thing",
        "@openhands\nfix --DRY-RUN, it",
        "@openhands go on\n\n- --dry-run",
    ] {
        assert_eq!(
            remarks(comment),
            "`--dry-run` stands inside the text and was taken as text; options stand right behind the verb or at the end of the mention's line.",
            "{comment:?}"
        );
    }
    assert!(
        remarks("@openhands fix it\n--path src\n--dry-run\n--path b")
            .starts_with("`--path`, `--dry-run` stand ")
    );
    for comment in [
        "@openhands remove `--quiet`",
        "@openhands go\n\n    --quiet",
        "@openhands go\n```\n--quiet\n```",
        "@openhands go\n> --quiet",
        "@openhands -- fix --quiet it",
        "@openhands go -- it says --quiet",
        "@openhands fix -- --quiet",
        "@openhands fix it --time 5m -- with --quiet inside",
        "@openhands fix it\n\n-- \n--quiet",
        "@openhands fix the --unknown flag",
        "@openhands fix a--quiet b",
        "@openhands fix it --quiet",
        "@openhands stop\n--quiet",
    ] {
        assert_eq!(remarks(comment), "", "{comment:?}");
    }
}

#[test]
fn every_option_takes_its_value() {
    let all = "--model fast --effort LOW --budget 50k-tokens --time 1h30m --path src/** --path \"a b/*.rs\" --path src/** \
               --new-pr --branch fix/x --suggest --dry-run --no-test --commits per-thread --sign-off --lang pt-BR --quiet \
               --ref ABC1234";
    let command = command(&format!("@openhands fix it {all}"));
    assert_eq!(command.refused, None);
    assert_eq!(command.text, "it");
    let given = serde_json::to_string(&command.options).unwrap();
    assert_eq!(
        given,
        r#"{"model":"fast","effort":"low","budget":{"tokens":50000},"time_seconds":5400,"paths":["src/**","a b/*.rs"],"new_pr":true,"branch":"fix/x","suggest":true,"dry_run":true,"no_test":true,"commits":"per-thread","sign_off":true,"lang":"pt-BR","quiet":true,"ref":"abc1234"}"#
    );
    check("@openhands describe --apply", r#"describe {"apply":true}"#);
}

/// Comment and the refusal's kind and option.
fn refused(comment: &str) -> (String, String) {
    let refusal = command(comment)
        .refused
        .unwrap_or_else(|| panic!("{comment:?}: {}", told(comment)));
    let refusal = serde_json::to_value(refusal).unwrap();
    let option = refusal
        .get("option")
        .or(refusal.get("name"))
        .and_then(|name| name.as_str());
    (
        refusal["kind"].as_str().unwrap().to_owned(),
        option.unwrap_or_default().to_owned(),
    )
}

#[test]
fn every_option_with_a_value_is_refused_without_one_and_every_switch_with_one() {
    for row in OPTIONS {
        let verb = if row.key == "apply" { "describe" } else { "fix" };
        let wrong = if row.value.is_empty() {
            vec![format!("--{}=x", row.key)]
        } else {
            vec![
                format!("--{}", row.key),
                format!("--{}=", row.key),
                format!("--{} \"\"", row.key),
                format!("--{} --quiet", row.key),
                format!("--{} --", row.key),
            ]
        };
        for options in wrong {
            let comment = format!("@openhands {verb} {options}");
            assert_eq!(
                refused(&comment),
                ("bad-value".into(), row.key.into()),
                "{comment:?}"
            );
        }
    }
}

#[test]
fn bad_values_are_refused() {
    for (option, value) in [
        ("effort", "huge"),
        ("budget", "-5"),
        ("budget", "$-2"),
        ("budget", "$0"),
        ("budget", "lots"),
        ("time", "-20m"),
        ("time", "20"),
        ("path", "../secrets"),
        ("path", "/etc/passwd"),
        ("path", "\"a/../../b\""),
        ("branch", "--force"),
        ("branch", "-f"),
        ("branch", "a..b"),
        ("branch", "\"a b\""),
        ("commits", "two"),
        ("lang", "de_DE"),
        ("ref", "main"),
        ("model", "\"<img>\""),
        ("model", "\"unclosed"),
    ] {
        for comment in [
            format!("@openhands --{option} {value}"),
            format!("@openhands fix --{option}={value} it"),
            format!("@openhands fix it --{option} {value}"),
        ] {
            let (kind, name) = refused(&comment);
            // Without `=`, a value that looks like an option is one.
            let is_other = kind == "unknown-option" && name == "force";
            assert!(
                is_other || (kind == "bad-value" && name == option),
                "{comment:?}: {kind} {name}"
            );
        }
    }
    let paths = (0..21)
        .map(|n| format!(" --path a{n}"))
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(
        refused(&format!("@openhands fix{paths}")),
        ("bad-value".into(), "path".into())
    );
}

#[test]
fn the_same_option_twice_is_fine_only_with_the_same_value() {
    check(
        "@openhands fix --time 60m --time 1h it",
        r#"fix "it" {"time_seconds":3600}"#,
    );
    check("@openhands go --quiet --quiet", r#"request "go" {"quiet":true}"#);
    for comment in [
        "@openhands fix --time 5m --time 6m it",
        "@openhands --model a fix it --model b",
    ] {
        assert_eq!(refused(comment).0, "twice", "{comment:?}");
    }
}

#[test]
fn unknown_options_are_refused_wherever_options_may_stand() {
    for comment in [
        "@openhands --unknown",
        "@openhands fix --unknown it",
        "@openhands fix it --unknown",
        "@openhands fix it --unknown x",
        "@openhands fix it --unknown=x --quiet",
        "@openhands stop --unknown",
        "@openhands help --unknown",
    ] {
        assert_eq!(
            refused(comment),
            ("unknown-option".into(), "unknown".into()),
            "{comment:?}"
        );
    }
    let (_, name) = refused("@openhands --a`b<img>@bob](x)é");
    assert_eq!(name, "a?b?img??bob??x??", "nothing in Markdown comes of it");
    assert_eq!(
        refused(&format!("@openhands --{}", "x".repeat(5_000))).1.len(),
        40
    );
}

#[test]
fn options_that_do_not_go_with_the_verb_are_refused() {
    for comment in [
        "@openhands fix it --apply",
        "@openhands --apply",
        "@openhands stop --dry-run",
        "@openhands status --model fast",
        "@openhands ask --new-pr why",
        "@openhands review --branch x",
        "@openhands update branch --dry-run",
        "@openhands rebase --new-pr",
        "@openhands resolve conflicts --path src/**",
        "@openhands undo --suggest",
        "@openhands ask --suggest why",
        "@openhands plan --suggest a cache",
        "@openhands describe --suggest",
        "@openhands review --suggest",
        "@openhands explain --path src/** it",
    ] {
        assert_eq!(refused(comment).0, "not-here", "{comment:?}");
    }
    check("@openhands undo --dry-run", r#"undo {"dry_run":true}"#);
    check("@openhands stop --quiet", r#"stop {"quiet":true}"#);
    check(
        "@openhands review --path src/** --lang de",
        r#"review {"paths":["src/**"],"lang":"de"}"#,
    );
}
