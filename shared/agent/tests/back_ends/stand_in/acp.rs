//! Ways of an agent that speaks the Agent Client Protocol.

use std::io::{self, BufRead as _, Write as _};

use serde_json::{Value, json};

use crate::model::Model;
use crate::{flood, for_ever, leave_a_daemon, make};

pub(crate) fn run(behaviour: &str, model: &Model) -> io::Result<()> {
    match behaviour {
        "silent" => for_ever(),
        "flooding" => return flood(),
        "babbling" => {
            println!("Welcome!\n{{\"half\": ");
            return Ok(());
        }
        _ => {}
    }
    let mut agent = Agent {
        behaviour,
        // One whose client has to say where the model is knows no way to it by itself.
        model: match behaviour {
            "offering" => model.at("http://127.0.0.1:1", "none"),
            _ => model.clone(),
        },
        rules: None,
    };
    while let Some(message) = receive()? {
        agent.hear(&message)?;
    }
    // Input is closed: the well-behaved ones end here.
    if behaviour == "lingering" {
        for_ever();
    }
    Ok(())
}

fn receive() -> io::Result<Option<Value>> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line)? {
        0 => Ok(None),
        _ => Ok(Some(serde_json::from_str(&line)?)),
    }
}

fn send(message: &Value) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{message}")?;
    out.flush()
}

fn answer(id: &Value, result: Value) -> io::Result<()> {
    send(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn update(update: Value) -> io::Result<()> {
    send(
        &json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s-1", "update": update}}),
    )
}

fn say(text: &str) -> io::Result<()> {
    update(json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}))
}

/// Asks the client something and waits for its answer.
fn ask(method: &str, params: Value) -> io::Result<Value> {
    send(&json!({"jsonrpc": "2.0", "id": "mine", "method": method, "params": params}))?;
    loop {
        let message = receive()?.ok_or_else(|| io::Error::other("nobody answers"))?;
        if message["id"] == "mine" {
            return Ok(message);
        }
    }
}

struct Agent<'a> {
    behaviour: &'a str,
    model: Model,
    /// The rules that came apart from the task.
    rules: Option<String>,
}

