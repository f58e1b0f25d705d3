//! Texts of agents, cut to what people read.

/// The longest text kept of what an agent said; a screen or two.
pub(crate) const SAID_BYTES_MAX: usize = 16 * 1024;

/// The longest step, in characters.
const STEP_CHARS_MAX: usize = 120;

/// What an agent said, of which the end is kept: that is where its summary is.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    text: String,
    cut: bool,
}

impl Tail {
    /// Adds to it.
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        // Twice the length, so that not every addition moves everything.
        if self.text.len() > 2 * SAID_BYTES_MAX {
            self.shorten();
        }
    }

    /// Forgets what was said.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.cut = false;
    }

    /// The end of what was said.
    pub(crate) fn into_text(mut self) -> String {
        if self.text.len() > SAID_BYTES_MAX {
            self.shorten();
        }
        let text = self.text.trim();
        if self.cut {
            format!("[…] {text}")
        } else {
            text.to_owned()
        }
    }

    fn shorten(&mut self) {
        let from = self.text.ceil_char_boundary(self.text.len() - SAID_BYTES_MAX);
        self.text.drain(..from);
        self.cut = true;
    }
}

/// A step for people: one line without control characters, of bounded length; none where nothing is left.
pub(crate) fn step(text: &str) -> Option<String> {
    let visible = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<_> = visible.filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    if line.chars().count() <= STEP_CHARS_MAX {
        return Some(line).filter(|line| !line.is_empty());
    }
    let mut short: String = line.chars().take(STEP_CHARS_MAX - 1).collect();
    short.push('…');
    Some(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_text_is_kept_and_the_cut_is_shown() {
        let mut tail = Tail::default();
        for _ in 0..10_000 {
            tail.push("ä---");
        }
        tail.push("Done.\n");
        let text = tail.into_text();
        assert!(text.starts_with("[…] ") && text.ends_with("Done."));
        assert!(text.len() <= SAID_BYTES_MAX + 10);
    }

    #[test]
    fn a_step_is_one_short_line() {
        assert_eq!(step(" ran\n\u{1b}[31m`ls`\t ").as_deref(), Some("ran [31m`ls`"));
        assert_eq!(step(" \n\u{7}"), None);
        let long = step(&"word ".repeat(100)).unwrap();
        assert_eq!(long.chars().count(), STEP_CHARS_MAX);
        assert!(long.ends_with('…'));
    }
}
