//! The script: which request is answered how.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

/// The longest a rule may delay or hold an answer. Longer than any client's own time-out, short enough that a
/// forgotten hold does not keep a test machine busy for ever.
pub(crate) const WAIT_MAX: Duration = Duration::from_mins(10);

/// Rules in order; the first that matches and has uses left answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Script(
    /// The rules, first match first.
    pub Vec<Rule>,
);

impl Script {
    /// Reads a script from its JSON text. Fails with the place and the reason in words.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        serde_json::from_str(text).map_err(|error| anyhow::anyhow!("the script is not valid: {error}"))
    }

    /// Reads a script from a JSON value, for scripts written with `json!`.
    pub fn from_value(value: Value) -> anyhow::Result<Self> {
        Self::parse(&value.to_string())
    }
}

impl From<Vec<Rule>> for Script {
    fn from(rules: Vec<Rule>) -> Self {
        Self(rules)
    }
}

/// One rule of a script.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Matches when the last user or tool message contains this; empty or absent matches every request.
    #[serde(default)]
    pub when: String,
    /// The answers, one after the other, starting again after the last one. Never empty when parsed.
    #[serde(deserialize_with = "one_or_more")]
    pub reply: Vec<Reply>,
    /// How many requests the rule answers; absent means all.
    #[serde(default)]
    pub times: Option<u64>,
}

impl Rule {
    /// A rule without a limit of uses that answers every match the same way.
    pub fn new(when: impl Into<String>, reply: Reply) -> Self {
        Self {
            when: when.into(),
            reply: vec![reply],
            times: None,
        }
    }

    /// The same rule, used up after `times` requests.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }
}

/// One answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "ReplyFields")]
pub enum Reply {
    /// A well-formed answer of the model: text, tool calls, or both.
    Message {
        /// The text, if any.
        text: Option<String>,
        /// The tool calls, in order.
        tool_calls: Vec<ToolCall>,
        /// How it is sent.
        delivery: Delivery,
    },
    /// An error answer in the shape of the API that was asked.
    Status {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header, if any: seconds or an HTTP date.
        retry_after: Option<String>,
        /// What the error says, if anything particular.
        message: Option<String>,
    },
    /// Waits, then answers.
    Delay {
        /// How long.
        delay: Duration,
        /// What comes after it.
        then: Box<Reply>,
    },
    /// Waits for a release, then answers; 504 after ten minutes.
    Hold {
        /// What comes after the release.
        then: Box<Reply>,
    },
    /// Status 200 and this text as `application/json`, whatever it is.
    Garbage(String),
}

impl Reply {
    /// A plain text answer.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Message {
            text: Some(text.into()),
            tool_calls: Vec::new(),
            delivery: Delivery::default(),
        }
    }

    /// An answer that calls one tool. An `arguments` that is a string is sent as it is, so that it can be malformed.
    pub fn tool_call(name: impl Into<String>, arguments: Value) -> Self {
        Self::Message {
            text: None,
            tool_calls: vec![ToolCall {
                name: name.into(),
                arguments,
            }],
            delivery: Delivery::default(),
        }
    }

    /// An error answer without `Retry-After`.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            retry_after: None,
            message: None,
        }
    }

    /// Holds the request until a release, then answers.
    pub fn hold(then: Reply) -> Self {
        Self::Hold { then: Box::new(then) }
    }
}

/// A tool call of a scripted answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// The arguments: an object, or a string that is sent as it is.
    #[serde(default = "no_arguments")]
    pub arguments: Value,
}

impl ToolCall {
    /// The arguments as OpenAI's APIs carry them: JSON in a string.
    pub(crate) fn arguments_text(&self) -> String {
        match &self.arguments {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// How an answer is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// What it says about tokens.
    pub usage: SaidUsage,
    /// Streams wait for a release after so many events.
    pub hold_after: Option<usize>,
    /// Streams break off after so many events, as when the endpoint dies.
    pub cut_after: Option<usize>,
}

/// What an answer says about tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SaidUsage {
    /// A quarter of the bytes.
    #[default]
    Estimated,
    /// Nothing.
    Nothing,
    /// These numbers.
    Given(Tokens),
}

/// Tokens of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Sent, cached ones included.
    pub input: usize,
    /// Of them, those found in the cache.
    #[serde(default)]
    pub cached: usize,
    /// Written.
    pub output: usize,
}

