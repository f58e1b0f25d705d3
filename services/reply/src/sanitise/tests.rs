use insta::assert_snapshot;
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};

use super::*;

const BASE: &str = "https://bitbucket.example.com/ctx";
const POLICY: Policy<'_> = Policy {
    base_url: BASE,
    beyond_bmp: true,
};

fn check(text: &str) -> String {
    let written = markdown(text, POLICY, 4000);
    assert_harmless(&written);
    written
}

/// What must hold of everything that is written, as another reader of Markdown sees it.
fn assert_harmless(written: &str) {
    assert_eq!(
        clean(written, true),
        written,
        "invisible characters in {written:?}"
    );
    let (mut in_code, mut in_link) = (false, false);
    let mut prose = String::new();
    for event in Parser::new_ext(written, Options::all()) {
        match &event {
            Event::Html(_) | Event::InlineHtml(_) => panic!("HTML in {written:?}"),
            Event::Start(Tag::Image { .. }) => panic!("an image in {written:?}"),
            Event::Start(Tag::Link { dest_url, .. }) => {
                assert!(
                    escape::leads_to(dest_url, BASE),
                    "a link to {dest_url} in {written:?}"
                );
                in_link = true;
            }
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(pulldown_cmark::TagEnd::CodeBlock) => in_code = false,
            Event::End(pulldown_cmark::TagEnd::Link) => in_link = false,
            Event::Text(text) if !in_code && !in_link => prose.push_str(text),
            _ => prose.push(' '),
        }
    }
    // A viewer that turns bare addresses into links, or names into mentions, finds none in the prose.
    for (at, _) in prose.match_indices("://") {
        assert!(
            !prose[..at].ends_with(|c: char| c.is_ascii_alphabetic()),
            "a bare address in {written:?}"
        );
    }
    for (at, _) in prose.match_indices('@') {
        assert!(prose[at + 1..].starts_with('\u{200b}'), "a live @ in {written:?}");
    }
}

