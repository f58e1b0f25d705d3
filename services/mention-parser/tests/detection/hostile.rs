//! Text made to break or to stall the detection. Bitbucket lets a comment have 32,768 characters.

use config::Position;
use mention_parser::detect::detect;
use proptest::prelude::*;

const COMMENT_LENGTH_MAX: usize = 32_768;

fn names() -> Vec<String> {
    vec!["openhands".to_owned(), "a".to_owned()]
}

/// A quadratic step over a comment 16 times the allowed length would run for minutes; a linear one is not noticed.
#[test]
fn repetition_far_beyond_the_allowed_length_is_worked_through() {
    let patterns = [
        "`",
        "``` ",
        "~~~\n",
        "@",
        "@a ",
        "@a.",
        "@\"",
        "@openhands",
        "> ",
        ">",
        "- ",
        "* ",
        "*",
        "_@a_",
        "[",
        "](",
        "![",
        "[a](",
        "<",
        "<!--",
        "<a ",
        "<?",
        "<![CDATA[",
        "</",
        "&",
        "\\",
        "*a_ ",
        "[a]: b\n",
        "\r",
        "\r\n@a\r\n",
        "#",
        "1. ",
        "\u{202e}@a",
        "\t",
        "@a\n",
        "@\u{301}",
        "_._@a",
        "@a___",
    ];
    for pattern in patterns {
        let text = pattern.repeat(16 * COMMENT_LENGTH_MAX / pattern.len());
        for position in [Position::Anywhere, Position::LineStart] {
            if let Some(found) = detect(&text, &names(), position) {
                assert!(text.is_char_boundary(found.at.start) && text.as_bytes()[found.at.start] == b'@');
            }
        }
    }
}

#[test]
fn a_mention_behind_ten_thousand_backticks_is_found() {
    let text = format!("{} \n\n@openhands fix", "` ``".repeat(2_500));
    assert_eq!(
        detect(&text, &names(), Position::Anywhere)
            .unwrap()
            .command
            .asked(),
        "fix"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        detect(&text, &names(), Position::Anywhere);
    }

    #[test]
    fn no_markdown_makes_it_panic_and_what_it_finds_is_a_mention(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "@openhands", "@a", "@\"openhands\"", "`", "```", "\n", "\r\n", "> ", "- ", "1. ", "    ", "\t", "*", "_",
                "[", "](", ")", "<", ">", "<!--", "-->", "&amp;", "\\", "\u{a0}", "\u{200b}", "x", " ", ".", ":", "é", "😀", "#",
            ]),
            0..60,
        ),
    ) {
        let text = parts.concat();
        let found = detect(&text, &names(), Position::Anywhere);
        if let Some(found) = &found {
            let mention = text[found.at.clone()].to_ascii_lowercase();
            prop_assert!(["@openhands", "@a", "@\"openhands\"", "@\"a\""].contains(&mention.as_str()), "{mention}");
            let text = &found.command.text;
            prop_assert!(!text.starts_with(['\n', '\r']) && text.trim_end() == text, "{:?}", text);
        }
        if let Some(at_line_start) = detect(&text, &names(), Position::LineStart) {
            prop_assert_eq!(Some(at_line_start.at), found.map(|found| found.at));
        }
    }

    #[test]
    fn text_before_a_mention_on_its_own_line_does_not_change_the_command(before in "[a-z .,]{0,40}", text in "x[a-z]{1,20}") {
        let comment = format!("{before}\n\n@openhands {text}");
        let found = detect(&comment, &["openhands".to_owned()], Position::Anywhere).unwrap();
        prop_assert_eq!(found.command.text, text);
    }
}
