//! The forms that docs/commands.md promises, one line each.

use config::Position;
use mention_parser::detect::detect;

fn names() -> Vec<String> {
    ["openhands", "open_hands", "Open Hands"]
        .map(str::to_owned)
        .to_vec()
}

/// What the comment asks for; `None` where there is no mention.
fn asks(comment: &str) -> Option<String> {
    detect(comment, &names(), Position::Anywhere).map(|found| found.command.asked())
}

#[track_caller]
fn check(comment: &str, expected: Option<&str>) {
    assert_eq!(asks(comment).as_deref(), expected, "comment: {comment:?}");
}

#[test]
fn the_usual_forms_are_mentions() {
    check("@openhands fix the null check", Some("fix the null check"));
    check(
        "Thanks! @OpenHands, please add a test.",
        Some("please add a test."),
    );
    check("@openhands", Some(""));
    check("ask @openhands to fix it later", Some("to fix it later"));
    check("@\"openhands\" fix", Some("fix"));
    check("@\"Open Hands\" fix", Some("fix"));
    check("@open_hands fix", Some("fix"));
    check("**@openhands** fix", Some("fix"));
    check("_@openhands_ fix", Some("fix"));
    check("(@openhands fix)", Some("fix"));
    check("[@openhands] fix", Some("fix"));
    check("- @openhands fix", Some("fix"));
    check("# @openhands fix", Some("fix"));
    check("@openhands.", Some(""));
    check("@openhands! Fix it?", Some("fix it?"));
    check(
        "@openhands -- --fix the flag parser",
        Some("--fix the flag parser"),
    );
    check(
        "@openhands stop using unwrap in parser.rs",
        Some("stop using unwrap in parser.rs"),
    );
}

#[test]
fn names_of_others_are_not_mentions() {
    check("mail me@openhands.dev", None);
    check("<me@openhands.dev>", None);
    check("@openhands-bot hi", None);
    check("@openhandsx", None);
    check("@openhands_bot hi", None);
    check("@openhands.dev hi", None);
    check("@@openhands hi", None);
    check("@\"openhands x\" hi", None);
    check("@\"openhands hi", None);
    check("@Open Hands hi", None);
    check("@ openhands hi", None);
    check("openhands fix", None);
    check("https://example.com/@openhands fix", None);
}

#[test]
fn code_quotes_html_and_links_hold_no_mentions() {
    check("> @openhands fix this", None);
    check("> quoted\n@openhands continues the quote", None);
    check("`@openhands stop`", None);
    check("``a ` @openhands stop``", None);
    check("```\n@openhands stop\n```", None);
    check("~~~ @openhands\n@openhands stop", None);
    check("    @openhands stop", None);
    check("\t@openhands stop", None);
    check("- a\n\n      @openhands stop", None);
    check("<!-- @openhands fix -->", None);
    check("text <!-- @openhands fix --> text", None);
    check("<div>\n@openhands fix\n</div>", None);
    check("<details><summary>\n@openhands fix", None);
    check("a <b title=\" @openhands \">b</b>", None);
    check("[see @openhands](https://example.com)", None);
    check("[see](https://example.com/ \"ask @openhands fix\")", None);
    check("[see](</ @openhands >)", None);
    check("![ask @openhands fix](a.png)", None);
    check("[a]\n\n[a]: /b \" @openhands fix \"", None);
    check("[@openhands]\n\n[@openhands]: /b", None);
    check("![@openhands][]\n\n[@openhands]: /b", None);
    check("[x][@openhands]\n\n[@openhands]: /b", None);
    check("[unused]: /b '\n@openhands fix\n'", None);
    check("<https://example.com/?q=(@openhands>", None);
    check("\\@openhands fix", None);
    check("&#64;openhands fix", None);
}

#[test]
fn what_only_looks_like_code_or_a_quote_is_prose() {
    check("`unclosed @openhands fix", Some("fix"));
    check("text > @openhands fix", Some("fix"));
    check("> quoted\n\n@openhands fix", Some("fix"));
    check("`code` @openhands fix `x`", Some("fix `x`"));
    check("text\n    @openhands fix", Some("fix"));
    check("[no link @openhands fix]", Some("fix"));
    check("a <b>bold</b> @openhands fix", Some("fix"));
}

#[test]
fn line_ends_and_blanks_of_all_sorts_may_follow_but_look_alikes_are_no_mention() {
    check("hello\r\n@openhands\r\nmend\r\nthis\r\n", Some("mend\nthis"));
    check("@openhands\u{a0}fix", Some("fix"));
    check("\u{a0}@openhands fix", Some("fix"));
    check("\u{ff20}openhands fix", None);
    check("@open\u{200b}hands fix", None);
    check("@openhands\u{200b} fix", None);
    check("@\u{202e}openhands fix", None);
    check("@openhands\u{2060} fix", None);
    check("\u{200b}@openhands fix", None);
    check("@openhand\u{17f} fix", None); // long s
    check("@оpenhands fix", None); // the first letter is Cyrillic
}

#[test]
fn of_several_mentions_the_first_that_leads_a_line_wins() {
    check(
        "@openhands fix a\n@openhands fix b",
        Some("fix a\n@openhands fix b"),
    );
    check("as @openhands said:\n- @openhands fix b", Some("fix b"));
    check("1. @openhands fix", Some("fix"));
    let found = detect("cc @openhands and @openhands", &names(), Position::Anywhere).unwrap();
    assert_eq!((found.at, found.others), (3..13, 1));
    let found = detect(
        "version 2. @openhands x\n2) @openhands y",
        &names(),
        Position::Anywhere,
    )
    .unwrap();
    assert_eq!(found.command.text, "y");
}

#[test]
fn with_position_line_start_a_mention_within_a_line_is_ignored() {
    let asks = |comment: &str| detect(comment, &names(), Position::LineStart).map(|f| f.command.asked());
    assert_eq!(asks("ask @openhands to fix it later"), None);
    assert_eq!(
        asks("ask @openhands\n  **@openhands** fix").as_deref(),
        Some("fix")
    );
    assert_eq!(asks("me@openhands @openhands fix"), None);
}

#[test]
fn nobody_is_mentioned_when_no_name_is_configured() {
    assert_eq!(detect("@openhands fix", &[], Position::Anywhere), None);
}