impl TryFrom<Value> for SaidUsage {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        if value == Value::Bool(false) {
            return Ok(Self::Nothing);
        }
        serde_json::from_value(value)
            .map(Self::Given)
            .map_err(|error| format!("usage is false or {{input, cached, output}}: {error}"))
    }
}

fn no_arguments() -> Value {
    Value::Object(serde_json::Map::new())
}

/// A reply as written: exactly one of `text` and/or `tool_calls`, `status`, `delay_ms`, `hold`, `garbage`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyFields {
    text: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
    status: Option<u16>,
    retry_after: Option<Value>,
    message: Option<String>,
    delay_ms: Option<u64>,
    hold: Option<bool>,
    garbage: Option<String>,
    then: Option<Box<Reply>>,
    usage: Option<Value>,
    hold_after: Option<usize>,
    cut_after: Option<usize>,
}

impl TryFrom<ReplyFields> for Reply {
    type Error = String;

    fn try_from(fields: ReplyFields) -> Result<Self, String> {
        let kinds = [
            fields.text.is_some() || fields.tool_calls.is_some(),
            fields.status.is_some(),
            fields.delay_ms.is_some(),
            fields.hold == Some(true),
            fields.garbage.is_some(),
        ];
        if kinds.iter().filter(|set| **set).count() != 1 {
            return Err(
                "a reply is exactly one of {text and/or tool_calls}, {status}, {delay_ms, then}, \
                        {hold: true, then} and {garbage}"
                    .to_owned(),
            );
        }
        if (fields.retry_after.is_some() || fields.message.is_some()) && fields.status.is_none() {
            return Err("retry_after and message go with status only".to_owned());
        }
        if fields.then.is_some() && fields.delay_ms.is_none() && fields.hold != Some(true) {
            return Err("then goes with delay_ms or hold only".to_owned());
        }
        let delivery = Delivery {
            usage: fields
                .usage
                .map_or(Ok(SaidUsage::default()), SaidUsage::try_from)?,
            hold_after: fields.hold_after,
            cut_after: fields.cut_after,
        };
        if delivery != Delivery::default() && !kinds[0] {
            return Err("usage, hold_after and cut_after go with text or tool_calls only".to_owned());
        }
        let then = fields
            .then
            .unwrap_or_else(|| Box::new(Reply::text("done waiting")));
        if let Some(status) = fields.status {
            let retry_after = fields.retry_after.map(retry_after_text).transpose()?;
            return if (100..=599).contains(&status) {
                Ok(Reply::Status {
                    status,
                    retry_after,
                    message: fields.message,
                })
            } else {
                Err(format!("{status} is not an HTTP status"))
            };
        }
        if let Some(delay_ms) = fields.delay_ms {
            let delay = Duration::from_millis(delay_ms);
            return if delay <= WAIT_MAX {
                Ok(Reply::Delay { delay, then })
            } else {
                Err(format!("delay_ms is at most {}", WAIT_MAX.as_millis()))
            };
        }
        Ok(match (fields.hold, fields.garbage) {
            (Some(true), _) => Reply::Hold { then },
            (_, Some(garbage)) => Reply::Garbage(garbage),
            _ => Reply::Message {
                text: fields.text,
                tool_calls: fields.tool_calls.unwrap_or_default(),
                delivery,
            },
        })
    }
}

fn retry_after_text(value: Value) -> Result<String, String> {
    match value {
        Value::Number(seconds) => Ok(seconds.to_string()),
        Value::String(text) => Ok(text),
        other => Err(format!(
            "retry_after is a number of seconds or a date, not {other}"
        )),
    }
}

/// A single reply is a list of one. Not an untagged enum: that would hide which field is wrong.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Reply>, D::Error> {
    let replies = match Value::deserialize(deserializer)? {
        Value::Array(steps) => steps
            .into_iter()
            .map(serde_json::from_value)
            .collect::<Result<Vec<Reply>, _>>(),
        one => serde_json::from_value(one).map(|reply| vec![reply]),
    }
    .map_err(D::Error::custom)?;
    if replies.is_empty() {
        Err(D::Error::custom("a rule needs at least one reply"))
    } else {
        Ok(replies)
    }
}
