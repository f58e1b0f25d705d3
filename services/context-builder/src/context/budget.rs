//! Budget: how many bytes of foreign text a brief may still take, and what did not fit.

use crate::context::visible;
use crate::limits::{LEFT_OUT_BYTES_MAX, LEFT_OUT_MAX, PART_BYTES_MIN};

/// Bytes around a block beside its body: caption, two fences of at most 33 backticks, line ends.
const BLOCK_BYTES: usize = 100;

/// What a cut block ends with needs room, too.
const CUT_NOTE_BYTES: usize = 60;

/// What is left of a brief's bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    left_out: Vec<String>,
}

impl Budget {
    /// A budget of `bytes` for blocks.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            left: bytes,
            left_out: Vec::new(),
        }
    }

    /// Takes a text that is already visible, or as much of its beginning as fits, cut at a line's end where one is
    /// near. Every byte that is left out is named, in the text and in the list.
    pub(crate) fn take(&mut self, what: &str, text: String) -> Option<String> {
        if self.fits(&text) {
            self.left -= text.len() + BLOCK_BYTES;
            return Some(text);
        }
        let room = self.left.saturating_sub(BLOCK_BYTES + CUT_NOTE_BYTES);
        if room < PART_BYTES_MIN {
            self.leave_out(format!("{what}: all {} bytes", text.len()));
            return None;
        }
        let end = cut_at(&text, room);
        let missing = text.len() - end;
        self.leave_out(format!("{what}: the last {missing} of {} bytes", text.len()));
        self.left -= end + BLOCK_BYTES + CUT_NOTE_BYTES;
        Some(format!(
            "{}\n[… {missing} bytes left out]",
            text[..end].trim_end_matches('\n')
        ))
    }

    /// Takes a text as a whole or not at all.
    pub(crate) fn take_whole(&mut self, what: &str, text: String) -> Option<String> {
        if self.fits(&text) {
            return self.take(what, text);
        }
        self.leave_out(format!("{what}: all {} bytes", text.len()));
        None
    }

    /// Lets `take` use at most `percent` of what is left. What it does not use is there for others.
    pub(crate) fn within<T>(&mut self, percent: usize, take: impl FnOnce(&mut Self) -> T) -> T {
        let kept = self.left - self.left.saturating_mul(percent.min(100)) / 100;
        self.left -= kept;
        let taken = take(self);
        self.left += kept;
        taken
    }

    /// Names something that is missing for another reason than bytes.
    pub(crate) fn leave_out(&mut self, what: String) {
        let mut shown = visible::line(&what);
        shown.truncate(shown.floor_char_boundary(LEFT_OUT_BYTES_MAX));
        self.left_out.push(shown);
    }

    /// What was left out, in at most about `bytes`; beyond that only how much more there is.
    pub(crate) fn into_left_out(mut self, bytes: usize) -> Vec<String> {
        let mut room = bytes;
        let fitting = self.left_out.iter().take(LEFT_OUT_MAX).take_while(|item| {
            let fits = item.len() < room;
            room = room.saturating_sub(item.len() + 1);
            fits
        });
        let shown = fitting.count();
        if self.left_out.len() > shown {
            let more = self.left_out.len() - shown;
            self.left_out.truncate(shown);
            self.left_out.push(format!("{more} more parts"));
        }
        self.left_out
    }

    fn fits(&self, text: &str) -> bool {
        text.len() + BLOCK_BYTES <= self.left
    }
}

/// Where to cut: behind the last line that ends in the second half of `room`, else at a character.
fn cut_at(text: &str, room: usize) -> usize {
    let room = text.floor_char_boundary(room);
    match text[..room].rfind('\n') {
        Some(newline) if newline + 1 > room / 2 => newline + 1,
        _ => room,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_taken_and_what_does_not_is_named_with_its_bytes() {
        let mut budget = Budget::new(1_000);
        assert_eq!(budget.take("a", "x".repeat(100)), Some("x".repeat(100)));
        let lines = "0123456789\n".repeat(100);
        let cut = budget.take("thread", lines.clone()).unwrap();
        assert!(cut.ends_with("0123456789\n[… 462 bytes left out]"), "{cut}");
        assert_eq!(budget.take("diff", lines), None);
        assert_eq!(
            budget.into_left_out(4_000),
            ["thread: the last 462 of 1100 bytes", "diff: all 1100 bytes"]
        );
    }

    #[test]
    fn a_part_takes_its_share_and_leaves_what_it_does_not_use() {
        let mut budget = Budget::new(10_000);
        let long = "0123456789\n".repeat(1_000);
        let cut = budget
            .within(30, |budget| budget.take("a", long.clone()))
            .unwrap();
        assert!((2_500..=3_000).contains(&cut.len()), "{}", cut.len());
        let short = budget.within(50, |budget| budget.take("b", "x".repeat(10)));
        assert_eq!(short.as_deref(), Some("xxxxxxxxxx"));
        let rest = budget.within(100, |budget| budget.take("c", long)).unwrap();
        assert!((6_000..=7_000).contains(&rest.len()), "{}", rest.len());
    }

    #[test]
    fn a_text_without_lines_is_cut_between_characters() {
        let mut budget = Budget::new(1_000);
        let cut = budget.take("a", "é".repeat(1_000)).unwrap();
        assert!(cut.starts_with('é') && cut.ends_with("bytes left out]"));
    }

    #[test]
    fn the_list_of_what_was_left_out_is_short() {
        let mut budget = Budget::new(0);
        for part in 0..50 {
            assert_eq!(budget.take_whole(&format!("part {part}"), "x".to_owned()), None);
        }
        let left_out = budget.into_left_out(4_000);
        assert_eq!(
            (left_out.len(), left_out[LEFT_OUT_MAX].as_str()),
            (LEFT_OUT_MAX + 1, "30 more parts")
        );
    }
}
