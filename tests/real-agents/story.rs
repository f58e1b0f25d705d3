//! What happens to every agent: alice asks, the model has it edit one file, the resolver pushes.

use std::time::Instant;

use agent::{Kind, Preset};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tests::children::processes_of;
use tests::inside;
use tests::setup::{FILE, Setup};
use tests::thread;
use tests::waiting::until;
use tests::world::World;

use crate::ONE_MAX;

/// What the model has run; the last word shows up in its output, and nowhere else.
const COMMAND: &str = "sed -i 's/a - b/a + b/' src/lib.rs && echo edited-$((40 + 2))";
/// By which the model knows that the edit was made.
const EDITED: &str = "edited-42";
/// How much of a message is shown where an agent has not made the edit.
const LAST_TOLD_BYTES: usize = 600;
const SUMMARY: &str = "Add instead of subtract.";

/// What was seen of one agent.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The edit is on the branch.
    pub(crate) edited: bool,
    /// Model calls and tokens, as in the run record.
    pub(crate) turns: u32,
    /// Tokens in and out.
    pub(crate) tokens: u64,
    /// The level of the sandbox that it ran in.
    pub(crate) level: u8,
    /// Processes of the run that lived after it.
    pub(crate) survivors: usize,
    /// From the comment to the final reply.
    pub(crate) seconds: f64,
    /// The first line of the reply, where the edit is not there.
    pub(crate) said: String,
}

impl Seen {
    /// Nothing, as something went wrong before.
    pub(crate) fn failed(error: &anyhow::Error) -> Self {
        Self {
            said: format!("{error:#}"),
            ..Self::default()
        }
    }
}

/// Plays it.
pub(crate) async fn play(preset: &Preset, kind: Kind) -> Result<Seen> {
    let setup = Setup {
        config: format!("[agent]\nkind = \"{kind}\"\npreset = \"{}\"\n", preset.name),
        ack_wait_seconds: 30,
        ..Setup::default()
    };
    let world = World::start(setup).await?;
    world.script(script(&preset.name)?);
    let started = Instant::now();
    let comment = world
        .alice()
        .comments(1, "@openhands this subtracts, please fix")
        .await?;
    let pull_request = world.pull_request(1);
    let reply = until(ONE_MAX, || async {
        thread::final_reply(&pull_request.comments().await, comment)
    })
    .await;
    let seconds = started.elapsed().as_secs_f64();
    let reply = reply.with_context(|| format!("no final reply\n{}", world.logs()))?;
    let nats = inside::connect(&world).await?;
    let run = inside::runs(&nats).await?.pop().context("there is no run")?;
    let edited = pull_request.file(FILE).await.contains("a + b");
    let trees = world.data_dir().join("work");
    let survivors = processes_of(&trees)?.len();
    let said = if edited {
        String::new()
    } else {
        format!(
            "{}
{}",
            reply.text,
            last_told(&world)
        )
    };
    world.stop().await?;
    Ok(Seen {
        level: run.setup.map_or(0, |setup| setup.sandbox.level),
        edited,
        turns: run.usage.turns,
        tokens: run.usage.input_tokens + run.usage.output_tokens,
        survivors,
        seconds,
        said,
    })
}

/// The ends of the last messages that the model was sent: where a tool that did not do its work says why.
fn last_told(world: &World) -> String {
    let requests = world.model.requests();
    let last = requests.iter().map(|request| {
        let messages = ["/messages", "/input"]
            .iter()
            .find_map(|at| request.body.pointer(at)?.as_array());
        let message = messages
            .and_then(|messages| messages.last())
            .unwrap_or(&Value::Null);
        let text = message.to_string();
        let from = text.ceil_char_boundary(text.len().saturating_sub(LAST_TOLD_BYTES));
        format!("the model was told: {}", &text[from..])
    });
    last.collect::<Vec<_>>().join("\n")
}

/// How often the model asks for the edit: agents ask it for titles and summaries, too, and pay no attention to tools
/// there. Once all is done it asks for nothing more.
const EDITS_MAX: u32 = 3;

/// The same edit in the tools of each agent.
pub(crate) fn script(preset: &str) -> Result<Value> {
    let description = "Correct the operator";
    let (tool, arguments) = match preset {
        "opencode" => ("bash", json!({"command": COMMAND, "description": description})),
        "codex" => ("exec_command", json!({"cmd": COMMAND})),
        "claude" => ("Bash", json!({"command": COMMAND, "description": description})),
        "goose" => ("shell", json!({"command": COMMAND})),
        "openhands" => ("terminal", json!({"command": COMMAND, "security_risk": "LOW"})),
        "qwen" => (
            "run_shell_command",
            json!({"command": COMMAND, "description": description, "is_background": false}),
        ),
        "mini-swe-agent" => ("bash", json!({"command": COMMAND})),
        "aider" => return Ok(json!([{"reply": {"text": EDIT_OF_AIDER}}])),
        other => anyhow::bail!("nobody has written down what tools {other} has: see story.rs"),
    };
    let edit = json!({"tool_calls": [{"name": tool, "arguments": arguments}]});
    let finish = match preset {
        "mini-swe-agent" => json!({"tool_calls": [{"name": "bash", "arguments": {
            "command": format!("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; echo '{SUMMARY}'"),
        }}]}),
        _ => json!({"text": SUMMARY}),
    };
    Ok(json!([
        {"when": EDITED, "reply": finish},
        {"times": EDITS_MAX, "reply": edit},
        {"reply": {"text": SUMMARY}},
    ]))
}

/// It has no tools: edits are texts of this form.
const EDIT_OF_AIDER: &str = "\
src/lib.rs
```
<<<<<<< SEARCH
    a - b
=======
    a + b
>>>>>>> REPLACE
```
";
