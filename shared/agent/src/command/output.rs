//! What a command's output means.

use serde_json::Value;

use crate::json;
use crate::preset::LineRule;
use crate::text::{self, Tail};

/// Output being read.
pub(super) struct Output<'a> {
    rules: &'a [LineRule],
    /// What the rules found.
    said: Option<String>,
    /// The output itself.
    plain: Tail,
}

impl<'a> Output<'a> {
    /// Output whose JSON lines mean what `rules` say; without rules it is plain text.
    pub(super) fn new(rules: &'a [LineRule]) -> Self {
        Self {
            rules,
            said: None,
            plain: Tail::default(),
        }
    }

    /// Reads a line; returns the step that it tells of.
    pub(super) fn read(&mut self, line: &[u8]) -> Option<String> {
        let parsed = || json::value(line).ok();
        let Some(object) = Some(self.rules)
            .filter(|rules| !rules.is_empty())
            .and_then(|_| parsed())
        else {
            self.plain.push(&String::from_utf8_lossy(line));
            self.plain.push("\n");
            return None;
        };
        let mut step = None;
        for rule in self.rules.iter().filter(|rule| meant(rule, &object)) {
            let said = rule.said.as_ref().and_then(|at| object.pointer(at)?.as_str());
            if let Some(said) = said.filter(|said| !said.trim().is_empty()) {
                let mut tail = Tail::default();
                tail.push(said);
                self.said = Some(tail.into_text());
            }
            let parts = rule.step.iter().filter_map(|at| object.pointer(at));
            let parts: Vec<_> = parts.map(shown).collect();
            step = text::step(&parts.join(" ")).or(step);
        }
        step
    }

    /// What the rules found; where they found nothing, the end of the plain lines.
    pub(super) fn summary(self) -> String {
        self.said.unwrap_or_else(|| self.plain.into_text())
    }
}

fn meant(rule: &LineRule, object: &Value) -> bool {
    let mut values = rule.when.iter();
    values.all(|(at, value)| object.pointer(at).and_then(Value::as_str) == Some(value))
}

fn shown(part: &Value) -> String {
    part.as_str().map_or_else(|| part.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Vec<LineRule> {
        #[derive(serde::Deserialize)]
        struct Rules {
            line: Vec<LineRule>,
        }
        let text = r#"
            [[line]]
            when = { "/type" = "tool" }
            step = ["/name", "/input/command"]
            [[line]]
            when = { "/type" = "text" }
            said = "/text"
        "#;
        toml::from_str::<Rules>(text).unwrap().line
    }

    #[test]
    fn json_lines_become_steps_and_the_last_text_the_summary() {
        let rules = rules();
        let mut output = Output::new(&rules);
        let tool = r#"{"type":"tool","name":"bash","input":{"command":"cargo\n test"}}"#;
        assert_eq!(output.read(tool.as_bytes()).as_deref(), Some("bash cargo test"));
        for line in [
            r#"{"type":"text","text":"first"}"#,
            r#"{"type":"text","text":"last"}"#,
            r#"{"type":"text","text":" "}"#,
            r#"{"type":7}"#,
            "[]",
            "not JSON",
        ] {
            assert_eq!(output.read(line.as_bytes()), None, "{line}");
        }
        assert_eq!(output.summary(), "last");
    }

    #[test]
    fn plain_output_is_its_own_summary() {
        let mut output = Output::new(&[]);
        for line in [&b"{\"type\":\"text\"}"[..], b"Done.\xff", b""] {
            assert_eq!(output.read(line), None);
        }
        assert_eq!(output.summary(), "{\"type\":\"text\"}\nDone.\u{fffd}");
    }
}
