//! What an agent tells while it works: `session/update`.

use serde_json::Value;

use crate::text::{self, Tail};

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Updates {
    /// The latest message; a tool call ends one.
    message: Tail,
    /// A tool call came after the latest piece of the message.
    ended: bool,
    last_step: Option<String>,
}

impl Updates {
    /// Reads the parameters of one update; returns the step that it tells of, unless it was told before.
    pub(super) fn read(&mut self, params: &Value) -> Option<String> {
        let update = &params["update"];
        let step = match update["sessionUpdate"].as_str()? {
            "agent_message_chunk" => {
                self.said(&update["content"]);
                None
            }
            "tool_call" => {
                self.ended = true;
                title(update)
            }
            // Agents begin a call without a title that says anything, and fill it in later.
            "tool_call_update" => title(update),
            "plan" => plan(&update["entries"]),
            _ => None,
        }?;
        let is_new = self.last_step.as_ref() != Some(&step);
        self.last_step = Some(step.clone());
        is_new.then_some(step)
    }

    /// The agent's last message.
    pub(super) fn into_summary(self) -> String {
        self.message.into_text()
    }

    fn said(&mut self, content: &Value) {
        let Some(text) = content["text"].as_str() else {
            return;
        };
        if std::mem::take(&mut self.ended) {
            self.message.clear();
        }
        self.message.push(text);
    }
}

fn title(update: &Value) -> Option<String> {
    text::step(update["title"].as_str()?)
}

/// The entry that is being worked on.
fn plan(entries: &Value) -> Option<String> {
    let mut entries = entries.as_array()?.iter();
    let current = entries.find(|entry| entry["status"] == "in_progress")?;
    text::step(current["content"].as_str()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chunk(text: &str) -> Value {
        json!({"update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}})
    }

    fn call(title: &str) -> Value {
        json!({"update": {"sessionUpdate": "tool_call", "toolCallId": "1", "title": title}})
    }

    #[test]
    fn the_last_message_is_the_summary_and_calls_are_steps() {
        let mut updates = Updates::default();
        let plan = json!({"update": {"sessionUpdate": "plan", "entries": [
            {"content": "read", "status": "completed"}, {"content": "edit", "status": "in_progress"}]}});
        let steps: Vec<_> = [
            chunk("I look."),
            call("cat a.rs"),
            call("cat a.rs"),
            plan,
            chunk("Do"),
            chunk("ne."),
            call("git diff"),
        ]
        .iter()
        .filter_map(|params| updates.read(params))
        .collect();
        assert_eq!(steps, ["cat a.rs", "edit", "git diff"]);
        assert_eq!(updates.into_summary(), "Done.");
    }

    #[test]
    fn updates_of_any_shape_are_borne() {
        let mut updates = Updates::default();
        for params in [
            json!(null),
            json!({"update": 7}),
            json!({"update": {"sessionUpdate": "tool_call", "title": 7}}),
            json!({"update": {"sessionUpdate": "plan", "entries": {}}}),
            json!({"update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "image"}}}),
            json!({"update": {"sessionUpdate": "new_thing"}}),
        ] {
            assert_eq!(updates.read(&params), None, "{params}");
        }
        assert_eq!(updates.into_summary(), "");
    }
}
