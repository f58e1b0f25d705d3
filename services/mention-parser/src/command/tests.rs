use super::*;

fn text_of(behind_mention: &str) -> String {
    parse(behind_mention).command.text
}

fn check(behind_mention: &str, text: &str) {
    assert_eq!(
        text_of(behind_mention),
        text,
        "behind the mention: {behind_mention:?}"
    );
}

#[test]
fn separators_are_dropped_and_markdown_is_kept() {
    check(" mend the null check", "mend the null check");
    check(", please add a test.", "please add a test.");
    check(": go", "go");
    check(" - go", "go");
    check("\u{a0}go", "go");
    check("** go", "go");
    check("! Go **this** way", "Go **this** way");
    check(" **go** on", "**go** on");
    check("", "");
    check(" :\r\n", "");
    check(" a\rb\r\nc", "a\nb\nc");
}

#[test]
fn a_list_or_code_block_below_the_mention_stays_one() {
    check("\n- a\n- b\n", "- a\n- b");
    check("\n  - a\n  - b\n", "  - a\n  - b");
    check(":\r\n\r\n    code\r\nmore", "    code\nmore");
    check("\n    stop\n", "    stop");
    check("\n\tstop\n", "\tstop");
    check(" fix\n\n    code\nmore", "    code\nmore");
}

#[test]
fn a_lone_double_dash_says_that_text_follows() {
    check(" -- --fix the flag parser", "--fix the flag parser");
    check(" -- stop", "stop");
    check(" -- sotp", "sotp");
    check(" fix -- --model is ignored", "--model is ignored");
    check(" -x", "-x");
    check(" --- a", "--- a");
}
