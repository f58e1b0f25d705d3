//! The hidden last line of every status reply: which run it is, and which state it shows.
//!
//! A link-reference definition renders as nothing in Bitbucket (bitbucket-dc.md 3.6). Anyone can write one, so it
//! counts only on a comment whose author is the bot.

use std::fmt;

use pipeline::ids::RunId;

const START: &str = "[//]: # (openhands-resolver run=";

/// A status reply's marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The run.
    pub(crate) run: RunId,
    /// The run record's `n` that the reply shows.
    pub(crate) n: u64,
}

impl Marker {
    /// Reads the last line of a comment's text. Anything but exactly our line is no marker.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let last = text.trim_end().lines().next_back()?;
        let (run, n) = last.strip_prefix(START)?.strip_suffix(')')?.split_once(" n=")?;
        // `parse` would also take a sign.
        let n = n.bytes().all(|b| b.is_ascii_digit()).then(|| n.parse().ok())??;
        Some(Self {
            run: RunId::new(run).ok()?,
            n,
        })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{START}{} n={})", self.run, self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "[//]: # (openhands-resolver run=r-0123456789ab n=7)";

    #[test]
    fn a_marker_reads_what_it_wrote() {
        let marker = Marker {
            run: RunId::new("r-0123456789ab").unwrap(),
            n: 7,
        };
        assert_eq!(marker.to_string(), LINE);
        assert_eq!(Marker::of(&format!("text\n\n{LINE}")), Some(marker.clone()));
        assert_eq!(Marker::of(&format!("text\r\n\r\n{LINE}\r\n")), Some(marker));
    }

    #[test]
    fn only_the_last_line_counts_and_only_if_it_is_ours() {
        for text in [
            "",
            "text",
            &format!("{LINE}\nmore"),
            &format!("> {LINE}"),
            "[//]: # (openhands-resolver run=r-short n=7)",
            "[//]: # (openhands-resolver run=r-0123456789ab n=+7)",
            "[//]: # (openhands-resolver run=r-0123456789ab n=)",
            "[//]: # (openhands-resolver run=r-0123456789ab)",
            "[//]: # (openhands-resolver run=r-0123456789ab n=99999999999999999999999)",
        ] {
            assert_eq!(Marker::of(text), None, "{text:?}");
        }
    }
}
