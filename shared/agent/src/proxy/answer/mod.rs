//! Reads along what a model answers: its words and calls for the transcript, its tokens for the accounts.

mod chat;
mod messages;
mod responses;

use serde_json::{Value, json};

use super::api::Api;
use super::failed::quote;
use super::ledger::Tokens;
use crate::json;

/// How much of one text or of one call's arguments the transcript keeps.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Calls kept of one answer. Models make a few.
const CALLS_MAX: usize = 64;

/// How much of an error inside an answer is quoted.
const ERROR_CHARS_MAX: usize = 200;

/// An answer, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    text: Clipped,
    reasoning: Clipped,
    calls: Vec<Call>,
    /// Why the model stopped, in the API's word.
    stopped: Option<String>,
    /// Bytes of words and arguments.
    written: u64,
    /// What the endpoint says was used, so far.
    counted: Counted,
    /// Whether anything was an answer at all.
    begun: bool,
    /// The error that the endpoint put into it.
    failed: Option<String>,
}

/// Tokens as far as an endpoint has counted them.
#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    input: Option<u64>,
    cached: u64,
    written_5_minutes: u64,
    written_1_hour: u64,
    output: Option<u64>,
}

#[derive(Debug, Default)]
struct Call {
    /// By which the pieces of a streamed call are put together.
    index: u64,
    name: String,
    arguments: Clipped,
}

impl Answer {
    /// Reads a whole answer. Errs with the reason when it is none of `api`, or an error.
    pub(crate) fn of_whole(api: Api, body: &Value) -> Result<Self, String> {
        let mut answer = Self::default();
        match api {
            Api::Chat => chat::whole(body, &mut answer),
            Api::Responses => responses::whole(body, &mut answer),
            Api::Messages => messages::whole(body, &mut answer),
            Api::CountTokens => answer.begun = body["input_tokens"].is_u64(),
        }
        answer.complete().map(|()| answer)
    }

    /// Reads the next event of a stream.
    pub(crate) fn event(&mut self, api: Api, bytes: &[u8]) {
        // The end of chat streams is no JSON; neither is what some gateways send in between.
        let Ok(event) = json::value(bytes) else {
            return;
        };
        match api {
            Api::Chat => chat::event(&event, self),
            Api::Responses => responses::event(&event, self),
            Api::Messages => messages::event(&event, self),
            Api::CountTokens => {}
        }
    }

    /// Errs with the reason when this is no answer.
    pub(crate) fn complete(&self) -> Result<(), String> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.begun => Ok(()),
            None => Err("it has no answer of a model".to_owned()),
        }
    }

    /// Whether the endpoint has put an error into it.
    pub(crate) fn is_error(&self) -> bool {
        self.failed.is_some()
    }

    /// What it has used, where the endpoint has not (yet) counted by its length, with the request taken for
    /// `input_estimate` tokens.
    pub(crate) fn tokens(&self, input_estimate: u64) -> Tokens {
        let counted = &self.counted;
        // While a stream runs, the count of its beginning is out of date.
        let output = counted.output.unwrap_or(0);
        let output = if self.stopped.is_some() && counted.output.is_some() {
            output
        } else {
            output.max(Tokens::of_bytes(self.written))
        };
        Tokens {
            input: counted.input.unwrap_or(input_estimate),
            cached: counted.cached,
            written_5_minutes: counted.written_5_minutes,
            written_1_hour: counted.written_1_hour,
            output,
        }
    }

    /// Whether [`Answer::tokens`] is the endpoint's own count.
    pub(crate) fn is_counted(&self) -> bool {
        self.counted.input.is_some() && self.counted.output.is_some()
    }

    /// For the transcript.
    pub(crate) fn to_json(&self) -> Value {
        let mut json = json!({});
        for (name, text) in [("text", &self.text), ("reasoning", &self.reasoning)] {
            if !text.is_empty() {
                json[name] = text.to_text().into();
            }
        }
        if !self.calls.is_empty() {
            let calls = self.calls.iter();
            json["tool_calls"] = calls
                .map(|call| json!({"name": call.name, "arguments": call.arguments.to_text()}))
                .collect();
        }
        if let Some(stopped) = self.stopped.as_deref().filter(|word| !word.is_empty()) {
            json["stopped"] = stopped.into();
        }
        json
    }

    fn say(&mut self, text: &str) {
        self.begun = true;
        self.written = self.written.saturating_add(text.len() as u64);
        self.text.push(text);
    }

    fn reason(&mut self, text: &str) {
        self.begun = true;
        self.written = self.written.saturating_add(text.len() as u64);
        self.reasoning.push(text);
    }

    /// Adds to the call at `index`: to its name, to its arguments, or both.
    fn call(&mut self, index: u64, name: &str, arguments: &str) {
        self.begun = true;
        let bytes = name.len() + arguments.len();
        self.written = self.written.saturating_add(bytes as u64);
        let known = self.calls.iter().position(|call| call.index == index);
        let at = known.unwrap_or(self.calls.len());
        if at == self.calls.len() {
            if self.calls.len() >= CALLS_MAX {
                return;
            }
            self.calls.push(Call {
                index,
                ..Call::default()
            });
        }
        let call = &mut self.calls[at];
        if call.name.is_empty() {
            call.name = quote(name, ERROR_CHARS_MAX);
        }
        call.arguments.push(arguments);
    }

    fn stop(&mut self, reason: &Value) {
        if let Some(reason) = reason.as_str() {
            self.stopped = Some(quote(reason, ERROR_CHARS_MAX));
        }
    }

    /// Takes an error out of an answer, where there is one.
    fn fail(&mut self, error: &Value) {
        let said = match error {
            Value::Null => return,
            Value::String(text) => text.as_str(),
            other => other["message"].as_str().unwrap_or("an error without a message"),
        };
        self.failed = Some(quote(said, ERROR_CHARS_MAX));
    }
}

/// The beginning of a text that may be long.
#[derive(Debug, Default)]
struct Clipped {
    text: String,
    bytes: usize,
}

impl Clipped {
    fn push(&mut self, text: &str) {
        self.bytes = self.bytes.saturating_add(text.len());
        let room = TEXT_BYTES_MAX.saturating_sub(self.text.len());
        self.text.push_str(&text[..text.floor_char_boundary(room)]);
    }

    fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn to_text(&self) -> String {
        match self.bytes - self.text.len() {
            0 => self.text.clone(),
            cut => format!("{}… [{cut} bytes cut]", self.text),
        }
    }
}

#[cfg(test)]
mod tests;
