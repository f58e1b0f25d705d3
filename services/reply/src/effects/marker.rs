//! The hidden last line of what an effect writes: which run's, and which of its effects.

use std::fmt;

use bitbucket::{Bot, Comment};
use pipeline::ids::RunId;

const START: &str = "[//]: # (openhands-resolver run=";
/// What an answer's marker ends with that leaves nothing to do in its thread.
const SETTLED: &str = " settled";

/// An effect's marker. As in a status reply, it counts only on a comment whose author is the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EffectMarker {
    /// The run.
    pub(super) run: RunId,
    /// The place in the run's list of effects.
    pub(super) index: usize,
    /// Whether it is an answer that leaves nothing to do, for whoever looks through open threads later.
    pub(super) settled: bool,
}

impl EffectMarker {
    /// Reads the last line of a text. Anything but exactly our line is no marker.
    pub(super) fn of(text: &str) -> Option<Self> {
        let last = text.trim_end().lines().next_back()?;
        let (run, index) = last
            .strip_prefix(START)?
            .strip_suffix(')')?
            .split_once(" effect=")?;
        let (index, settled) = match index.strip_suffix(SETTLED) {
            Some(index) => (index, true),
            None => (index, false),
        };
        // `parse` would also take a sign.
        let index = index
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| index.parse().ok())??;
        Some(Self {
            run: RunId::new(run).ok()?,
            index,
            settled,
        })
    }

    /// Whether the bot wrote this comment for the same effect.
    pub(super) fn is_on(&self, comment: &Comment, bot: &Bot) -> bool {
        comment.author.as_ref().is_some_and(|author| bot.is(author))
            && Self::of(&comment.text)
                .is_some_and(|marker| (marker.run, marker.index) == (self.run.clone(), self.index))
    }
}

impl fmt::Display for EffectMarker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settled = if self.settled { SETTLED } else { "" };
        write!(f, "{START}{} effect={}{settled})", self.run, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::Marker;

    #[test]
    fn a_marker_reads_what_it_wrote_and_is_not_that_of_a_status_reply() {
        let marker = EffectMarker {
            run: RunId::new("r-0123456789ab").unwrap(),
            index: 7,
            settled: false,
        };
        let line = "[//]: # (openhands-resolver run=r-0123456789ab effect=7)";
        assert_eq!(marker.to_string(), line);
        assert_eq!(
            EffectMarker::of(&format!("text\n\n{line}\r\n")),
            Some(marker.clone())
        );
        let settled = EffectMarker {
            settled: true,
            ..marker
        };
        assert_eq!(EffectMarker::of(&settled.to_string()), Some(settled));
        assert_eq!(Marker::of(line), None);
        for text in [
            "",
            &format!("{line}\nmore"),
            "[//]: # (openhands-resolver run=r-0123456789ab n=7)",
            "[//]: # (openhands-resolver run=r-0123456789ab effect=+7)",
            "[//]: # (openhands-resolver run=r-0123456789ab effect=)",
        ] {
            assert_eq!(EffectMarker::of(text), None, "{text:?}");
        }
    }
}