impl Agent<'_> {
    fn hear(&mut self, message: &Value) -> io::Result<()> {
        let (id, params) = (&message["id"], &message["params"]);
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => self.initialize(id, params),
            "session/new" if self.behaviour == "refusing" => {
                let error = json!({"code": -32000, "message": "Authentication required"});
                send(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
            }
            "providers/list" => answer(
                id,
                json!({"providers": [
                    {"providerId": "other", "supported": ["anthropic"]},
                    {"providerId": "mine", "supported": ["openai"]}]}),
            ),
            "providers/set" => {
                expect(
                    params["providerId"] == "mine",
                    "the provider that speaks its language",
                )?;
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let key = text(&params["headers"]["Authorization"]).replace("Bearer ", "");
                let base_url = text(&params["baseUrl"]).replace("/v1", "");
                self.model = self.model.at(&base_url, &key);
                answer(id, json!({}))
            }
            "session/new" => {
                let rules = params["systemPrompt"]["content"][0]["text"].as_str();
                self.rules = rules.map(str::to_owned);
                expect(
                    self.rules.is_none() || params["systemPrompt"]["mode"] == "append",
                    "rules beside its own",
                )?;
                expect(params["mcpServers"] == json!([]), "no servers")?;
                expect(
                    params["cwd"].as_str().is_some_and(|cwd| cwd.starts_with('/')),
                    "a directory",
                )?;
                let modes =
                    json!({"currentModeId": "default", "availableModes": [{"id": "yolo", "name": "Yolo"}]});
                answer(id, json!({"sessionId": "s-1", "modes": modes}))
            }
            "session/set_mode" => {
                expect(params["modeId"] == "yolo", "the mode that allows all")?;
                answer(id, json!({}))
            }
            "session/prompt" => self.work(id, params),
            _ => Ok(()),
        }
    }

    fn initialize(&self, id: &Value, params: &Value) -> io::Result<()> {
        expect(params["protocolVersion"] == 1, "version 1")?;
        expect(params["clientCapabilities"] == json!({}), "no capabilities")?;
        if self.behaviour == "disorderly" {
            answer(&json!(77), json!({"stopReason": "end_turn"}))?;
            answer(&json!(3), json!({"stopReason": "end_turn"}))?;
            say("too early")?;
        }
        let version = if self.behaviour == "version-2" { 2 } else { 1 };
        answer(
            id,
            json!({"protocolVersion": version, "agentCapabilities": self.offers(), "authMethods": []}),
        )?;
        if self.behaviour == "disorderly" {
            answer(id, json!({"protocolVersion": 1}))?;
        }
        Ok(())
    }

    fn offers(&self) -> Value {
        match self.behaviour {
            "offering" => json!({"providers": {}, "sessionCapabilities": {"systemPrompt": {}}}),
            _ => json!({}),
        }
    }

    fn work(&self, id: &Value, params: &Value) -> io::Result<()> {
        let task = params["prompt"][0]["text"].as_str().unwrap_or_default();
        match self.behaviour {
            "dying" => {
                say("I begin.")?;
                std::process::exit(1);
            }
            "crashing" => std::process::abort(),
            "slow" => return Self::wait_to_be_cancelled(id),
            "deaf" => {
                make()?;
                leave_a_daemon()?;
                for_ever();
            }
            "garbled" => garbage()?,
            "curious" => {
                for method in ["fs/read_text_file", "terminal/create", "elicitation/create"] {
                    let refused = ask(method, json!({"sessionId": "s-1", "path": "/etc/passwd"}))?;
                    expect(refused["error"]["code"] == -32601, "method not found")?;
                }
            }
            "lingering" => leave_a_daemon()?,
            "offering" => expect(self.rules.is_some(), "rules before the task")?,
            _ => expect(self.rules.is_none(), "no rules where none are offered")?,
        }
        match &self.rules {
            Some(rules) => self.model.ask(&format!("RULES: {rules}\nTASK: {task}"))?,
            None => self.model.ask(task)?,
        };
        if self.behaviour == "lying" {
            say("Done.")?;
            return answer(id, json!({"stopReason": "end_turn"}));
        }
        say("I make it.")?;
        update(json!({"sessionUpdate": "tool_call", "toolCallId": "1", "title": "write made.txt"}))?;
        let options = json!([
            {"optionId": "no", "name": "No", "kind": "reject_once"},
            {"optionId": "yes", "name": "Yes", "kind": "allow_once"}]);
        let call = json!({"sessionId": "s-1", "toolCall": {"toolCallId": "1"}, "options": options});
        let allowed = ask("session/request_permission", call)?;
        expect(allowed["result"]["outcome"]["optionId"] == "yes", "permission")?;
        make()?;
        say("Made ")?;
        say("it.")?;
        answer(id, json!({"stopReason": "end_turn"}))
    }

    fn wait_to_be_cancelled(id: &Value) -> io::Result<()> {
        say("I think.")?;
        update(json!({"sessionUpdate": "tool_call", "toolCallId": "1", "title": "thinking"}))?;
        while let Some(message) = receive()? {
            if message["method"] == "session/cancel" {
                make()?;
                say("I was stopped.")?;
                return answer(id, json!({"stopReason": "cancelled"}));
            }
        }
        Ok(())
    }
}

/// What is no message, and more of it than anybody wants to hold.
fn garbage() -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(b"\x1b[31mwarning\x1b[0m: \xff\xfe\n{\"jsonrpc\"\n[]\n\n")?;
    let piece = [b'x'; 16 * 1024];
    for _ in 0..1200 {
        out.write_all(&piece)?;
    }
    out.write_all(b"\n")
}

fn expect(is: bool, what: &str) -> io::Result<()> {
    if is {
        Ok(())
    } else {
        Err(io::Error::other(format!("expected {what}")))
    }
}
