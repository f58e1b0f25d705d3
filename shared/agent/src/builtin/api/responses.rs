//! OpenAI's responses. Nothing is stored at the endpoint: the whole conversation goes along each time.

use serde_json::{Value, json};

use super::super::answer::{Answered, AnsweredPart};
use super::super::conversation::{Message, Part};
use super::{Question, text};

/// What reasoning models are asked for, as they work better with their thoughts at hand; other models refuse it.
const SEALED_THOUGHTS: &str = "reasoning.encrypted_content";

pub(super) fn request(question: &Question<'_>) -> Value {
    let mut input = Vec::new();
    for message in question.messages {
        match message {
            Message::User(text) => input.push(json!({"role": "user", "content": text})),
            Message::Model(parts) => input.extend(parts.iter().map(item)),
            Message::Results(results) => input.extend(results.iter().map(
                |result| json!({"type": "function_call_output", "call_id": result.id, "output": result.text}),
            )),
        }
    }
    let tools: Vec<Value> = question
        .tools
        .iter()
        .map(|tool| {
            // Strict schemas cannot have optional fields.
            json!({"type": "function", "name": tool.name, "description": tool.description,
                "parameters": tool.schema, "strict": false})
        })
        .collect();
    let mut request = json!({
        "model": question.model,
        "instructions": question.system,
        "input": input,
        "tools": tools,
        "store": false,
    });
    if question.sealed_thoughts {
        request["include"] = json!([SEALED_THOUGHTS]);
    }
    request
}

fn item(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"role": "assistant", "content": text}),
        Part::Call(call) => json!({"type": "function_call", "call_id": call.id, "name": call.name,
            "arguments": Value::Object(call.arguments.clone()).to_string()}),
        Part::Opaque(item) => item.clone(),
    }
}

pub(super) fn read(body: &Value) -> Option<Answered> {
    let output = body["output"].as_array()?;
    if body["status"] == "failed" {
        return None;
    }
    let mut parts = Vec::new();
    for item in output {
        match item["type"].as_str() {
            Some("message") => {
                let content = item["content"].as_array().into_iter().flatten();
                // A refusal is what the model has to say.
                parts.extend(
                    content
                        .map(|part| AnsweredPart::Text(text(part.get("text").unwrap_or(&part["refusal"])))),
                );
            }
            Some("function_call") => parts.push(AnsweredPart::Call {
                id: text(&item["call_id"]),
                name: text(&item["name"]),
                arguments: item["arguments"].clone(),
            }),
            // A thought can be sent back only where it came along sealed; one kept at the endpoint is not stored.
            Some("reasoning") if item["encrypted_content"].is_string() => {
                parts.push(AnsweredPart::Opaque(item.clone()));
            }
            _ => {}
        }
    }
    Some(Answered {
        parts,
        whole: body["status"] != "incomplete",
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::answer::Turn;
    use super::super::Api;
    use super::super::tests::{conversation, request};
    use super::*;

    #[test]
    fn a_conversation_is_written_as_items() {
        let request = request(Api::Responses, &conversation());
        assert_eq!(request["instructions"], "the system message");
        assert_eq!(request["store"], false);
        assert_eq!(
            request["input"],
            json!([
                {"role": "user", "content": "the task"},
                {"role": "assistant", "content": "I look."},
                {"type": "function_call", "call_id": "a", "name": "bash", "arguments": "{\"command\":\"ls\"}"},
                {"type": "function_call", "call_id": "b", "name": "bash", "arguments": "{\"command\":\"pwd\"}"},
                {"type": "function_call_output", "call_id": "a", "output": "files"},
                {"type": "function_call_output", "call_id": "b", "output": "error: no"},
                {"role": "user", "content": "go on"},
            ])
        );
        assert_eq!(request["tools"][0]["name"], "bash");
        assert_eq!(request["tools"][0]["strict"], false);
    }

    #[test]
    fn text_refusals_and_calls_are_read_and_other_items_left_out() {
        let body = json!({"status": "completed", "output": [
            {"type": "reasoning", "id": "r", "summary": []},
            {"type": "message", "content": [{"type": "output_text", "text": "one"}, {"type": "refusal", "refusal": "no"}]},
            {"type": "web_search_call", "id": "w"},
            {"type": "function_call", "name": "bash"},
        ]});
        let turn = Turn::of(read(&body).unwrap(), 2);
        assert_eq!(turn.text.as_deref(), Some("one\n\nno"));
        assert_eq!(turn.calls[0].call.id, "call-2-0");
        assert!(turn.calls[0].malformed.is_some());
        let sent = request(Api::Responses, &[turn.message.unwrap()]);
        assert_eq!(sent["input"].as_array().unwrap().len(), 3, "{sent}");
    }

    #[test]
    fn a_sealed_thought_goes_back_before_its_call() {
        let thought = json!({"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"});
        let call = json!({"type": "function_call", "call_id": "a", "name": "bash", "arguments": "{}"});
        let body = json!({"output": [thought, call]});
        let turn = Turn::of(read(&body).unwrap(), 1);
        let sent = request(Api::Responses, &[turn.message.unwrap()]);
        assert_eq!(sent["input"], json!([thought, call]));
    }

    #[test]
    fn an_incomplete_answer_is_not_whole_and_a_failed_one_is_none() {
        let mut body = json!({"status": "incomplete", "output": [], "error": {"message": "broke"}});
        assert!(!read(&body).unwrap().whole);
        body["status"] = "failed".into();
        assert!(Api::Responses.read(&body).unwrap_err().contains("broke"));
    }
}
