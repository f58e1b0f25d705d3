//! JSON-RPC 2.0, one message per line, both ways.

use std::convert::Infallible;
use std::io;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Sender;
use tokio::sync::mpsc;

use crate::driver::Streams;
use crate::json;
use crate::lines::Lines;

/// The longest message read. Updates repeat whole files, before and after.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Messages that may wait for an agent to read them. We send one at a time, but an agent may ask much and read nothing.
const WAITING_MAX: usize = 256;

/// What is wrong with lines that are no messages is logged for this many; the rest are counted.
const GARBAGE_LOGGED_MAX: u64 = 3;

/// "Method not found" of JSON-RPC.
const METHOD_NOT_FOUND: i64 = -32601;

/// A message of the agent.
#[derive(Debug)]
pub(super) enum Message {
    /// It wants an answer to this, under this id.
    Request {
        id: Value,
        method: String,
        params: Value,
    },
    /// It tells something.
    Notification { method: String, params: Value },
    /// It answers the request of this number.
    Answer { id: u64, result: Result<Value, Refusal> },
}

/// An error object of JSON-RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: i64,
    pub(super) message: String,
}

/// Why nothing more can be said.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the agent has closed its output")]
    Closed,
    #[error("the agent's output cannot be read: {0}")]
    Read(io::Error),
    #[error("the agent does not read what it is told")]
    NotReading,
}

/// Our end of the conversation.
pub(super) struct Connection {
    lines: Lines<sandbox::OutputStream>,
    outgoing: mpsc::Sender<Value>,
    last_id: u64,
    garbage: u64,
}

/// Writes to the agent; see [`Writing::run`].
pub(super) struct Writing {
    stdin: Option<Sender>,
    outgoing: mpsc::Receiver<Value>,
}

impl Writing {
    /// Writes until the connection is dropped, which closes the agent's input. Runs beside the reading, as an agent
    /// may want to be read before it reads. Never returns: the end of the conversation is told by the reading.
    pub(super) async fn run(mut self) -> Infallible {
        while let Some(message) = self.outgoing.recv().await {
            let line = format!("{message}\n");
            if let Some(stdin) = &mut self.stdin
                && let Err(error) = stdin.write_all(line.as_bytes()).await
            {
                tracing::debug!(%error, "the agent has closed its input");
                self.stdin = None;
            }
        }
        drop(self.stdin);
        std::future::pending().await
    }
}

impl Connection {
    /// A connection over the pipes of a started agent.
    pub(super) fn over(streams: Streams) -> (Self, Writing) {
        let (sender, outgoing) = mpsc::channel(WAITING_MAX);
        let connection = Self {
            lines: Lines::new(streams.stdout, MESSAGE_BYTES_MAX),
            outgoing: sender,
            last_id: 0,
            garbage: 0,
        };
        let writing = Writing {
            stdin: streams.stdin,
            outgoing,
        };
        (connection, writing)
    }

    /// Asks something; returns the number under which the answer will come.
    pub(super) fn ask(&mut self, method: &str, params: Value) -> Result<u64, Broken> {
        self.last_id += 1;
        let id = self.last_id;
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        Ok(id)
    }

    /// Tells something.
    pub(super) fn tell(&self, method: &str, params: Value) -> Result<(), Broken> {
        self.send(json!({"jsonrpc": "2.0", "method": method, "params": params}))
    }

    /// Answers the agent's request `id`.
    pub(super) fn answer(&self, id: Value, result: Value) -> Result<(), Broken> {
        self.send(json!({"jsonrpc": "2.0", "id": id, "result": result}))
    }

    /// Refuses the agent's request `id`, whose method we do not offer.
    pub(super) fn refuse(&self, id: Value, method: &str) -> Result<(), Broken> {
        let message = format!("this client does not offer {method}");
        let error = json!({"code": METHOD_NOT_FOUND, "message": message});
        self.send(json!({"jsonrpc": "2.0", "id": id, "error": error}))
    }

    fn send(&self, message: Value) -> Result<(), Broken> {
        self.outgoing.try_send(message).map_err(|_| Broken::NotReading)
    }

