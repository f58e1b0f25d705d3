//! The output of a child, with an upper bound on what is kept of it.

use std::collections::VecDeque;

/// What was kept of an output: all of it, or its first and last half with the middle cut out.
///
/// Both ends, because compilers say what is wrong first and test runners last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_bytes_max: usize,
    tail_bytes_max: usize,
    bytes_written: u64,
}

impl Captured {
    /// Keeps at most `bytes_max` bytes in all.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let head_bytes_max = bytes_max / 2;
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            head_bytes_max,
            tail_bytes_max: bytes_max - head_bytes_max,
            bytes_written: 0,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes_written += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(self.head_bytes_max - self.head.len()));
        self.head.extend_from_slice(head);
        // Only what can stay is copied: a flood costs reading, not moving bytes through the ring one by one.
        let rest = &rest[rest.len().saturating_sub(self.tail_bytes_max)..];
        let surplus = (self.tail.len() + rest.len()).saturating_sub(self.tail_bytes_max);
        self.tail.drain(..surplus);
        self.tail.extend(rest);
    }

    /// How many bytes the child wrote before its pipe was closed.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// How many of them were cut out of the middle; 0 means that everything is here.
    pub fn bytes_cut(&self) -> u64 {
        self.bytes_written - (self.head.len() + self.tail.len()) as u64
    }

    /// The kept bytes, first those before the cut, then those after it.
    pub fn parts(&self) -> (Vec<u8>, Vec<u8>) {
        (self.head.clone(), self.tail.iter().copied().collect())
    }

    /// The output as text for a reader: bytes that are not UTF-8 are replaced, and a line says how much was cut.
    pub fn text(&self) -> String {
        let (head, tail) = self.parts();
        if self.bytes_cut() == 0 {
            return String::from_utf8_lossy(&[head, tail].concat()).into_owned();
        }
        // The cut may go through a character; its remains are left out rather than shown as replacement characters.
        let head = String::from_utf8_lossy(&head);
        let head = head.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(&head);
        let rest_of_character = tail
            .iter()
            .take(3)
            .take_while(|byte| **byte & 0b1100_0000 == 0b1000_0000)
            .count();
        let tail = String::from_utf8_lossy(&tail[rest_of_character..]);
        format!("{head}\n[{} bytes cut]\n{tail}", self.bytes_cut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(bytes_max: usize, chunks: &[&str]) -> Captured {
        let mut captured = Captured::new(bytes_max);
        for chunk in chunks {
            captured.push(chunk.as_bytes());
        }
        captured
    }

    #[test]
    fn an_output_within_the_limit_is_kept_whole() {
        for chunks in [
            &["0123456789"][..],
            &["01234", "", "5678", "9"],
            &["0", "123456789"],
        ] {
            let captured = captured(10, chunks);
            assert_eq!(
                (captured.text().as_str(), captured.bytes_cut()),
                ("0123456789", 0)
            );
        }
    }

    #[test]
    fn a_longer_one_keeps_its_first_and_last_half_however_it_arrives() {
        for chunks in [
            &["0123456789abc"][..],
            &["012345", "678", "9abc"],
            &["0123456789", "a", "b", "c"],
        ] {
            let captured = captured(10, chunks);
            assert_eq!(captured.text(), "01234\n[3 bytes cut]\n89abc");
            assert_eq!(captured.bytes_written(), 13);
        }
    }

    #[test]
    fn a_cut_through_a_character_leaves_no_rubble() {
        let captured = captured(6, &["aé€…bé"]);
        assert_eq!(captured.text(), "aé\n[6 bytes cut]\nbé");
    }

    #[test]
    fn a_limit_of_zero_keeps_nothing_and_counts_all() {
        assert_eq!(captured(0, &["abc"]).text(), "\n[3 bytes cut]\n");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let mut captured = Captured::new(10);
        captured.push(b"a\xffb");
        assert_eq!(captured.text(), "a\u{fffd}b");
    }
}
