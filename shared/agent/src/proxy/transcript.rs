//! What a run has asked its model and was answered, as JSON lines. Written from the traffic: an agent cannot forge it.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, Hash as _, Hasher, RandomState};
use std::mem;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::api::Api;
use super::ledger::Settled;
use super::redact::Redactor;
use super::reply::Refusal;
use crate::Ended;

/// How much of one text is kept: a long file, or the output of a command.
const TEXT_BYTES_MAX: usize = 32 * 1024;

/// The longest line. What is longer loses what the agent sent, which the answer then has to explain.
const LINE_BYTES_MAX: usize = 512 * 1024;

/// The first lines are kept up to so many bytes.
const HEAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// And the last ones up to so many: what a run ends with matters most, and nobody can push it out.
const TAIL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Refused requests that get a line; all are counted.
const REFUSED_LINES_MAX: u32 = 200;

/// Beginnings of conversations that are remembered, to tell what is new. A run has some thousands.
const KNOWN_MAX: usize = 100_000;

/// The log of one run.
pub(super) struct Transcript {
    redactor: Arc<Redactor>,
    head: Vec<u8>,
    tail: VecDeque<Vec<u8>>,
    tail_bytes: usize,
    left_out: u64,
    refused_lines: u32,
    requests: u64,
    /// Hashes of what was written already: with a key, so that nobody can make two texts look the same.
    known: HashSet<u64>,
    hashing: RandomState,
}

/// One request, on its way to a line.
pub(super) struct Entry {
    line: Map<String, Value>,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// What was answered.
    pub(super) answer: Value,
    /// Whether the tokens are an estimate.
    pub(super) estimated: bool,
}

/// How a request ended.
pub(super) enum Outcome {
    /// With an answer.
    Answered,
    /// It was not sent: no budget.
    NotSent(Ended),
    /// The answer was cut off: no budget.
    CutOff(Ended),
    /// The endpoint had no answer.
    Failed(String),
    /// The client went away.
    Abandoned,
}

