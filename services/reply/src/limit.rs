//! Bitbucket's limit on a comment's length. Every part of a reply is bounded where it is written; this is the last
//! word, for the case that many parts are long at once.

use std::fmt::Display;

use pulldown_cmark::{Event, Parser};

use crate::sanitise::units;

/// One below Bitbucket's 32,768 characters (bitbucket-dc.md 3.6), in UTF-16 units, the strictest way to count.
pub(crate) const UNITS_MAX: usize = 32_767;

const CUT: &str = "*(The rest is left out: Bitbucket limits the length of a comment.)*";

/// The body, cut between two of its blocks if it is too long; then the footer and, as the last line, the marker.
pub(crate) fn fit(body: &str, footer: &str, marker: &impl Display) -> String {
    let end = format!("{footer}\n\n{marker}");
    // Each part is set apart by a blank line.
    let room = UNITS_MAX - units(&end) - 2;
    let body = body.trim_end();
    if units(body) <= room {
        return format!("{body}\n\n{end}");
    }
    let room = room - units(CUT) - 2;
    // A cut inside a block could open a fence or wake an escaped character; between blocks it cannot.
    let cut = block_ends(body)
        .into_iter()
        .rfind(|end| units(&body[..*end]) <= room)
        .unwrap_or(0);
    format!("{}\n\n{CUT}\n\n{end}", body[..cut].trim_end())
        .trim_start()
        .to_owned()
}

/// Where the outermost blocks end.
fn block_ends(body: &str) -> Vec<usize> {
    let mut depth = 0_usize;
    let mut ends = Vec::new();
    for (event, range) in Parser::new(body).into_offset_iter() {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            ends.push(range.end);
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use pipeline::ids::RunId;

    use super::*;
    use crate::marker::Marker;

    fn marker() -> Marker {
        Marker {
            run: RunId::new("r-0123456789ab").unwrap(),
            n: 7,
        }
    }

    const FOOTER: &str = "run `r-0123456789ab`";

    #[test]
    fn a_short_body_is_followed_by_footer_and_marker() {
        assert_eq!(
            fit("text\n", "foot", &marker()),
            "text\n\nfoot\n\n[//]: # (openhands-resolver run=r-0123456789ab n=7)"
        );
    }

    #[test]
    fn a_long_body_is_cut_between_blocks_and_keeps_footer_and_marker() {
        let fence = format!("```diff\n{}\n```", "+ 🎉 line\n".repeat(1500));
        let body = format!("first\n\n{fence}\n\n{fence}\n\n{fence}");
        let text = fit(&body, FOOTER, &marker());
        assert!(units(&text) <= UNITS_MAX, "{}", units(&text));
        assert_eq!(Marker::of(&text), Some(marker()));
        assert_eq!(text.matches("```").count() % 2, 0, "a fence is left open");
        assert!(text.contains("first") && text.contains(CUT) && text.contains(FOOTER));
    }

    #[test]
    fn a_body_that_just_fits_is_not_cut() {
        let room = UNITS_MAX - units(&marker().to_string()) - 4 - units(FOOTER);
        let text = fit(&"x".repeat(room), FOOTER, &marker());
        assert_eq!(units(&text), UNITS_MAX);
        assert!(!text.contains(CUT));
        let cut = fit(&"x".repeat(room + 1), FOOTER, &marker());
        assert!(cut.contains(CUT) && Marker::of(&cut).is_some());
    }
}
