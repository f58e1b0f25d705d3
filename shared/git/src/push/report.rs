//! What a server says to a push: git's report, and what hooks have printed, made fit for people to read.

use anyhow::{Context as _, ensure};

/// Bytes of a server's words that reach a reply.
const PRESENTABLE_BYTES_MAX: usize = 2 * 1024;

/// The report-status of a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    unpack: String,
    /// Ref and reason of every `ng`.
    refused: Vec<(String, String)>,
    accepted: Vec<String>,
    messages: Vec<u8>,
}

impl Report {
    /// From the report's pkt-lines and what came beside them.
    pub(super) fn parse(mut lines: &[u8], messages: Vec<u8>) -> anyhow::Result<Self> {
        let mut report = Self {
            unpack: String::new(),
            refused: Vec::new(),
            accepted: Vec::new(),
            messages,
        };
        while let Some((line, rest)) = pkt_line(lines)? {
            lines = rest;
            let line = String::from_utf8_lossy(line);
            let line = line.trim_end_matches('\n');
            match line.split_once(' ') {
                Some(("unpack", state)) => state.clone_into(&mut report.unpack),
                Some(("ok", name)) => report.accepted.push(name.to_owned()),
                Some(("ng", rest)) => {
                    let (name, reason) = rest.split_once(' ').unwrap_or((rest, "no reason given"));
                    report.refused.push((name.to_owned(), reason.to_owned()));
                }
                // `option` lines of newer versions say nothing about success.
                _ => {}
            }
        }
        ensure!(
            !report.unpack.is_empty(),
            "the server closed the connection without a report"
        );
        Ok(report)
    }

    /// Whether the branch is where we wanted it.
    pub(super) fn accepted(&self, branch: &str) -> bool {
        self.unpack == "ok" && self.accepted.iter().any(|name| name == branch)
    }

    /// What to tell the person: the hooks' words, or git's where they were silent.
    pub(super) fn presentable(&self, branch: &str) -> String {
        let said = clean(&String::from_utf8_lossy(&self.messages));
        if !said.is_empty() {
            return said;
        }
        if self.unpack != "ok" {
            return clean(&self.unpack);
        }
        let reason = self
            .refused
            .iter()
            .find(|(name, _)| name == branch)
            .map(|(_, reason)| reason.as_str());
        clean(reason.unwrap_or("the server gave no reason"))
    }
}

/// One pkt-line and what follows it; `None` at a flush or the end.
fn pkt_line(bytes: &[u8]) -> anyhow::Result<Option<(&[u8], &[u8])>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let length = bytes.get(..4).context("a cut-off line in the report")?;
    let length = usize::from_str_radix(std::str::from_utf8(length)?, 16)?;
    if length < 4 {
        return Ok(None);
    }
    let line = bytes.get(4..length).context("a cut-off line in the report")?;
    Ok(Some((line, &bytes[length..])))
}

/// No control characters or escape sequences, no invisible direction marks, no frames of banner characters, no more
/// than a comment takes. What is left is data all the same: whoever shows it has to quote it.
fn clean(text: &str) -> String {
    let mut cleaned = String::new();
    for line in strip_escapes(text).split(['\n', '\r']) {
        let line: String = line
            .replace('\t', " ")
            .chars()
            .filter(|c| !c.is_control() && !is_invisible(*c))
            .collect();
        let line = line.trim_matches(|c: char| c.is_whitespace() || is_frame(c));
        if line.is_empty() {
            continue;
        }
        if !cleaned.is_empty() {
            cleaned.push('\n');
        }
        for c in line.chars() {
            if cleaned.len() + c.len_utf8() > PRESENTABLE_BYTES_MAX - '…'.len_utf8() {
                cleaned.push('…');
                return cleaned;
            }
            cleaned.push(c);
        }
    }
    cleaned
}

/// `ESC [ … letter` and `ESC ] … BEL`, also cut off at the end.
fn strip_escapes(text: &str) -> String {
    let mut stripped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '\u{1b}' {
            stripped.push(c);
            continue;
        }
        match characters.next() {
            Some('[') => while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
            Some(']') => while characters.next().is_some_and(|c| c != '\u{7}' && c != '\n') {},
            _ => {}
        }
    }
    stripped
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What Bitbucket and hook authors draw boxes with.
fn is_frame(c: char) -> bool {
    matches!(c, '-' | '=' | '*' | '#' | '_' | '~' | '|' | '+') || ('\u{2500}'..='\u{257f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &str, messages: &str, accepted: bool, presentable: &str) {
        let report = Report::parse(lines.as_bytes(), messages.as_bytes().to_vec()).unwrap();
        assert_eq!(report.accepted("refs/heads/x"), accepted);
        assert_eq!(report.presentable("refs/heads/x"), presentable);
    }

    #[test]
    fn a_report_says_whether_the_branch_was_taken() {
        check(
            "000eunpack ok\n0014ok refs/heads/x\n0000",
            "",
            true,
            "the server gave no reason",
        );
        check(
            "000eunpack ok\n0014ok refs/heads/y\n0000",
            "",
            false,
            "the server gave no reason",
        );
        check(
            "000eunpack ok\n0021ng refs/heads/x hook declined0000",
            "",
            false,
            "hook declined",
        );
        check(
            "0012unpack broken\n0014ok refs/heads/x\n0000",
            "",
            false,
            "broken",
        );
    }

    #[test]
    fn a_cut_off_report_is_an_error() {
        assert!(Report::parse(b"", Vec::new()).is_err());
        assert!(Report::parse(b"000eunpa", Vec::new()).is_err());
        assert!(Report::parse(b"zzzz", Vec::new()).is_err());
    }

    #[test]
    fn what_a_hook_prints_is_made_presentable() {
        let banner = "\u{1b}[31m----------\u{1b}[0m\r\n| No \u{202e}ticket in\tthe message |\n----------\n\n\u{1b}]0;pwned\u{7}Ask Bob.";
        check(
            "000eunpack ok\n000ang x y0000",
            banner,
            false,
            "No ticket in the message\nAsk Bob.",
        );
        let long = "ä".repeat(5_000);
        let cleaned = clean(&long);
        assert!(cleaned.len() <= PRESENTABLE_BYTES_MAX && cleaned.ends_with('…'));
    }
}
