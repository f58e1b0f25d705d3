//! One linear conversation, in the words all APIs share, and how it is kept within the model's context window.

use serde_json::{Map, Value};

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    /// From outside: the task, or a word on what was wrong with an answer.
    User(String),
    /// An answer of the model, its parts in their order.
    Model(Vec<Part>),
    /// The results of the tools that the answer before it called, each exactly once.
    Results(Vec<ToolResult>),
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// Words.
    Text(String),
    /// A tool call.
    Call(Call),
    /// Something that the API wants back as it was and that means nothing here: signed thoughts.
    Opaque(Value),
}

/// A tool call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    /// What its result is matched by; unique in the conversation.
    pub(super) id: String,
    /// The tool.
    pub(super) name: String,
    /// Its arguments; none when they could not be understood, as endpoints insist on an object.
    pub(super) arguments: Map<String, Value>,
}

/// What a tool call came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToolResult {
    /// [`Call::id`].
    pub(super) id: String,
    /// For the model.
    pub(super) text: String,
    /// Whether it was not done.
    pub(super) failed: bool,
}

/// How long a conversation may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Above this many bytes, outputs are dropped.
    pub(super) bytes_max: usize,
    /// Until this many are left: well below the limit, as each cut costs the endpoint its cached prefix.
    pub(super) bytes_after_cut: usize,
}

impl Window {
    /// That of a model which takes so many tokens at once. A token is about four bytes; a fifth is left to the answer, the
    /// system's words and to texts whose tokens are shorter.
    pub(super) fn of(tokens: usize) -> Self {
        Self {
            bytes_max: tokens * 25 / 8,
            bytes_after_cut: tokens * 2,
        }
    }

    /// A window that these messages do not fit in, and of which they leave half free once cut.
    pub(super) fn below(messages: &[Message]) -> Self {
        let bytes = size(messages);
        Self {
            bytes_max: bytes.saturating_sub(1),
            bytes_after_cut: bytes / 2,
        }
    }
}

/// How many of the latest messages are never cut: the model has not acted on them yet.
const LATEST_MESSAGES_KEPT: usize = 4;

/// Stands where an output was.
const DROPPED: &str = "[output dropped]";

/// Drops the oldest tool outputs of a conversation that is too long. Says whether it dropped any.
///
/// Everything else stays: the task, and what the model said and called. When that alone is too long, the endpoint says
/// so.
pub(super) fn cut(messages: &mut [Message], window: Window) -> bool {
    let bytes = size(messages);
    if bytes <= window.bytes_max {
        return false;
    }
    let old = messages.len().saturating_sub(LATEST_MESSAGES_KEPT);
    let mut left = bytes;
    let results = messages[..old].iter_mut().filter_map(|message| match message {
        Message::Results(results) => Some(results),
        Message::User(_) | Message::Model(_) => None,
    });
    for result in results.flatten() {
        if left <= window.bytes_after_cut {
            break;
        }
        if result.text.len() > DROPPED.len() {
            left -= result.text.len() - DROPPED.len();
            DROPPED.clone_into(&mut result.text);
        }
    }
    if left < bytes {
        tracing::debug!(bytes, left, "dropped old outputs from a conversation");
    }
    left < bytes
}

/// The bytes of a conversation's texts, which is nearly all of what is sent.
fn size(messages: &[Message]) -> usize {
    let part = |part: &Part| match part {
        Part::Text(text) => text.len(),
        Part::Call(call) => call.name.len() + json_size(&call.arguments),
        Part::Opaque(value) => value_size(value),
    };
    messages
        .iter()
        .map(|message| match message {
            Message::User(text) => text.len(),
            Message::Model(parts) => parts.iter().map(part).sum(),
            Message::Results(results) => results.iter().map(|result| result.text.len()).sum(),
        })
        .sum()
}

fn json_size(object: &Map<String, Value>) -> usize {
    object
        .iter()
        .map(|(name, value)| name.len() + value_size(value))
        .sum()
}

fn value_size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(value_size).sum(),
        Value::Object(object) => json_size(object),
        // Short, whatever it is.
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> Vec<Message> {
        let mut messages = vec![Message::User("t".repeat(100))];
        for number in 0..6 {
            messages.push(Message::Model(vec![Part::Text("a".repeat(10))]));
            messages.push(Message::Results(vec![ToolResult {
                id: format!("c{number}"),
                text: "o".repeat(100),
                failed: false,
            }]));
        }
        messages
    }

    fn window(bytes_max: usize, bytes_after_cut: usize) -> Window {
        Window {
            bytes_max,
            bytes_after_cut,
        }
    }

    fn outputs(messages: &[Message]) -> String {
        let results = messages.iter().filter_map(|message| match message {
            Message::Results(results) => Some(results),
            Message::User(_) | Message::Model(_) => None,
        });
        results
            .flatten()
            .map(|result| if result.text == DROPPED { '-' } else { 'o' })
            .collect()
    }

    #[test]
    fn a_short_conversation_stays_as_it_is() {
        let mut messages = conversation();
        assert!(!cut(&mut messages, window(1000, 500)));
        assert_eq!(messages, conversation());
    }

    #[test]
    fn the_oldest_outputs_go_first_and_only_as_many_as_needed() {
        let mut messages = conversation();
        assert!(cut(&mut messages, window(700, 650)));
        assert_eq!(outputs(&messages), "--oooo");
        assert_eq!(messages[0], conversation()[0]);
    }

    #[test]
    fn a_refused_conversation_is_cut_to_half_its_size() {
        let mut messages = conversation();
        let refused = size(&messages);
        let window = Window::below(&messages);
        assert!(cut(&mut messages, window));
        assert!(
            size(&messages) <= refused * 6 / 10,
            "{} of {refused}",
            size(&messages)
        );
    }

    #[test]
    fn the_latest_messages_are_kept_whatever_the_limit() {
        let mut messages = conversation();
        assert!(cut(&mut messages, window(10, 5)));
        assert_eq!(outputs(&messages), "----oo");
        assert!(!cut(&mut messages, window(10, 5)), "nothing is left to drop");
    }

    #[test]
    fn arguments_and_thoughts_count_towards_the_size() {
        let arguments = serde_json::json!({"new": "n".repeat(50), "list": ["x".repeat(20)]});
        let call = Call {
            id: "c".to_owned(),
            name: "edit".to_owned(),
            arguments: arguments.as_object().cloned().unwrap_or_default(),
        };
        let thought = Part::Opaque(serde_json::json!({"signature": "s".repeat(30)}));
        let bytes = size(&[Message::Model(vec![Part::Call(call), thought])]);
        assert!((100..130).contains(&bytes), "{bytes}");
    }
}
