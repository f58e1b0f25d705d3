//! The grammar as people type it: the documented vectors, every verb, every option, every refusal, edits, hostile text.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod edits;
mod hostile;
mod options;
mod vectors;
mod verbs;

use config::Position;
use mention_parser::detect::{Found, detect};
use pipeline::mention::Command;

/// The mention that counts in a comment.
fn found(comment: &str) -> Option<Found> {
    detect(comment, &["openhands".to_owned()], Position::Anywhere)
}

/// What the comment asks for.
#[track_caller]
fn command(comment: &str) -> Command {
    found(comment)
        .unwrap_or_else(|| panic!("no mention in {comment:?}"))
        .command
}

/// A command in one line: verb, argument in parentheses, text in quotes, options as JSON; or the refusal as JSON.
fn told(comment: &str) -> String {
    let Some(found) = found(comment) else {
        return "nothing".to_owned();
    };
    let command = found.command;
    if let Some(refused) = &command.refused {
        return format!(
            "refused {}",
            serde_json::to_string(refused).expect("it has string keys")
        );
    }
    let mut parts = vec![
        serde_json::to_string(&command.verb)
            .expect("it is a word")
            .replace('"', ""),
    ];
    parts.extend(command.argument.map(|argument| format!("({argument})")));
    if !command.text.is_empty() {
        parts.push(format!("{:?}", command.text));
    }
    if !command.options.is_empty() {
        parts.push(serde_json::to_string(&command.options).expect("it has string keys"));
    }
    parts.extend(command.nearly.map(|near| format!("nearly {}", near.meant)));
    parts.extend(
        command
            .ignored_verbs
            .iter()
            .map(|verb| format!("not {}", verb.name())),
    );
    parts.join(" ")
}

#[track_caller]
fn check(comment: &str, expected: &str) {
    assert_eq!(told(comment), expected, "comment: {comment:?}");
}
