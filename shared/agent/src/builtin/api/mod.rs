//! The three APIs that models are asked through, each as two translations: of a conversation into a request, and of an
//! answer into its parts.

mod chat;
mod messages;
mod responses;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{Answered, quote};
use super::conversation::Message;
use super::tools::Definition;

/// An API of model endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// OpenAI's `POST /v1/chat/completions`, which every compatible endpoint has.
    Chat,
    /// OpenAI's `POST /v1/responses`.
    Responses,
    /// Anthropic's `POST /v1/messages`.
    Messages,
}

/// What is asked.
pub(super) struct Question<'a> {
    /// The model's name.
    pub(super) model: &'a str,
    /// The system message.
    pub(super) system: &'a str,
    /// The tools it may call.
    pub(super) tools: &'a [Definition],
    /// The conversation; the last message is from outside.
    pub(super) messages: &'a [Message],
    /// Whether thoughts are asked for in a form that can be sent back, where that has to be asked for.
    pub(super) sealed_thoughts: bool,
}

impl Api {
    /// The path under the proxy's base URL.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    /// The headers of a request that carries `key`.
    pub(super) fn headers(self, key: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::Chat | Self::Responses => vec![("authorization", format!("Bearer {key}"))],
            Self::Messages => vec![
                ("x-api-key", key.to_owned()),
                ("anthropic-version", messages::VERSION.to_owned()),
            ],
        }
    }

    /// The body of a request.
    pub(super) fn request(self, question: &Question<'_>) -> Value {
        match self {
            Self::Chat => chat::request(question),
            Self::Responses => responses::request(question),
            Self::Messages => messages::request(question),
        }
    }

    /// Reads the body of an answer with status 200. Fails with what is wrong: some gateways answer 200 with an error,
    /// or with something else entirely.
    pub(super) fn read(self, body: &Value) -> Result<Answered, String> {
        let read = match self {
            Self::Chat => chat::read(body),
            Self::Responses => responses::read(body),
            Self::Messages => messages::read(body),
        };
        read.ok_or_else(|| match error_message(body) {
            Some(said) => format!("status 200 with an error: {}", quote(said)),
            None => format!("it has no {}", self.expected()),
        })
    }

    /// The field an answer cannot do without.
    fn expected(self) -> &'static str {
        match self {
            Self::Chat => "choices",
            Self::Responses => "output",
            Self::Messages => "content",
        }
    }
}

/// What an error in any of the three shapes says: `{"error": {"message": …}}`, or the message by itself.
pub(super) fn error_message(body: &Value) -> Option<&str> {
    let error = &body["error"];
    error["message"].as_str().or_else(|| error.as_str())
}

/// A text field, empty where there is none.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::answer::Turn;
    use super::super::conversation::{Call, Part, ToolResult};
    use super::super::tools;
    use super::*;

    pub(super) const APIS: [Api; 3] = [Api::Chat, Api::Responses, Api::Messages];

    /// A conversation with one of everything: words, two calls, their results, an explanation.
    pub(super) fn conversation() -> Vec<Message> {
        let call = |id: &str, command: &str| {
            Part::Call(Call {
                id: id.to_owned(),
                name: "bash".to_owned(),
                arguments: json!({"command": command})
                    .as_object()
                    .cloned()
                    .unwrap_or_default(),
            })
        };
        let result = |id: &str, text: &str, failed| ToolResult {
            id: id.to_owned(),
            text: text.to_owned(),
            failed,
        };
        vec![
            Message::User("the task".to_owned()),
            Message::Model(vec![
                Part::Text("I look.".to_owned()),
                call("a", "ls"),
                call("b", "pwd"),
            ]),
            Message::Results(vec![result("a", "files", false), result("b", "error: no", true)]),
            Message::User("go on".to_owned()),
        ]
    }

    pub(super) fn request(api: Api, messages: &[Message]) -> Value {
        let tools = tools::definitions();
        api.request(&Question {
            model: "m",
            system: "the system message",
            tools: &tools,
            messages,
            sealed_thoughts: true,
        })
    }

    #[test]
    fn what_is_no_answer_is_an_error_that_says_why() {
        for api in APIS {
            for (body, wrong) in [
                (
                    json!({"error": {"message": "model\noverloaded"}}),
                    "model overloaded",
                ),
                (json!({"error": "overloaded"}), "\"overloaded\""),
                (json!({api.expected(): null}), api.expected()),
                (json!({"choices": []}), "it has no"),
                (json!([]), "it has no"),
                (json!(null), "it has no"),
            ] {
                let error = api.read(&body).unwrap_err();
                assert!(error.contains(wrong), "{api:?} {body}: {error}");
            }
        }
    }

    #[test]
    fn an_answer_goes_back_as_it_came() {
        let answers = [
            (
                Api::Chat,
                json!({"choices": [{"finish_reason": "tool_calls", "message": {"role": "assistant",
                    "content": "I look.", "tool_calls": [{"id": "a", "type": "function",
                        "function": {"name": "bash", "arguments": "{\"command\":\"ls\"}"}}]}}]}),
                "/messages/2",
                "/choices/0/message",
            ),
            (
                Api::Responses,
                json!({"status": "completed", "output": [{"type": "function_call", "call_id": "a", "name": "bash",
                    "arguments": "{\"command\":\"ls\"}"}]}),
                "/input/1",
                "/output/0",
            ),
            (
                Api::Messages,
                json!({"stop_reason": "tool_use", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "a", "name": "bash", "input": {"command": "ls"}}]}),
                "/messages/1/content",
                "/content",
            ),
        ];
        for (api, answer, sent, came) in answers {
            let turn = Turn::of(api.read(&answer).unwrap(), 1);
            let messages = [Message::User("t".to_owned()), turn.message.unwrap()];
            let request = request(api, &messages);
            assert_eq!(request.pointer(sent), answer.pointer(came), "{api:?}");
        }
    }
}
