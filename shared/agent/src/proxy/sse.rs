//! Reads server-sent events out of a stream that is cut anywhere.

use std::mem;

/// Collects the `data` of events. Only whole events come out.
pub(crate) struct Events {
    line: Vec<u8>,
    event: Vec<u8>,
    bytes_max: usize,
    /// This event is too long to be kept, and is left out.
    overflown: bool,
}

impl Events {
    /// Keeps events up to `bytes_max`; longer ones are skipped.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            line: Vec::new(),
            event: Vec::new(),
            bytes_max,
            overflown: false,
        }
    }

    /// Takes the next bytes and calls `each` with the data of every event they complete.
    pub(crate) fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + self.event.len() + part.len() > self.bytes_max {
                self.overflown = true;
                self.line.clear();
                self.event.clear();
            }
            let Some(end) = part.strip_suffix(b"\n") else {
                self.line.extend_from_slice(part);
                continue;
            };
            self.line.extend_from_slice(end);
            let mut line = mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            self.line(&line, &mut each);
            line.clear();
            self.line = line;
        }
    }

    /// The stream has ended: a last event may lack its blank line.
    pub(crate) fn end(&mut self, mut each: impl FnMut(&[u8])) {
        let line = mem::take(&mut self.line);
        if !line.is_empty() {
            self.line(&line, &mut each);
        }
        self.line(b"", &mut each);
    }

    fn line(&mut self, line: &[u8], each: &mut impl FnMut(&[u8])) {
        if line.is_empty() {
            if !self.overflown && !self.event.is_empty() {
                each(&self.event);
            }
            self.event.clear();
            self.overflown = false;
        } else if let Some(value) = line.strip_prefix(b"data:") {
            if !self.event.is_empty() {
                self.event.push(b'\n');
            }
            self.event
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&str], bytes_max: usize) -> Vec<String> {
        let mut events = Events::new(bytes_max);
        let mut read = Vec::new();
        let mut each = |data: &[u8]| read.push(String::from_utf8_lossy(data).into_owned());
        for chunk in chunks {
            events.take(chunk.as_bytes(), &mut each);
        }
        events.end(&mut each);
        read
    }

    #[test]
    fn events_are_whole_wherever_the_stream_is_cut() {
        let stream = ": hi\nevent: x\ndata: {\"a\":\r\ndata: 1}\n\ndata:two\n\n\n\nid: 7\n\ndata: last";
        let whole = read(&[stream], 1000);
        assert_eq!(whole, ["{\"a\":\n1}", "two", "last"]);
        for at in 0..stream.len() {
            assert_eq!(read(&[&stream[..at], &stream[at..]], 1000), whole, "cut at {at}");
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_left_out_alone() {
        let long = "x".repeat(50);
        let stream = format!("data: one\n\ndata: {long}\ndata: more\n\ndata: two\n\n");
        assert_eq!(read(&[&stream], 40), ["one", "two"]);
    }
}
