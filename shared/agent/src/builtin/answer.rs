//! What the model said, read as leniently as can be done without guessing.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::conversation::{Call, Message, Part};

/// How much of a malformed call or a wrong answer is quoted: enough to see what it is.
const QUOTE_CHARS_MAX: usize = 200;

/// The largest arguments of one call. Models write a few thousand tokens at once, which is a hundredth of it; what is
/// larger has gone wrong, and would fill the context for the rest of the run.
const ARGUMENTS_BYTES_MAX: usize = 1024 * 1024;

/// One answer as an API carries it.
#[derive(Debug)]
pub(super) struct Answered {
    /// Its parts, in their order.
    pub(super) parts: Vec<AnsweredPart>,
    /// False when it was cut off at its length limit.
    pub(super) whole: bool,
}

/// A part of an answer, before it is looked at.
#[derive(Debug)]
pub(super) enum AnsweredPart {
    /// Words.
    Text(String),
    /// A tool call; an absent field is empty or null.
    Call {
        /// Its id.
        id: String,
        /// The tool's name.
        name: String,
        /// An object, or JSON in a string.
        arguments: Value,
    },
    /// What has to be sent back as it is.
    Opaque(Value),
}

/// One answer of the model.
#[derive(Debug)]
pub(super) struct Turn {
    /// For the conversation; absent when the answer was empty.
    pub(super) message: Option<Message>,
    /// What it said in words.
    pub(super) text: Option<String>,
    /// The tools it calls, in order.
    pub(super) calls: Vec<Asked>,
    /// False when the answer was cut off at its length limit.
    pub(super) whole: bool,
}

/// A tool call that the model asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// The call, also when malformed, then with empty arguments.
    pub(super) call: Call,
    /// What is wrong with it, if it cannot be run.
    pub(super) malformed: Option<String>,
}