impl Transcript {
    pub(super) fn new(redactor: Arc<Redactor>) -> Self {
        Self {
            redactor,
            head: Vec::new(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            left_out: 0,
            refused_lines: 0,
            requests: 0,
            known: HashSet::new(),
            hashing: RandomState::new(),
        }
    }

    /// Begins the line of a request: what in it was not in one before. `removed` is what was taken out of it.
    pub(super) fn entry(&mut self, api: Api, body: &Map<String, Value>, removed: Vec<String>) -> Entry {
        self.requests += 1;
        let mut line = Map::new();
        line.insert("time".to_owned(), Timestamp::now().to_string().into());
        line.insert("request".to_owned(), self.requests.into());
        line.insert("api".to_owned(), api.route().into());
        for field in ["system", "instructions", "tools"] {
            if let Some(value) = body.get(field)
                && self.is_new(field, value)
            {
                line.insert(field.to_owned(), self.tidy(value));
            }
        }
        let conversation = body.get("messages").or_else(|| body.get("input"));
        let new: Value = match conversation {
            Some(Value::Array(messages)) => {
                let known = self.known_beginning(messages);
                messages[known..]
                    .iter()
                    .map(|message| self.tidy(message))
                    .collect()
            }
            Some(other) => json!([self.tidy(other)]),
            None => json!([]),
        };
        line.insert("new".to_owned(), new);
        if !removed.is_empty() {
            line.insert("removed".to_owned(), self.tidy(&removed.into()));
        }
        Entry {
            line,
            outcome: Outcome::Abandoned,
            answer: Value::Null,
            estimated: true,
        }
    }

    /// Writes the line of a request that has ended, with what it has used.
    pub(super) fn write(&mut self, entry: Entry, settled: Option<&Settled>) {
        let Entry {
            mut line,
            outcome,
            answer,
            estimated,
        } = entry;
        let mut put = |name: &str, value: Value| {
            line.insert(name.to_owned(), value);
        };
        match outcome {
            Outcome::Answered => {}
            Outcome::NotSent(ended) => put("not_sent", format!("{ended:?}").into()),
            Outcome::CutOff(ended) => put("cut_off", format!("{ended:?}").into()),
            Outcome::Failed(error) => put("error", self.redactor.clean(&error).into()),
            Outcome::Abandoned => put("abandoned", true.into()),
        }
        if answer.as_object().is_some_and(|answer| !answer.is_empty()) {
            put("answer", self.tidy(&answer));
        }
        if let Some(Settled { turn, tokens, usd }) = settled {
            put("turn", (*turn).into());
            let mut usage = json!({"input": tokens.input, "cached": tokens.cached, "output": tokens.output});
            if let Some(usd) = usd {
                usage["usd"] = (*usd).into();
            }
            if estimated {
                usage["estimated"] = true.into();
            }
            put("usage", usage);
        }
        self.push(line);
    }

    /// Writes that a request was refused here.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        if self.refused_lines < REFUSED_LINES_MAX {
            self.refused_lines += 1;
            let mut line = Map::new();
            line.insert("time".to_owned(), Timestamp::now().to_string().into());
            line.insert("status".to_owned(), refusal.status.as_u16().into());
            line.insert("refused".to_owned(), self.tidy(&refusal.message.as_str().into()));
            self.push(line);
        }
    }

    /// Takes all lines; what had no room is said where it was.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut lines = mem::take(&mut self.head);
        if self.left_out > 0 {
            let note = json!({"left_out": self.left_out});
            lines.extend_from_slice(format!("{note}\n").as_bytes());
        }
        for line in mem::take(&mut self.tail) {
            lines.extend_from_slice(&line);
        }
        lines
    }

    fn push(&mut self, mut line: Map<String, Value>) {
        let mut text = text_of(&line);
        for field in ["tools", "new", "system", "instructions", "answer"] {
            if text.len() < LINE_BYTES_MAX {
                break;
            }
            if let Some(value) = line.get_mut(field) {
                *value = format!("[{} bytes cut]", value.to_string().len()).into();
                text = text_of(&line);
            }
        }
        text.push('\n');
        let bytes = text.into_bytes();
        if self.tail.is_empty() && self.head.len() + bytes.len() <= HEAD_BYTES_MAX {
            self.head.extend_from_slice(&bytes);
            return;
        }
        self.tail_bytes += bytes.len();
        self.tail.push_back(bytes);
        while self.tail_bytes > TAIL_BYTES_MAX
            && let Some(oldest) = self.tail.pop_front()
        {
            self.tail_bytes -= oldest.len();
            self.left_out += 1;
        }
    }

    /// How many of the messages begin a conversation that was seen already. Agents send all of it each time, and have
    /// several at once.
    fn known_beginning(&mut self, messages: &[Value]) -> usize {
        let mut known = 0;
        let mut before = 0_u64;
        for (index, message) in messages.iter().enumerate() {
            let mut hasher = self.hashing.build_hasher();
            before.hash(&mut hasher);
            feed(message, &mut hasher);
            before = hasher.finish();
            if !self.remember(before) {
                known = index + 1;
            }
        }
        known
    }

    fn is_new(&mut self, field: &str, value: &Value) -> bool {
        let mut hasher = self.hashing.build_hasher();
        field.hash(&mut hasher);
        feed(value, &mut hasher);
        let hash = hasher.finish();
        self.remember(hash)
    }

    fn remember(&mut self, hash: u64) -> bool {
        if self.known.len() >= KNOWN_MAX {
            // What comes is written in full once more.
            self.known.clear();
        }
        self.known.insert(hash)
    }

    /// A copy without secrets, every text clipped.
    fn tidy(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.tidy_text(text).into(),
            Value::Array(items) => items.iter().map(|item| self.tidy(item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (self.tidy_text(name), self.tidy(value)))
                .collect(),
            other => other.clone(),
        }
    }

    fn tidy_text(&self, text: &str) -> String {
        let clean = self.redactor.clean_beginning(text, TEXT_BYTES_MAX);
        if text.len() <= TEXT_BYTES_MAX {
            return clean.into_owned();
        }
        format!("{clean}… [{} bytes cut]", text.len() - clean.len())
    }
}

fn text_of(line: &Map<String, Value>) -> String {
    serde_json::to_string(line).expect("JSON values can be written")
}

/// Feeds a value to a hasher, so that what means the same is the same: without Anthropic's cache marks, which move
/// along the conversation, and with content that is one text as the text, as which Claude Code writes it once its mark
/// is gone.
fn feed(value: &Value, hasher: &mut impl Hasher) {
    mem::discriminant(value).hash(hasher);
    match value {
        Value::Null => {}
        Value::Bool(flag) => flag.hash(hasher),
        Value::Number(number) => number.hash(hasher),
        Value::String(text) => text.hash(hasher),
        Value::Array(items) => {
            items.len().hash(hasher);
            for item in items {
                feed(item, hasher);
            }
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| *name != "cache_control");
            for (name, value) in fields {
                name.hash(hasher);
                feed(only_text(name, value).unwrap_or(value), hasher);
            }
        }
    }
}

