//! A place in a text that only goes forward and counts what it looks at.

/// The text from a place on.
pub(super) struct Scan<'a> {
    rest: &'a str,
    before: &'a str,
    looked_at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            before: text,
            looked_at: 0,
        }
    }

    /// What lies ahead. Whoever reads it says how much with [`Scan::look`].
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    /// How many bytes were looked at so far.
    pub(super) fn looked_at(&self) -> usize {
        self.looked_at
    }

    /// Counts bytes that were looked at without going forward.
    pub(super) fn look(&mut self, bytes: usize) {
        self.looked_at += bytes;
    }

    /// Goes over characters that `wanted` takes, and returns them.
    pub(super) fn take_while(&mut self, mut wanted: impl FnMut(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.looked_at += end + 1;
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    pub(super) fn skip_while(&mut self, wanted: impl FnMut(char) -> bool) {
        self.take_while(wanted);
    }

    /// Goes over `word` if it stands here with nothing but white space, or nothing, behind it.
    pub(super) fn skip_word(&mut self, word: &str) -> bool {
        self.looked_at += word.len() + 1;
        match self.rest.strip_prefix(word) {
            Some(rest) if rest.chars().next().is_none_or(char::is_whitespace) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Goes over this many bytes, which were looked at before.
    pub(super) fn skip_bytes(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Goes back over this many bytes.
    pub(super) fn back(&mut self, bytes: usize) {
        let here = self.before.len() - self.rest.len();
        self.rest = &self.before[here - bytes..];
    }

    /// Whether the line, or the text, ends here.
    pub(super) fn is_at_line_end(&mut self) -> bool {
        self.looked_at += 1;
        self.rest.chars().next().is_none_or(is_line_end)
    }
}

/// White space within a line.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() && !is_line_end(c)
}

/// What ends a line.
pub(super) fn is_line_end(c: char) -> bool {
    c == '\n' || c == '\r'
}
