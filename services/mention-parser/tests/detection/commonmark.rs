//! The examples of the CommonMark specification, with a mention in place of each of their words. The oracle is the
//! specification's HTML, not our parser: a word that the HTML shows inside code, a quote, a link or a tag, or not
//! at all, must not be a mention; a word it shows as plain text must be one.

use config::Position;
use mention_parser::detect::detect;

#[derive(serde::Deserialize)]
struct Example {
    #[serde(rename = "example")]
    number: usize,
    section: String,
    markdown: String,
    html: String,
}

fn examples() -> Vec<Example> {
    serde_json::from_str(include_str!("../../fixtures/commonmark-0.31.2.json")).expect("a JSON list")
}

fn mentions(text: &str) -> bool {
    detect(text, &["openhands".to_owned()], Position::Anywhere).is_some()
}

/// Where the HTML shows a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Running text.
    Plain,
    /// Inside `code`, `pre`, `a` or `blockquote`, or inside `alt` or `title`.
    Hidden,
    /// Elsewhere inside a tag, or in a comment or instruction.
    Tag,
}

/// Every place of `word` in `html`.
fn places(html: &str, word: &str) -> Vec<Place> {
    words(html)
        .filter(|&(_, found)| found == word)
        .map(|(at, _)| place(html, at))
        .collect()
}

/// Words of letters, with a letter first, so that list numbers are none.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(|c: char| c.is_alphanumeric())?;
        let length = text[start..]
            .find(|c: char| !c.is_alphanumeric())
            .unwrap_or(text.len() - start);
        rest = start + length;
        Some((start, &text[start..rest]))
    })
    .filter(|(_, word)| word.starts_with(char::is_alphabetic))
}

fn place(html: &str, at: usize) -> Place {
    let before = &html[..at];
    let open = before.rfind('<').filter(|&open| !before[open..].contains('>'));
    if let Some(open) = open {
        let tag = &html[open..at];
        let quoted = tag.matches('"').count() % 2 == 1;
        let text_attribute = ["title=\"", "alt=\""].iter().any(|name| {
            tag.rfind(name)
                .is_some_and(|start| !tag[start + name.len()..].contains('"'))
        });
        return if quoted && text_attribute {
            Place::Hidden
        } else {
            Place::Tag
        };
    }
    let inside = |name: &str| {
        let opened =
            before.matches(&format!("<{name}>")).count() + before.matches(&format!("<{name} ")).count();
        opened > before.matches(&format!("</{name}>")).count()
    };
    if ["code", "pre", "a", "blockquote"].into_iter().any(inside) {
        Place::Hidden
    } else {
        Place::Plain
    }
}

/// Examples whose own HTML is not a renderer's: what they show as plain text may be part of an HTML block.
fn has_raw_html(example: &Example) -> bool {
    example.markdown.contains('<')
}

/// 148 and 187: what stands between two HTML tags is a paragraph, although the tags say `pre` and `a`.
/// 616: an attribute's name cannot have an `@`, so there is no tag any more.
const PLANTING_CHANGES_THE_STRUCTURE: [usize; 3] = [148, 187, 616];

/// Another label names another definition, so there is no link any more.
fn is_reference_label(before: &str, after: &str) -> bool {
    before.ends_with('[') && after.starts_with(']') && !after.starts_with("](")
}

#[test]
fn a_mention_planted_in_code_html_links_and_quotes_is_ignored() {
    let (mut planted, mut found) = (0, Vec::new());
    for example in examples()
        .iter()
        .filter(|example| !PLANTING_CHANGES_THE_STRUCTURE.contains(&example.number))
    {
        for (at, word) in words(&example.markdown) {
            let places = places(&example.html, word);
            let unique = words(&example.markdown)
                .filter(|&(_, other)| other == word)
                .count()
                == 1;
            let (before, after) = (&example.markdown[..at], &example.markdown[at + word.len()..]);
            if !unique || places.contains(&Place::Plain) || is_reference_label(before, after) {
                continue;
            }
            let mut plantings = vec![format!("{before}@openhands{after}")];
            let indents = before
                .lines()
                .next_back()
                .is_none_or(|line| line.trim().is_empty());
            if !indents && !places.is_empty() && places.iter().all(|&place| place == Place::Hidden) {
                plantings.push(format!("{before} @openhands {after}"));
            }
            for text in plantings {
                planted += 1;
                if mentions(&text) {
                    found.push(format!(
                        "example {} ({}), {places:?}: {text:?}",
                        example.number, example.section
                    ));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(
        planted > 400,
        "only {planted} plantings: the oracle lost its examples"
    );
}

#[test]
fn a_mention_planted_in_plain_text_is_found() {
    let mut planted = 0;
    for example in examples().iter().filter(|example| !has_raw_html(example)) {
        for (at, word) in words(&example.markdown) {
            let unique = words(&example.markdown)
                .filter(|&(_, other)| other == word)
                .count()
                == 1;
            if !unique || places(&example.html, word) != [Place::Plain] {
                continue;
            }
            let (before, after) = (&example.markdown[..at], &example.markdown[at + word.len()..]);
            let free = |c: Option<char>| c.is_none_or(char::is_whitespace);
            if free(before.chars().next_back()) && free(after.chars().next()) {
                planted += 1;
                let text = format!("{before}@openhands{after}");
                assert!(
                    mentions(&text),
                    "example {} ({}): {text:?}",
                    example.number,
                    example.section
                );
            }
        }
    }
    assert!(
        planted > 150,
        "only {planted} plantings: the oracle lost its examples"
    );
}

/// In HTML blocks the specification's HTML equals the source, so the place of a word says nothing: plant one in
/// every line of every example that is nothing but one HTML block.
#[test]
fn a_mention_planted_in_any_line_of_an_html_block_is_ignored() {
    let mut planted = 0;
    for example in examples() {
        if example.section != "HTML blocks"
            || example.html != example.markdown
            || example.markdown.contains("\n\n")
        {
            continue;
        }
        let lines: Vec<&str> = example.markdown.lines().collect();
        for row in 1..lines.len() {
            let mut with_mention = lines.clone();
            with_mention.insert(row, "@openhands fix");
            planted += 1;
            assert!(
                !mentions(&with_mention.join("\n")),
                "example {}: {with_mention:?}",
                example.number
            );
        }
    }
    assert!(
        planted > 20,
        "only {planted} plantings: the oracle lost its examples"
    );
}
