//! The four tools: what the model is told of them, and what happens when it calls one.

mod bash;
mod edit;
mod tree;
mod view;

use std::path::PathBuf;
use std::sync::Arc;

use genai::chat::{Tool, ToolCall};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{Error, Limits, Task};
use tree::Tree;

/// How long a step shown to people may be.
const STEP_CHARS_MAX: usize = 100;

/// What a call came to.
pub(super) enum Outcome {
    /// It was done.
    Done(Done),
    /// It was understood and could not be done, for the reason given.
    Declined(String),
    /// It could not be understood, for the reason given.
    Malformed(String),
    /// The model is done.
    Finished(Finish),
    /// The task was stopped meanwhile.
    Stopped,
}

/// A call that was done.
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

/// What the model says at its end.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Finish {
    pub(super) summary: String,
    #[serde(default, deserialize_with = "lenient_list")]
    pub(super) not_done: Vec<String>,
    #[serde(default, deserialize_with = "lenient_list")]
    pub(super) questions: Vec<String>,
}

/// The tools over one task's work tree.
pub(super) struct Toolbox {
    tree: Arc<Tree>,
    work_tree: PathBuf,
    home: PathBuf,
    limits: Limits,
    stop: CancellationToken,
}

impl Toolbox {
    /// Opens the work tree. Everything the tools run ends when `stop` is cancelled.
    pub(super) fn new(task: &Task, stop: CancellationToken) -> Result<Self, Error> {
        let tree = Tree::open(&task.work_tree).map_err(|source| Error::WorkTree {
            path: task.work_tree.clone(),
            source,
        })?;
        let (work_tree, home) = (task.work_tree.clone(), task.home.clone());
        Ok(Self {
            tree: Arc::new(tree),
            work_tree,
            home,
            limits: task.limits,
            stop,
        })
    }

    /// Runs one call. Fails only where the machine failed.
    pub(super) async fn call(&self, call: &ToolCall) -> Result<Outcome, Error> {
        let arguments = &call.fn_arguments;
        match call.fn_name.as_str() {
            "bash" => match read(arguments) {
                Ok(arguments) => bash::run(self, arguments).await,
                Err(malformed) => Ok(malformed),
            },
            "view" => self.blocking(arguments, view::run).await,
            "edit" => self.blocking(arguments, edit::run).await,
            "finish" => Ok(read(arguments).map_or_else(|malformed| malformed, Outcome::Finished)),
            other => Ok(Outcome::Malformed(format!(
                "there is no tool {other:?}; there are bash, view, edit, finish"
            ))),
        }
    }

    /// File work goes to the blocking threads: a work tree may lie on a slow disk.
    async fn blocking<A: DeserializeOwned + Send + 'static>(
        &self,
        arguments: &Value,
        run: fn(&Tree, A) -> Result<Done, String>,
    ) -> Result<Outcome, Error> {
        let arguments = match read(arguments) {
            Ok(arguments) => arguments,
            Err(malformed) => return Ok(malformed),
        };
        let tree = Arc::clone(&self.tree);
        let done = tokio::task::spawn_blocking(move || run(&tree, arguments))
            .await
            .map_err(Error::Tool)?;
        Ok(match done {
            Ok(Done { result, step }) => Outcome::Done(Done {
                result,
                step: one_line(&step),
            }),
            Err(why) => Outcome::Declined(why),
        })
    }
}

fn read<A: DeserializeOwned>(arguments: &Value) -> Result<A, Outcome> {
    serde_json::from_value(arguments.clone()).map_err(|error| Outcome::Malformed(error.to_string()))
}

/// Models write one item as a bare string, and none as null.
fn lenient_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Items {
        List(Vec<String>),
        One(String),
        None(()),
    }
    Ok(match Items::deserialize(deserializer)? {
        Items::List(items) => items,
        Items::One(item) => vec![item],
        Items::None(()) => Vec::new(),
    })
}

/// A step as one short line.
fn one_line(step: &str) -> String {
    let mut line: String = step
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(STEP_CHARS_MAX)
        .collect();
    if step.chars().count() > STEP_CHARS_MAX {
        line.push('…');
    }
    line
}

/// The definitions sent with each request.
pub(super) fn definitions() -> Vec<Tool> {
    let text = |description: &str| json!({"type": "string", "description": description});
    let texts =
        |description: &str| json!({"type": "array", "items": {"type": "string"}, "description": description});
    let number = |description: &str| json!({"type": "integer", "minimum": 1, "description": description});
    let path = "Path of a file in the checkout, relative to it";
    [
        (
            "bash",
            "Runs a shell command in the checkout and returns its exit code and output.",
            json!({"command": text("The command")}),
            &["command"][..],
        ),
        (
            "view",
            "Shows a file as it is, or lists a directory.",
            json!({
                "path": text("Path in the checkout, relative to it"),
                "first_line": number("First line to show; absent: the first"),
                "last_line": number("Last line to show; absent: the last"),
            }),
            &["path"],
        ),
        (
            "edit",
            "Replaces a text that occurs exactly once in a file. An empty old creates the file with new as content.",
            json!({
                "path": text(path),
                "old": text("The text to replace, exactly as in the file, long enough to occur once"),
                "new": text("The text to put there"),
            }),
            &["path", "old", "new"],
        ),
        (
            "finish",
            "Ends the work.",
            json!({
                "summary": text("What was changed and why, in a few sentences"),
                "not_done": texts("What was asked and is not done"),
                "questions": texts("What you would have to know to go on"),
            }),
            &["summary"],
        ),
    ]
    .into_iter()
    .map(|(name, description, properties, required)| {
        let schema = json!({"type": "object", "properties": properties, "required": required});
        Tool::new(name).with_description(description).with_schema(schema)
    })
    .collect()
}