impl Turn {
    /// Looks at an answer. `number` is that of the answer in this run, and makes ids unique.
    pub(super) fn of(answered: Answered, number: u64) -> Self {
        let mut seen = BTreeSet::new();
        let (mut parts, mut calls, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for part in answered.parts {
            match part {
                AnsweredPart::Text(text) => {
                    let text = text.trim();
                    if !text.is_empty() {
                        texts.push(text.to_owned());
                        parts.push(Part::Text(text.to_owned()));
                    }
                }
                AnsweredPart::Opaque(value) => parts.push(Part::Opaque(value)),
                AnsweredPart::Call { id, name, arguments } => {
                    // Results are matched by id; some endpoints give none, or the same to all.
                    let id = if id.is_empty() || !seen.insert(id.clone()) {
                        format!("call-{number}-{}", calls.len())
                    } else {
                        id
                    };
                    let asked = tidy(id, name, arguments);
                    parts.push(Part::Call(asked.call.clone()));
                    calls.push(asked);
                }
            }
        }
        let text = (!texts.is_empty()).then(|| texts.join("\n\n"));
        // Thoughts alone are no message: endpoints refuse one that neither says nor calls anything.
        let message = (text.is_some() || !calls.is_empty()).then_some(Message::Model(parts));
        Self {
            message,
            text,
            calls,
            whole: answered.whole,
        }
    }
}

/// Makes the arguments of a call an object, which is what endpoints insist on when the conversation is sent back: an
/// empty one when they are malformed, with what is wrong.
fn tidy(id: String, name: String, arguments: Value) -> Asked {
    let read = if name.is_empty() {
        Err("it names no tool".to_owned())
    } else {
        object(arguments)
    };
    let (arguments, malformed) = match read {
        Ok(arguments) => (arguments, None),
        Err(why) => (Map::new(), Some(why)),
    };
    Asked {
        call: Call { id, name, arguments },
        malformed,
    }
}

fn object(arguments: Value) -> Result<Map<String, Value>, String> {
    let no_object =
        |said: &str, why: &str| format!("its arguments are no JSON object ({why}); they began with {said}");
    match arguments {
        Value::Object(arguments) => {
            let bytes = Value::Object(arguments.clone()).to_string().len();
            within_limit(bytes).map(|()| arguments)
        }
        // Tools without arguments are called with an empty string by some models.
        Value::String(text) if text.trim().is_empty() => Ok(Map::new()),
        Value::String(text) => {
            within_limit(text.len())?;
            match serde_json::from_str(&text) {
                // JSON in a string, once more than usual.
                Ok(Value::String(inner)) => serde_json::from_str(&inner)
                    .map_err(|error| no_object(&quote(&inner), &error.to_string())),
                Ok(Value::Object(arguments)) => Ok(arguments),
                Ok(_) => Err(no_object(&quote(&text), "it is another kind of JSON")),
                Err(error) => Err(no_object(&quote(&text), &error.to_string())),
            }
        }
        other => Err(no_object(
            &quote(&other.to_string()),
            "it is another kind of JSON",
        )),
    }
}

fn within_limit(bytes: usize) -> Result<(), String> {
    if bytes <= ARGUMENTS_BYTES_MAX {
        return Ok(());
    }
    Err(format!(
        "its arguments have {bytes} bytes, and {ARGUMENTS_BYTES_MAX} are the most; do it in several smaller steps"
    ))
}

/// The beginning of a foreign text, on one line and in quotes.
pub(super) fn quote(text: &str) -> String {
    let line: String = text
        .chars()
        .take(QUOTE_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("{line:?}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn called(name: &str, id: &str, arguments: Value) -> AnsweredPart {
        AnsweredPart::Call {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments,
        }
    }

    fn turn(parts: Vec<AnsweredPart>) -> Turn {
        Turn::of(Answered { parts, whole: true }, 7)
    }

    #[test]
    fn odd_but_clear_calls_are_taken() {
        for (arguments, expected) in [
            (json!("{\"command\": \"ls\"}"), json!({"command": "ls"})),
            (json!({"command": "ls"}), json!({"command": "ls"})),
            (
                json!("\"{\\\"command\\\": \\\"ls\\\"}\""),
                json!({"command": "ls"}),
            ),
            (json!("  "), json!({})),
        ] {
            let turn = turn(vec![called("bash", "a", arguments)]);
            assert_eq!(turn.calls[0].malformed, None);
            assert_eq!(Value::Object(turn.calls[0].call.arguments.clone()), expected);
        }
    }

    #[test]
    fn unclear_calls_are_kept_with_what_is_wrong() {
        for (name, arguments, wrong) in [
            ("bash", json!("{\"command\": "), "no JSON object (EOF"),
            ("bash", json!("[1]"), "no JSON object (it is another kind"),
            ("bash", json!("\"[1]\""), "no JSON object (invalid type"),
            ("bash", json!(7), "they began with \"7\""),
            ("bash", json!(null), "they began with \"null\""),
            ("", json!("{}"), "no tool"),
        ] {
            let turn = turn(vec![called(name, "a", arguments)]);
            let why = turn.calls[0].malformed.clone().unwrap_or_default();
            assert!(why.contains(wrong), "{why}");
            assert!(turn.calls[0].call.arguments.is_empty());
            assert!(turn.message.is_some());
        }
    }

    #[test]
    fn arguments_as_large_as_a_book_are_refused_in_either_form() {
        let new = "x".repeat(5_000_000);
        let object = json!({"path": "a", "old": "", "new": new});
        for arguments in [json!(object.to_string()), object] {
            let turn = turn(vec![called("edit", "a", arguments)]);
            let why = turn.calls[0].malformed.clone().unwrap_or_default();
            assert!(why.contains("bytes, and 1048576 are the most"), "{why}");
            assert!(turn.calls[0].call.arguments.is_empty());
        }
    }

    #[test]
    fn only_the_malformed_one_of_several_calls_is_marked() {
        let turn = turn(vec![
            AnsweredPart::Text(" text\n".to_owned()),
            called("bash", "a", json!("{}")),
            called("bash", "b", json!("{")),
        ]);
        let marked: Vec<bool> = turn.calls.iter().map(|call| call.malformed.is_some()).collect();
        assert_eq!(
            (marked.as_slice(), turn.text.as_deref()),
            (&[false, true][..], Some("text"))
        );
    }

    #[test]
    fn missing_and_doubled_ids_are_replaced() {
        let turn = turn(["a", "", "a"].map(|id| called("bash", id, json!("{}"))).into());
        let ids: Vec<&str> = turn.calls.iter().map(|asked| asked.call.id.as_str()).collect();
        assert_eq!(ids, ["a", "call-7-1", "call-7-2"]);
    }

    #[test]
    fn thoughts_without_words_are_no_message() {
        let turn = turn(vec![
            AnsweredPart::Opaque(json!({})),
            AnsweredPart::Text(" \n".to_owned()),
        ]);
        assert_eq!((turn.message, turn.text), (None, None));
    }

    #[test]
    fn a_quote_is_short_and_on_one_line() {
        assert_eq!(quote("a\nb\u{1b}"), "\"a b \"");
        assert_eq!(quote(&"x".repeat(1000)).len(), QUOTE_CHARS_MAX + 2);
    }
}