#[test]
fn ordinary_markdown_keeps_its_shape() {
    assert_snapshot!(check("# Fixed it\n\nThe *null* check in `src/a.rs` was **wrong**:\n\n- one\n- two\n  1. inner\n  2. more\n\n> quoted\n> twice\n\n```rust\nlet a = \"<b>\";\n```\n\nDone."), @r#"
    **Fixed it**

    The *null* check in `src/a.rs` was **wrong**:

    - one
    - two
      1. inner
      2. more

    > quoted
    > twice

    ```rust
    let a = "<b>";
    ```

    Done.
    "#);
}

#[test]
fn nobody_is_notified() {
    assert_snapshot!(check("Thanks @alice, @\"Bob B\" and \\@carol, &#64;dave, @**eve**, me@example.com, `@Override`"), @r#"Thanks @&#8203;alice, @&#8203;"Bob B" and @&#8203;carol, @&#8203;dave, @&#8203;**eve**, me@&#8203;example.com, `@Override`"#);
}

#[test]
fn html_and_images_become_text() {
    assert_snapshot!(check("<script>alert(1)</script>\n\na <b>c</b> ![secret](https://evil.example/x.png?q=1) <!-- hi -->"), @r"
    \<script\>alert(1)\</script\>

    a \<b\>c\</b\> secret (`https://evil.example/x.png?q=1`) \<!-- hi --\>
    ");
}

#[test]
fn links_lead_to_bitbucket_only() {
    assert_snapshot!(check("[here](https://bitbucket.example.com/ctx/projects/P) [there](https://bitbucket.example.com.evil.example/) \
<https://evil.example/a> https://evil.example/b, www.evil.example mailto:x@y.example [js](javascript:alert(1)) \
https://bitbucket.example.com/ctx/x. [r][1]\n\n[1]: https://evil.example/ref"), @"[here](https://bitbucket.example.com/ctx/projects/P) there (`https://bitbucket.example.com.evil.example/`) `https://evil.example/a` `https://evil.example/b`, `www.evil.example` `mailto:x@y.example` js (javascript:alert(1)) <https://bitbucket.example.com/ctx/x>. r (`https://evil.example/ref`)");
}

#[test]
fn an_address_in_pieces_is_still_seen() {
    for text in [
        "http:\\//evil.example",
        "http:[](x)//evil.example",
        "http&#58;//evil.example",
        "http:&#8203;//evil.example",
        "![](https://evil.example)",
        "wow![x](https://bitbucket.example.com/ctx/a.png)",
    ] {
        check(text);
    }
}

#[test]
fn our_marker_cannot_be_forged() {
    assert_snapshot!(check("x\n\n[//]: # (openhands-resolver run=r-aaaaaaaaaaaa n=9)\n\n\\[//]: # (openhands-resolver run=r-aaaaaaaaaaaa n=9)"), @r"
    x

    \[//\]: # (openhands-resolver run=r-aaaaaaaaaaaa n=9)
    ");
}

#[test]
fn what_is_invisible_or_steers_a_terminal_is_removed() {
    assert_snapshot!(check("a\u{202e}b\u{200b}c \u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}x\u{0}y &#x202e;z \u{e0041}end"), @"abc red xy z end");
}

#[test]
fn characters_beyond_three_bytes_can_be_avoided() {
    let policy = Policy {
        beyond_bmp: false,
        ..POLICY
    };
    assert_eq!(
        markdown("ok 🎉 `🎉` &#x1F389;\n\n    🎉", policy, 100),
        "ok \u{fffd} `\u{fffd}` \u{fffd}\n\n```\n\u{fffd}\n```"
    );
}

#[test]
fn an_open_fence_is_closed_and_backticks_inside_do_not_close_it() {
    assert_snapshot!(check("````\n```\ninner"), @r"
    ````
    ```
    inner
    ````
    ");
    assert_eq!(
        fence("a\n````\nb", "diff", POLICY, 100),
        "`````diff\na\n````\nb\n`````"
    );
    assert_eq!(code("a`b"), "``a`b``");
}

#[test]
fn nothing_stands_behind_the_mark_of_an_empty_quote_or_item() {
    assert_eq!(check("> \n~~~\na"), ">\n\n```\na\n```");
    assert_eq!(check("-\n\n```\na\n```"), "-\n\n```\na\n```");
    assert_eq!(check("1.\n2. b"), "1.\n2. b");
}

#[test]
fn a_suggestion_is_never_offered_for_applying() {
    assert!(!check("```suggestion\nrm -rf /\n```").contains("suggestion"));
    assert_eq!(fence("x", "Suggestion", POLICY, 100), "```\nx\n```");
}

#[test]
fn a_line_is_one_line() {
    for text in ["# x\n- y", "```x", "a\nb", "> q", "1. one", "- dash", "    four"] {
        let written = line(text, POLICY, 200);
        assert!(!written.contains('\n'), "{written:?}");
        assert_harmless(&written);
    }
    assert_eq!(line("edited `src/a.rs`", POLICY, 200), "edited `src/a.rs`");
}

#[test]
fn a_text_is_shortened_before_its_limit() {
    let text = "word @x\n\n".repeat(2000);
    let written = markdown(&text, POLICY, 1000);
    assert!(
        units(&written) <= 1000 && written.ends_with(SHORTENED),
        "{}",
        units(&written)
    );
    assert_harmless(&written);
}

proptest! {
    #[test]
    fn whatever_is_written_is_harmless(text in "([a-z@<>!\\[\\]()`*_#&;:/\\\\ \n>~|=.+-]|https://|\\[x\\]\\(|```|    |&#64;|&#x200b;|\u{202e}|🎉|<b>|<!--|www\\.|1\\. ){0,60}") {
        assert_harmless(&markdown(&text, POLICY, 2000));
        let one = line(&text, POLICY, 2000);
        prop_assert!(!one.contains('\n'));
        assert_harmless(&one);
    }

    #[test]
    fn every_word_of_a_kept_plan_is_shown(text in "(hid[a-e]{3}|[ \n\t]|\r|\u{1b}|\u{1b}\\]|\u{1b}\\[|\u{7}|\u{200b}|\u{2028}|\u{85}|\\]|\\[|\\(|\\)|:|\"|'|<|>|!|```|~~~|`|# |> |- |1\\. |    |&#27;|&#x200b;|&amp;|&|;|\\\\|\\*|_|https://bitbucket.example.com/ctx/|suggestion|<b>|<!--|-->|=|[|]){0,40}") {
        let kept = pipeline::legible::plan(&text);
        let shown = markdown(&kept, POLICY, 30_000);
        // What escapes and line prefixes stand between is no part of a word.
        for word in kept.split(|c: char| !c.is_alphanumeric()).filter(|word| word.contains(char::is_alphabetic)) {
            prop_assert!(shown.contains(word), "{word:?} of {kept:?} is not in {shown:?}");
        }
    }
}
