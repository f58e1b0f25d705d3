//! An agent's output, line by line and within bounds.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The size of one read; a pipe holds 64 KiB.
const READ_BYTES: usize = 16 * 1024;

/// A reader of lines. What is longer than its bound is left out whole.
pub(crate) struct Lines<R> {
    pipe: Option<R>,
    buffer: Box<[u8]>,
    /// Read and not yet given out.
    waiting: Vec<u8>,
    /// How many bytes at its start are known to hold no end of a line.
    searched: usize,
    /// The line that is being read is too long.
    skipping: bool,
    bytes_max: usize,
    too_long: u64,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of up to `bytes_max` bytes of what comes out of `pipe`.
    pub(crate) fn new(pipe: R, bytes_max: usize) -> Self {
        Self {
            pipe: Some(pipe),
            buffer: vec![0; READ_BYTES].into(),
            waiting: Vec::new(),
            searched: 0,
            skipping: false,
            bytes_max,
            too_long: 0,
        }
    }

    /// The next line without its end; none at the end of the output. Can be dropped and called again without losing
    /// anything.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            let Some(pipe) = &mut self.pipe else {
                return Ok(self.take_rest());
            };
            match pipe.read(&mut self.buffer).await? {
                0 => self.pipe = None,
                count => self.waiting.extend_from_slice(&self.buffer[..count]),
            }
        }
    }

    /// How many lines were left out.
    pub(crate) fn too_long(&self) -> u64 {
        self.too_long
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        loop {
            let end = self.waiting[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            let Some(end) = end.map(|at| self.searched + at) else {
                if self.skipping || self.waiting.len() > self.bytes_max {
                    self.skip();
                }
                self.searched = self.waiting.len();
                return None;
            };
            let mut line: Vec<_> = self.waiting.drain(..=end).collect();
            self.searched = 0;
            line.pop();
            let skipped = std::mem::take(&mut self.skipping);
            if !skipped && line.len() <= self.bytes_max {
                return Some(line);
            }
            self.too_long += u64::from(!skipped);
        }
    }

    fn skip(&mut self) {
        self.too_long += u64::from(!self.skipping);
        self.skipping = true;
        self.waiting.clear();
    }

    /// What came after the last end of a line.
    fn take_rest(&mut self) -> Option<Vec<u8>> {
        self.searched = 0;
        let rest = std::mem::take(&mut self.waiting);
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::unix::pipe;

    use super::*;

    async fn lines_of(written: &[u8], bytes_max: usize) -> (Vec<String>, u64) {
        let (mut sender, receiver) = pipe::pipe().unwrap();
        let mut lines = Lines::new(receiver, bytes_max);
        let write = async move { sender.write_all(written).await.unwrap() };
        let read = async {
            let mut all = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                all.push(String::from_utf8(line).unwrap());
            }
            (all, lines.too_long())
        };
        tokio::join!(write, read).1
    }

    #[tokio::test]
    async fn lines_come_as_they_were_written() {
        let (lines, too_long) = lines_of(b"one\n\nthree\nrest", 10).await;
        assert_eq!(lines, ["one", "", "three", "rest"]);
        assert_eq!(too_long, 0);
    }

    #[tokio::test]
    async fn a_line_without_end_takes_no_memory_and_hides_no_other() {
        let long = vec![b'x'; 3 * READ_BYTES];
        let written = [b"a\n", long.as_slice(), b"\nb\n", b"12345678901\nc\n"].concat();
        let (lines, too_long) = lines_of(&written, 10).await;
        assert_eq!(lines, ["a", "b", "c"]);
        assert_eq!(too_long, 2);
    }
}
