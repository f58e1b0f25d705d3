//! OpenAI's chat completions, as compatible endpoints speak them.

use serde_json::{Value, json};

use super::super::answer::{Answered, AnsweredPart};
use super::super::conversation::{Message, Part};
use super::{Question, text};

/// Fields of an answer beside its text and calls that reasoning models want back with it.
const THOUGHTS: [&str; 2] = ["reasoning_content", "reasoning_details"];

pub(super) fn request(question: &Question<'_>) -> Value {
    let mut messages = vec![json!({"role": "system", "content": question.system})];
    for message in question.messages {
        match message {
            Message::User(text) => messages.push(json!({"role": "user", "content": text})),
            Message::Model(parts) => messages.push(assistant(parts)),
            Message::Results(results) => messages.extend(
                results
                    .iter()
                    .map(|result| json!({"role": "tool", "tool_call_id": result.id, "content": result.text})),
            ),
        }
    }
    let tools: Vec<Value> = question
        .tools
        .iter()
        .map(|tool| {
            json!({"type": "function", "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.schema,
            }})
        })
        .collect();
    json!({"model": question.model, "messages": messages, "tools": tools})
}

fn assistant(parts: &[Part]) -> Value {
    let mut message = json!({"role": "assistant", "content": null});
    let (mut texts, mut calls) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Text(text) => texts.push(text.as_str()),
            Part::Call(call) => calls.push(json!({"id": call.id, "type": "function", "function": {
                "name": call.name, "arguments": Value::Object(call.arguments.clone()).to_string(),
            }})),
            Part::Opaque(fields) => {
                for (name, value) in fields.as_object().into_iter().flatten() {
                    message[name] = value.clone();
                }
            }
        }
    }
    if !texts.is_empty() {
        message["content"] = texts.join("\n\n").into();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    message
}

pub(super) fn read(body: &Value) -> Option<Answered> {
    let choice = &body["choices"][0];
    let message = choice["message"].as_object().map(|_| &choice["message"])?;
    let mut parts = Vec::new();
    for name in THOUGHTS {
        if !message[name].is_null() {
            parts.push(AnsweredPart::Opaque(json!({name: message[name]})));
        }
    }
    match &message["content"] {
        Value::String(text) => parts.push(AnsweredPart::Text(text.clone())),
        // Some endpoints answer in parts, as requests may be written.
        Value::Array(content) => {
            let words = content.iter().filter_map(|part| part["text"].as_str()).collect();
            parts.push(AnsweredPart::Text(words));
        }
        // A refusal is what the model has to say.
        _ => parts.push(AnsweredPart::Text(text(&message["refusal"]))),
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        parts.push(AnsweredPart::Call {
            id: text(&call["id"]),
            name: text(&call["function"]["name"]),
            arguments: call["function"]["arguments"].clone(),
        });
    }
    Some(Answered {
        parts,
        whole: choice["finish_reason"] != "length",
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::answer::Turn;
    use super::super::Api;
    use super::super::tests::{conversation, request};
    use super::*;

    #[test]
    fn a_conversation_is_written_with_a_tool_message_for_each_call() {
        let request = request(Api::Chat, &conversation());
        assert_eq!(request["model"], "m");
        assert_eq!(
            request["messages"],
            json!([
                {"role": "system", "content": "the system message"},
                {"role": "user", "content": "the task"},
                {"role": "assistant", "content": "I look.", "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "bash", "arguments": "{\"command\":\"ls\"}"}},
                    {"id": "b", "type": "function", "function": {"name": "bash", "arguments": "{\"command\":\"pwd\"}"}},
                ]},
                {"role": "tool", "tool_call_id": "a", "content": "files"},
                {"role": "tool", "tool_call_id": "b", "content": "error: no"},
                {"role": "user", "content": "go on"},
            ])
        );
        assert_eq!(request["tools"][0]["function"]["name"], "bash");
        assert_eq!(request["tools"][0]["function"]["parameters"]["type"], "object");
    }

    #[test]
    fn content_in_parts_and_thoughts_are_read() {
        let body = json!({"choices": [{"message": {
            "content": [{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}],
            "reasoning_content": "hm",
        }}]});
        let turn = Turn::of(read(&body).unwrap(), 1);
        assert_eq!(turn.text.as_deref(), Some("in parts"));
        let sent = request(Api::Chat, &[turn.message.unwrap()]);
        assert_eq!(sent["messages"][1]["reasoning_content"], "hm");
    }

    #[test]
    fn a_refusal_is_read_as_text() {
        let body = json!({"choices": [{"message": {"content": null, "refusal": "no"}}]});
        assert_eq!(Turn::of(read(&body).unwrap(), 1).text.as_deref(), Some("no"));
    }

    #[test]
    fn calls_without_id_name_or_arguments_are_read() {
        let body = json!({"choices": [{"message": {"content": null, "tool_calls": [{}]}}]});
        let turn = Turn::of(read(&body).unwrap(), 3);
        assert_eq!(turn.calls[0].call.id, "call-3-0");
        assert!(turn.calls[0].malformed.is_some());
    }

    #[test]
    fn an_answer_cut_at_its_length_is_not_whole() {
        let mut body =
            json!({"choices": [{"message": {"content": "as I was say"}, "finish_reason": "length"}]});
        assert!(!read(&body).unwrap().whole);
        body["choices"][0]["finish_reason"] = "stop".into();
        assert!(read(&body).unwrap().whole);
    }
}
