//! The hidden last line of what an effect writes: which run's, and which of its effects.

use std::fmt;

use bitbucket::{Bot, Comment};
use pipeline::ids::RunId;

const START: &str = "[//]: # (openhands-resolver run=";

/// An effect's marker. As in a status reply, it counts only on a comment whose author is the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EffectMarker {
    /// The run.
    pub(super) run: RunId,
    /// The place in the run's list of effects.
    pub(super) index: usize,
}

impl EffectMarker {
    /// Reads the last line of a text. Anything but exactly our line is no marker.
    pub(super) fn of(text: &str) -> Option<Self> {
        let last = text.trim_end().lines().next_back()?;
        let (run, index) = last
            .strip_prefix(START)?
            .strip_suffix(')')?
            .split_once(" effect=")?;
        // `parse` would also take a sign.
        let index = index
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| index.parse().ok())??;
        Some(Self {
            run: RunId::new(run).ok()?,
            index,
        })
    }

    /// Whether the bot wrote this comment with it.
    pub(super) fn is_on(&self, comment: &Comment, bot: &Bot) -> bool {
        comment.author.as_ref().is_some_and(|author| bot.is(author))
            && Self::of(&comment.text).as_ref() == Some(self)
    }
}

impl fmt::Display for EffectMarker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{START}{} effect={})", self.run, self.index)
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
        };
        let line = "[//]: # (openhands-resolver run=r-0123456789ab effect=7)";
        assert_eq!(marker.to_string(), line);
        assert_eq!(EffectMarker::of(&format!("text\n\n{line}\r\n")), Some(marker));
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
