//! Which parts of a Markdown text are prose: what a reader sees as the writer's own running text.
//!
//! `CommonMark` and nothing else, as Bitbucket renders comments. Not prose: code, block quotes, HTML (blocks, tags
//! and comments), links with their text and destination, images, link reference definitions.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The prose of `text` as byte ranges in ascending order. Neighbouring ranges are joined, so that a name the
/// parser saw in pieces (`open_hands`) is in one of them. What stands between two inline HTML tags is prose.
pub(crate) fn spans(text: &str) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    let mut hidden_depth = 0_usize;
    for (event, range) in Parser::new_ext(text, Options::empty()).into_offset_iter() {
        match event {
            Event::Start(tag) if hides(&tag) => hidden_depth += 1,
            Event::End(tag) if ends_hiding(tag) => hidden_depth = hidden_depth.saturating_sub(1),
            Event::Text(_) if hidden_depth == 0 => match spans.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => spans.push(range),
            },
            _ => {}
        }
    }
    spans
}

fn hides(tag: &Tag<'_>) -> bool {
    matches!(
        tag,
        Tag::BlockQuote(_) | Tag::CodeBlock(_) | Tag::HtmlBlock | Tag::Link { .. } | Tag::Image { .. }
    )
}

fn ends_hiding(tag: TagEnd) -> bool {
    matches!(
        tag,
        TagEnd::BlockQuote(_) | TagEnd::CodeBlock | TagEnd::HtmlBlock | TagEnd::Link | TagEnd::Image
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prose(text: &str) -> Vec<&str> {
        spans(text).into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn what_is_code_quote_html_link_or_image_is_not_prose() {
        let text = "a `b` *c* <i>d</i> [e](f) ![g](h) <https://i>\n\n> j\n\n    k\n\n```\nl\n```\n\n<p>\nm\n</p>\n\n[n]: o";
        assert_eq!(prose(text).concat().replace(' ', ""), "acd");
    }

    #[test]
    fn prose_that_the_parser_splits_is_joined() {
        assert_eq!(prose("an open_hands name & more"), ["an open_hands name & more"]);
    }
}
