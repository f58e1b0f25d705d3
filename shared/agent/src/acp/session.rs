//! One task over the protocol: `initialize`, `session/new`, `session/prompt`.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::connection::{Broken, Connection, Message, Refusal};
use super::settings;
use super::updates::Updates;
use crate::driver::{Launch, Said, tell};
use crate::text::Tail;
use crate::{Ended, Progress, prompt};

/// The version we speak. Agents may answer another one; all that were tried answered this.
const PROTOCOL_VERSION: u64 = 1;

/// How long an agent may take to get ready, each of the few steps. The slowest one tried took 15 s on an idle machine.
const READY_WAIT: Duration = Duration::from_mins(2);

/// One conversation.
pub(super) struct Session<'a> {
    launch: &'a Launch<'a>,
    connection: Connection,
    progress: mpsc::Sender<Progress>,
    updates: Updates,
    /// Known from `session/new` on.
    id: Option<String>,
    /// We have asked it to stop.
    cancelled: bool,
}

/// Why the conversation did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("the agent refused {method} with {}: {}", refusal.code, refusal.message)]
    Refused { method: &'static str, refusal: Refusal },
    #[error("the agent did not answer {method} within {} s", READY_WAIT.as_secs())]
    Silent { method: &'static str },
    #[error("the agent began no session")]
    NoSession,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        launch: &'a Launch<'a>,
        connection: Connection,
        progress: mpsc::Sender<Progress>,
    ) -> Self {
        Self {
            launch,
            connection,
            progress,
            updates: Updates::default(),
            id: None,
            cancelled: false,
        }
    }

    /// Has the task done. Returns when the agent says that its turn is over, or when it cannot be talked to any more.
    /// `set_provider` tells it over the protocol where the model is, if it takes that.
    pub(super) async fn talk(mut self, set_provider: bool) -> Said {
        let ended = self.work(set_provider).await;
        let (garbage, too_long) = self.connection.garbage();
        if garbage + too_long > 0 {
            tracing::debug!(run.id = %self.launch.task.run, garbage, too_long, "lines of the agent were no messages");
        }
        let mut summary = self.updates.into_summary();
        let ended = ended.unwrap_or_else(|failed| {
            tracing::debug!(run.id = %self.launch.task.run, %failed, "the conversation with the agent ended");
            if summary.is_empty() && !matches!(failed, Failed::Broken(Broken::Closed)) {
                let mut said = Tail::default();
                said.push(&failed.to_string());
                summary = said.into_text();
            }
            Some(Ended::Crashed)
        });
        Said {
            summary,
            ended,
            ..Said::default()
        }
    }

    async fn work(&mut self, set_provider: bool) -> Result<Option<Ended>, Failed> {
        let task = self.launch.task;
        let client = json!({"name": "openhands-resolver", "version": env!("CARGO_PKG_VERSION")});
        let capabilities = json!({
            "protocolVersion": PROTOCOL_VERSION, "clientCapabilities": {}, "clientInfo": client,
        });
        let offered = self.ask("initialize", capabilities).await?;
        if offered["protocolVersion"] != PROTOCOL_VERSION {
            tracing::debug!(version = %offered["protocolVersion"], "the agent speaks another version; trying ours");
        }
        let offered = &offered["agentCapabilities"];
        if set_provider && !offered["providers"].is_null() {
            self.set_provider().await?;
        }
        let mut params = json!({"cwd": task.work_tree, "mcpServers": []});
        let mut text = prompt::whole(task);
        if !offered["sessionCapabilities"]["systemPrompt"].is_null() {
            let rules = [json!({"type": "text", "text": prompt::RULES})];
            params["systemPrompt"] = json!({"mode": "append", "content": rules});
            text.clone_from(&task.brief);
        }
        let session = self.ask("session/new", params).await?;
        let id = session["sessionId"].as_str().ok_or(Failed::NoSession)?.to_owned();
        self.id = Some(id.clone());
        let wanted = [
            settings::allow_all(&session, &id),
            settings::choose_model(&session, &id, self.launch.model),
        ];
        for (method, params) in wanted.into_iter().flatten() {
            // Offered and then refused: permission requests are answered anyway, and the model is in its settings.
            if let Err(Failed::Refused { refusal, .. }) = self.ask(method, params).await {
                tracing::debug!(method, ?refusal, "the agent refused a setting that it offers");
            }
        }
        let prompt = json!({"sessionId": id, "prompt": [{"type": "text", "text": text}]});
        let number = self.connection.ask("session/prompt", prompt)?;
        let done = self.answer_to("session/prompt", number).await?;
        Ok(match done["stopReason"].as_str() {
            Some("max_turn_requests") => Some(Ended::TurnLimit),
            Some("max_tokens") => Some(Ended::TokenLimit),
            Some("cancelled") if !self.cancelled => Some(Ended::Crashed),
            // The limit that made us ask it to stop is known to who runs it.
            Some("cancelled") => None,
            _ => Some(Ended::Finished),
        })
    }

    async fn set_provider(&mut self) -> Result<(), Failed> {
        let list = self.ask("providers/list", json!({})).await?;
        let Launch {
            provider,
            base_url,
            key,
            ..
        } = self.launch;
        if let Some(params) = settings::set_provider(&list, *provider, base_url, key) {
            self.ask("providers/set", params).await?;
        }
        Ok(())
    }

    /// Asks something that takes no long work.
    async fn ask(&mut self, method: &'static str, params: Value) -> Result<Value, Failed> {
        let number = self.connection.ask(method, params)?;
        let until = Instant::now() + READY_WAIT;
        let answered = timeout_at(until, self.answer_to(method, number)).await;
        answered.unwrap_or(Err(Failed::Silent { method }))
    }

    /// Attends to the agent until it answers request `number`. Answers to requests that we did not make, or that were
    /// answered already, are passed over.
    async fn answer_to(&mut self, method: &'static str, number: u64) -> Result<Value, Failed> {
        loop {
            let message = tokio::select! {
                message = self.connection.next() => message?,
                () = self.launch.stop.cancelled(), if !self.cancelled => {
                    self.cancel()?;
                    continue;
                }
            };
            match message {
                Message::Answer { id, result } if id == number => {
                    return result.map_err(|refusal| Failed::Refused { method, refusal });
                }
                Message::Answer { id, .. } => tracing::debug!(id, "the agent answered what was not asked"),
                Message::Request { id, method, params } => self.attend(id, &method, &params)?,
                Message::Notification { method, params } if method == "session/update" => {
                    if let Some(step) = self.updates.read(&params) {
                        tell(&self.progress, Progress::Step(step));
                    }
                }
                Message::Notification { method, .. } => {
                    tracing::trace!(method, "the agent told what we do not know");
                }
            }
        }
    }

    /// Asks the agent to stop; before there is a session there is nothing that could.
    fn cancel(&mut self) -> Result<(), Broken> {
        self.cancelled = true;
        match &self.id {
            Some(id) => self.connection.tell("session/cancel", json!({"sessionId": id})),
            None => Ok(()),
        }
    }

    /// Answers a request of the agent. Files and terminals are not offered: it has its own, in its cell.
    fn attend(&self, id: Value, method: &str, params: &Value) -> Result<(), Broken> {
        if method != "session/request_permission" {
            return self.connection.refuse(id, method);
        }
        let outcome = match allowing(params).filter(|_| !self.cancelled) {
            Some(option) => json!({"outcome": "selected", "optionId": option}),
            None => json!({"outcome": "cancelled"}),
        };
        self.connection.answer(id, json!({"outcome": outcome}))
    }
}

/// The option that allows what the agent asks for, this once if possible. A question is no boundary: what an agent
/// may do is decided by its cell.
fn allowing(params: &Value) -> Option<&Value> {
    let options = params["options"].as_array()?;
    let of_kind = |kind: &str| options.iter().find(|option| option["kind"] == kind);
    let option = of_kind("allow_once").or_else(|| of_kind("allow_always"))?;
    Some(&option["optionId"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_is_given_once_where_that_is_offered() {
        let options = |kinds: &[&str]| {
            let options: Vec<_> = kinds
                .iter()
                .map(|kind| json!({"kind": kind, "optionId": format!("id of {kind}")}))
                .collect();
            json!({"options": options})
        };
        for (kinds, chosen) in [
            (
                &["allow_always", "reject_once", "allow_once"][..],
                Some("id of allow_once"),
            ),
            (&["reject_once", "allow_always"], Some("id of allow_always")),
            (&["reject_once", "reject_always"], None),
            (&[], None),
        ] {
            assert_eq!(allowing(&options(kinds)).and_then(Value::as_str), chosen);
        }
        assert_eq!(allowing(&json!({})), None);
    }
}