    /// The next message. Lines that are none are counted and passed over: agents print to their output what belongs
    /// into a log. Can be dropped and called again without losing anything.
    pub(super) async fn next(&mut self) -> Result<Message, Broken> {
        loop {
            let line = self
                .lines
                .next()
                .await
                .map_err(Broken::Read)?
                .ok_or(Broken::Closed)?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            if let Some(message) = message(&line) {
                return Ok(message);
            }
            self.garbage += 1;
            if self.garbage <= GARBAGE_LOGGED_MAX {
                tracing::debug!(bytes = line.len(), "a line of the agent is no message");
            }
        }
    }

    /// How many lines were no messages, and how many were too long to tell.
    pub(super) fn garbage(&self) -> (u64, u64) {
        (self.garbage, self.lines.too_long())
    }
}

/// Reads one message, tolerantly: what decides is which members are there.
fn message(line: &[u8]) -> Option<Message> {
    let mut value = json::value(line).ok()?;
    let object = value.as_object_mut()?;
    let params = object.remove("params").unwrap_or_default();
    let id = object.remove("id").filter(|id| !id.is_null());
    if let Some(Value::String(method)) = object.remove("method") {
        return Some(match id {
            Some(id) => Message::Request { id, method, params },
            None => Message::Notification { method, params },
        });
    }
    // Some agents send numbers back as texts.
    let id = id?;
    let id = id.as_u64().or_else(|| id.as_str()?.parse().ok())?;
    let result = match object.remove("error").filter(|error| !error.is_null()) {
        Some(error) => Err(refusal(&error)),
        None => Ok(object.remove("result")?),
    };
    Some(Message::Answer { id, result })
}

/// The reason is often only in `data`.
fn refusal(error: &Value) -> Refusal {
    let said = error["message"].as_str().unwrap_or_default();
    let more = &error["data"];
    let more = ["/message", "/details", "/error", ""]
        .iter()
        .find_map(|at| more.pointer(at)?.as_str());
    let message = match more.filter(|more| *more != said) {
        Some(more) => format!("{said}: {more}"),
        None => said.to_owned(),
    };
    Refusal {
        code: error["code"].as_i64().unwrap_or_default(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_by_their_members() {
        for (line, wanted) in [
            (r#"{"id":1,"result":{}}"#, "answer"),
            (r#"{"jsonrpc":"2.0","id":"1","result":null}"#, "answer"),
            (r#"{"id":1,"error":{"code":-1,"message":"no"}}"#, "answer"),
            (
                r#"{"id":"a-b","method":"fs/read_text_file","params":{}}"#,
                "request",
            ),
            (r#"{"id":0,"method":"x"}"#, "request"),
            (r#"{"method":"session/update","params":{}}"#, "notification"),
            (r#"{"id":null,"method":"session/update"}"#, "notification"),
            (r#"{"id":1}"#, "garbage"),
            (r#"{"id":-1,"result":1}"#, "garbage"),
            (r#"{"id":"x","result":1}"#, "garbage"),
            ("[1]", "garbage"),
            ("starting…", "garbage"),
        ] {
            let found = match message(line.as_bytes()) {
                Some(Message::Answer { id, .. }) => {
                    assert_eq!(id, 1);
                    "answer"
                }
                Some(Message::Request { .. }) => "request",
                Some(Message::Notification { .. }) => "notification",
                None => "garbage",
            };
            assert_eq!(found, wanted, "{line}");
        }
    }

    #[test]
    fn the_reason_of_a_refusal_is_found_where_it_is() {
        for (error, wanted) in [
            (
                json!({"message": "Internal error", "data": {"details": "401"}}),
                "Internal error: 401",
            ),
            (
                json!({"message": "Internal error", "data": "401"}),
                "Internal error: 401",
            ),
            (json!({"message": "no", "data": {"other": 1}}), "no"),
            (json!({}), ""),
        ] {
            assert_eq!(refusal(&error).message, wanted, "{error}");
        }
    }
}
