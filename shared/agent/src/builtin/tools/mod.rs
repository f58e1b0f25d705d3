//! The five tools: what the model is told of them, and what happens when it calls one.

mod bash;
mod edit;
mod finish;
mod glob;
mod nearest;
mod search;
mod tree;
mod view;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::conversation::Call;
use super::line::Order;
pub(super) use finish::Finish;
use tree::Tree;

/// How long a step shown to people may be.
const STEP_CHARS_MAX: usize = 100;

/// The tools' names, in the order in which the model is told of them.
const NAMES: [&str; 5] = ["bash", "search", "view", "edit", "finish"];

/// What a call came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was done.
    Done(Done),
    /// It was understood and could not be done, for the reason given.
    Declined(String),
    /// It could not be understood, for the reason given.
    Malformed(String),
    /// The model is done.
    Finished(Finish),
}

/// A call that was done.
#[derive(Debug)]
pub(super) struct Done {
    /// For the model.
    pub(super) result: String,
    /// For people.
    pub(super) step: String,
}

impl Done {
    /// The same words for both.
    fn said(step: String) -> Self {
        Self {
            result: step.clone(),
            step,
        }
    }
}

/// The tools over one task's work tree.
pub(super) struct Toolbox {
    tree: Arc<Tree>,
    work_tree: PathBuf,
    command_wall: Duration,
    output_bytes: usize,
}

impl Toolbox {
    /// Opens the work tree of an order. Fails when it is not there.
    pub(super) fn open(order: &Order) -> io::Result<Self> {
        Ok(Self {
            tree: Arc::new(Tree::open(&order.work_tree)?),
            work_tree: order.work_tree.clone(),
            command_wall: order.command_wall,
            output_bytes: order.output_bytes,
        })
    }

    /// Runs one call. Whatever goes wrong is for the model to know.
    pub(super) async fn call(&self, call: &Call) -> Outcome {
        let arguments = &call.arguments;
        match call.name.as_str() {
            "bash" => match read(arguments) {
                Ok(arguments) => bash::run(self, arguments).await,
                Err(malformed) => malformed,
            },
            "search" => {
                let bytes_max = self.output_bytes;
                self.blocking(arguments, move |tree, arguments| {
                    search::run(tree, arguments, bytes_max)
                })
                .await
            }
            "view" => self.blocking(arguments, view::run).await,
            "edit" => self.blocking(arguments, edit::run).await,
            "finish" => read(arguments).map_or_else(|malformed| malformed, Outcome::Finished),
            other => Outcome::Malformed(format!(
                "there is no tool {:?}; there are {}",
                one_line(other),
                NAMES.join(", ")
            )),
        }
    }

    /// File work goes to a thread of its own: a work tree may lie on a slow disk.
    async fn blocking<A: DeserializeOwned + Send + 'static>(
        &self,
        arguments: &Map<String, Value>,
        run: impl FnOnce(&Tree, A) -> Result<Done, String> + Send + 'static,
    ) -> Outcome {
        let arguments = match read(arguments) {
            Ok(arguments) => arguments,
            Err(malformed) => return malformed,
        };
        let tree = Arc::clone(&self.tree);
        match tokio::task::spawn_blocking(move || run(&tree, arguments)).await {
            Ok(Ok(Done { result, step })) => Outcome::Done(Done {
                result,
                step: one_line(&step),
            }),
            Ok(Err(why)) => Outcome::Declined(why),
            Err(error) => Outcome::Declined(format!("the tool broke off: {error}")),
        }
    }
}

fn read<A: DeserializeOwned>(arguments: &Map<String, Value>) -> Result<A, Outcome> {
    serde_json::from_value(Value::Object(arguments.clone()))
        .map_err(|error| Outcome::Malformed(error.to_string()))
}

/// A step as one short line.
pub(super) fn one_line(step: &str) -> String {
    let mut line: String = step
        .chars()
        .take(STEP_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if step.chars().nth(STEP_CHARS_MAX).is_some() {
        line.push('…');
    }
    line
}

/// What the model is told of one tool.
pub(super) struct Definition {
    /// What it is called by.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) description: &'static str,
    /// JSON Schema of its arguments.
    pub(super) schema: Value,
}

/// The definitions sent with each request, in the order of [`NAMES`].
pub(super) fn definitions() -> Vec<Definition> {
    let text = |description: &str| json!({"type": "string", "description": description});
    let texts =
        |description: &str| json!({"type": "array", "items": {"type": "string"}, "description": description});
    let number = |description: &str| json!({"type": "integer", "minimum": 1, "description": description});
    let flag = |description: &str| json!({"type": "boolean", "description": description});
    let described = [
        (
            "Runs a shell command in the checkout and returns its exit code and output.",
            json!({"command": text("The command")}),
            &["command"][..],
        ),
        (
            "Finds the lines of files in the checkout that match a pattern, as path:line: text.",
            json!({
                "pattern": text("A regular expression, matched against each line"),
                "path": text("File or directory to look in, relative to the checkout; absent: all of it"),
                "glob": text("Only files of this name or path: *.rs, src/**/*.{ts,tsx}"),
                "literal": flag("Take the pattern as plain text"),
                "ignore_case": flag("Take upper and lower case as the same"),
            }),
            &["pattern"],
        ),
        (
            "Shows a file as it is, or lists a directory.",
            json!({
                "path": text("Path in the checkout, relative to it"),
                "first_line": number("First line to show; absent: the first"),
                "last_line": number("Last line to show; absent: the last"),
            }),
            &["path"],
        ),
        (
            "Replaces a text that occurs exactly once in a file. An empty old creates the file with new as content.",
            json!({
                "path": text("Path of a file in the checkout, relative to it"),
                "old": text("The text to replace, exactly as in the file, long enough to occur once"),
                "new": text("The text to put there"),
            }),
            &["path", "old", "new"],
        ),
        (
            "Ends the work.",
            json!({
                "summary": text("What was changed and why, in a few sentences"),
                "not_done": texts("What was asked and is not done"),
                "questions": texts("What you would have to know to go on"),
            }),
            &["summary"],
        ),
    ];
    NAMES
        .into_iter()
        .zip(described)
        .map(|(name, (description, properties, required))| Definition {
            name,
            description,
            schema: json!({"type": "object", "properties": properties, "required": required}),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_one_short_line() {
        assert_eq!(one_line("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(one_line(&"ä".repeat(100)), "ä".repeat(100));
        assert_eq!(one_line(&"ä".repeat(101)), "ä".repeat(100) + "…");
    }
}
