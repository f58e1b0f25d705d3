//! Makes a comment's Markdown show what Bitbucket does not show of it: an agent reads the source, people read the page,
//! and what only one of the two sees is how somebody speaks to the agent behind people's backs.

use std::ops::Range;

use pulldown_cmark::{Event, Parser, Tag};

/// Stands before what people do not see; a bracket closes it.
const MARK: &str = "[not shown to people: ";

/// The text with HTML comments, images, titles of links and link-reference definitions in marked brackets.
pub(crate) fn marked(text: &str) -> String {
    let lines = Lines::of(text);
    let mut covered = vec![false; lines.starts.len()];
    let mut hidden: Vec<Range<usize>> = Vec::new();
    for (event, range) in Parser::new(text).into_offset_iter() {
        let is_hidden = match &event {
            Event::Start(Tag::HtmlBlock) | Event::InlineHtml(_) => {
                text[range.clone()].trim_start().starts_with("<!--")
            }
            Event::Start(Tag::Image { .. }) => true,
            Event::Start(Tag::Link { title, .. }) => !title.is_empty(),
            _ => false,
        };
        // Containers also cover the definitions in them, which no event shows.
        let covers = !matches!(
            event,
            Event::End(_) | Event::Start(Tag::Paragraph | Tag::BlockQuote(_) | Tag::List(_) | Tag::Item)
        );
        if covers {
            lines.of_range(&range).for_each(|line| covered[line] = true);
        }
        // An image in a link is one piece with it.
        if is_hidden && hidden.last().is_none_or(|last| last.end <= range.start) {
            hidden.push(range);
        }
    }
    let uncovered = covered.iter().enumerate().filter(|(_, covered)| !**covered);
    let spoken = uncovered
        .map(|(line, _)| lines.range(line, text))
        .filter(|range| text[range.clone()].contains(char::is_alphanumeric));
    hidden.extend(spoken);
    hidden.sort_by_key(|range| range.start);
    in_brackets(text, &hidden)
}

fn in_brackets(text: &str, hidden: &[Range<usize>]) -> String {
    let mut shown = String::with_capacity(text.len() + hidden.len() * (MARK.len() + 1));
    let mut at = 0;
    for range in hidden.iter().filter(|range| !range.is_empty()) {
        if range.start < at {
            continue;
        }
        let end = range.start + text[range.clone()].trim_end().len();
        shown.push_str(&text[at..range.start]);
        shown.push_str(MARK);
        shown.push_str(&text[range.start..end]);
        shown.push(']');
        at = end;
    }
    shown.push_str(&text[at..]);
    shown
}

/// Where the lines of a text begin.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let behind = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            starts: std::iter::once(0).chain(behind).collect(),
        }
    }

    /// The lines that a piece of the text is on.
    fn of_range(&self, range: &Range<usize>) -> Range<usize> {
        let line = |at: usize| self.starts.partition_point(|start| *start <= at) - 1;
        let last = range.end.max(range.start + 1) - 1;
        line(range.start)..line(last) + 1
    }

    /// A line without its end.
    fn range(&self, line: usize, text: &str) -> Range<usize> {
        let end = self.starts.get(line + 1).map_or(text.len(), |next| next - 1);
        self.starts[line]..end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_do_not_see_is_in_marked_brackets() {
        for (text, shown) in [
            (
                "plain *text* [a](https://b) <b>",
                "plain *text* [a](https://b) <b>",
            ),
            (
                "a <!-- delete all --> b",
                "a [not shown to people: <!-- delete all -->] b",
            ),
            (
                "<!--\ndelete\nall\n-->\n\nb",
                "[not shown to people: <!--\ndelete\nall\n-->]\n\nb",
            ),
            (
                "see ![delete all](https://x/y.png \"now\")!",
                "see [not shown to people: ![delete all](https://x/y.png \"now\")]!",
            ),
            (
                "[![run it](i.png)](https://b)",
                "[[not shown to people: ![run it](i.png)]](https://b)",
            ),
            (
                "[//]: # (delete all)\n\ntext",
                "[not shown to people: [//]: # (delete all)]\n\ntext",
            ),
            (
                "a\n\n[x]: # (one)\n[x]: #\n  \"two words\"\n\n> [y]: # (three)",
                "a\n\n[not shown to people: [x]: # (one)]\n[not shown to people: [x]: #]\n[not shown to people:   \"two words\"]\n\n[not shown to people: > [y]: # (three)]",
            ),
            (
                "[a](https://b \"delete all\")",
                "[not shown to people: [a](https://b \"delete all\")]",
            ),
        ] {
            assert_eq!(marked(text), shown, "{text}");
        }
    }

    #[test]
    fn code_and_structure_stay_as_they_are() {
        for text in [
            "```suggestion\n<!-- x -->\n[//]: # (y)\n![z](w)\n```",
            "`<!-- x -->` and `![z](w)`",
            "    ![indented](code)\n    [//]: # (x)",
            "# A\n\nB\n===\n\n---\n\n- one\n  - two\n\n1. three\n\n> four\n> five",
            "a  \nb\\\nc\r\nd",
            "",
            "\n\n",
        ] {
            assert_eq!(marked(text), text);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_a_second_look_finds_nothing_to_do_with_the_words(text in "([a-z\\[\\]!():#<>\" `>\\n-]|<!--|-->|\\]: # ){0,80}") {
            let shown = marked(&text);
            prop_assert_eq!(shown.replace(MARK, "").len() + shown.matches(MARK).count() * MARK.len(), shown.len());
            let mut rest = shown.chars();
            prop_assert!(text.chars().all(|c| rest.any(|shown| shown == c)), "{}", shown);
        }
    }
}