/// The text of content that is one part of text.
fn only_text<'value>(name: &str, value: &'value Value) -> Option<&'value Value> {
    let [part] = value.as_array()?.as_slice() else {
        return None;
    };
    let text = part.get("text").filter(|text| text.is_string())?;
    (name == "content" && part["type"] == "text").then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript() -> Transcript {
        Transcript::new(Arc::new(Redactor::new(&["the-secret".into()]).unwrap()))
    }

    fn lines(transcript: &mut Transcript) -> Vec<Value> {
        let text = String::from_utf8(transcript.take()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn ask(transcript: &mut Transcript, body: &Value) {
        let body = body.as_object().unwrap();
        let entry = transcript.entry(Api::Messages, body, Vec::new());
        transcript.write(entry, None);
    }

    #[test]
    fn a_line_has_what_the_conversation_had_not_before() {
        let mut log = transcript();
        let tools = json!([{"name": "bash"}]);
        let marked = json!({"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "x"}}]});
        let plain = json!({"role": "user", "content": "a"});
        let other = json!({"role": "user", "content": "title?"});
        let reply = json!({"role": "assistant", "content": "b"});
        let next = json!({"role": "user", "content": "c"});
        ask(
            &mut log,
            &json!({"system": "s", "tools": tools, "messages": [marked]}),
        );
        ask(&mut log, &json!({"system": "t", "messages": [other]}));
        ask(
            &mut log,
            &json!({"system": "s", "tools": tools, "messages": [plain, reply, next]}),
        );
        ask(&mut log, &json!({"messages": [reply, next]}));
        let lines = lines(&mut log);
        assert_eq!(lines[0]["tools"], tools);
        assert_eq!(
            (&lines[1]["system"], &lines[1]["new"]),
            (&json!("t"), &json!([other]))
        );
        assert_eq!(lines[2]["new"], json!([reply, next]));
        assert!(lines[2].get("tools").is_none() && lines[2].get("system").is_none());
        // Another beginning is another conversation.
        assert_eq!(lines[3]["new"], json!([reply, next]));
    }

    #[test]
    fn secrets_are_taken_out_before_texts_are_cut() {
        let mut log = transcript();
        let text = format!("{}the-secret and more", "x".repeat(TEXT_BYTES_MAX - 5));
        ask(&mut log, &json!({"messages": [{"the-secret": text}]}));
        let line = lines(&mut log).remove(0).to_string();
        assert!(
            !line.contains("the-") && line.contains("bytes cut"),
            "{}",
            &line[line.len() - 200..]
        );
    }

    #[test]
    fn a_long_run_keeps_its_beginning_and_its_end() {
        let mut log = transcript();
        let text = "x".repeat(TEXT_BYTES_MAX);
        let count = 2 + (HEAD_BYTES_MAX + TAIL_BYTES_MAX) / TEXT_BYTES_MAX;
        for number in 0..count {
            ask(&mut log, &json!({"messages": [format!("{number}"), text]}));
        }
        let lines = lines(&mut log);
        assert_eq!(
            (&lines[0]["request"], &lines[0]["new"][0]),
            (&json!(1), &json!("0"))
        );
        assert_eq!(lines.last().unwrap()["request"], json!(count));
        let left_out: Vec<u64> = lines
            .iter()
            .filter_map(|line| line["left_out"].as_u64())
            .collect();
        assert_eq!(left_out.len(), 1);
        assert_eq!(lines.len() - 1 + usize::try_from(left_out[0]).unwrap(), count);
    }

    #[test]
    fn a_line_that_is_too_long_loses_what_was_sent() {
        let mut log = transcript();
        let parts: Vec<String> = (0..20).map(|_| "x".repeat(TEXT_BYTES_MAX)).collect();
        let body = json!({"messages": [parts]});
        let mut entry = log.entry(Api::Chat, body.as_object().unwrap(), Vec::new());
        entry.answer = json!({"text": "kept"});
        log.write(entry, None);
        let line = lines(&mut log).remove(0);
        assert!(line["new"].as_str().unwrap().ends_with("bytes cut]"));
        assert_eq!(line["answer"]["text"], "kept");
    }

    #[test]
    fn refused_requests_cannot_fill_the_log() {
        let mut log = transcript();
        for _ in 0..2 * REFUSED_LINES_MAX {
            log.refused(&Refusal::new(hyper::StatusCode::NOT_FOUND, "GET /the-secret"));
        }
        let lines = lines(&mut log);
        assert_eq!(lines.len(), REFUSED_LINES_MAX as usize);
        assert_eq!(lines[0]["refused"], "GET /[secret]");
    }
}
