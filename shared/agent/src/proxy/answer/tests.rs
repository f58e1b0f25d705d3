use serde_json::{Value, json};

use super::*;

fn streamed(api: Api, events: &[Value]) -> Answer {
    let mut answer = Answer::default();
    for event in events {
        answer.event(api, event.to_string().as_bytes());
    }
    answer
}

fn tokens(input: u64, cached: u64, output: u64) -> Tokens {
    Tokens {
        input,
        cached,
        output,
        ..Tokens::default()
    }
}

/// Both ways to the same answer have the same words, calls and tokens.
fn check(api: Api, whole: &Value, events: &[Value], used: Tokens) {
    let expected = json!({
        "text": "héllo", "reasoning": "hm", "tool_calls": [{"name": "edit", "arguments": "{\"path\":\"a\"}"}],
    });
    for answer in [Answer::of_whole(api, whole).unwrap(), streamed(api, events)] {
        answer.complete().unwrap();
        let mut json = answer.to_json();
        let stopped = json.as_object_mut().unwrap().remove("stopped");
        assert_eq!(json, expected);
        assert!(stopped.is_some());
        assert_eq!((answer.is_counted(), answer.tokens(9999)), (true, used));
    }
}

#[test]
fn a_chat_answer_is_read_whole_and_in_pieces() {
    let usage =
        json!({"prompt_tokens": 70, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 30}});
    let call =
        json!({"id": "c", "type": "function", "function": {"name": "edit", "arguments": "{\"path\":\"a\"}"}});
    let whole = json!({"choices": [{"finish_reason": "tool_calls", "message": {
        "content": "héllo", "reasoning_content": "hm", "tool_calls": [call]}}], "usage": usage});
    let chunk = |delta: Value| json!({"choices": [{"delta": delta}], "usage": null});
    let piece = |name: Value, arguments: &str| json!({"tool_calls": [{"index": 0, "function": {"name": name, "arguments": arguments}}]});
    let events = [
        chunk(json!({"role": "assistant", "content": "hé", "reasoning": "hm"})),
        chunk(json!({"content": "llo"})),
        chunk(piece("edit".into(), "")),
        chunk(piece(Value::Null, "{\"path\"")),
        chunk(piece(Value::Null, ":\"a\"}")),
        json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
        json!({"choices": [], "usage": usage}),
    ];
    check(Api::Chat, &whole, &events, tokens(70, 30, 9));
}

#[test]
fn a_response_is_read_whole_and_in_pieces() {
    let usage =
        json!({"input_tokens": 70, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 30}});
    let reasoning = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]});
    let message = json!({"type": "message", "content": [{"type": "output_text", "text": "héllo"}]});
    let call = json!({"type": "function_call", "name": "edit", "arguments": "{\"path\":\"a\"}"});
    let whole =
        json!({"status": "completed", "error": null, "output": [reasoning, message, call], "usage": usage});
    let events = [
        json!({"type": "response.created", "response": {"status": "in_progress", "output": [], "usage": null}}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"}),
        json!({"type": "response.output_text.delta", "output_index": 1, "delta": "héllo"}),
        json!({"type": "response.output_item.added", "output_index": 2, "item": {"type": "function_call", "name": "edit"}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{\"path\":\"a\"}"}),
    ];
    let with_end = |end: Value| {
        let mut events = events.to_vec();
        events.push(json!({"type": "response.completed", "response": end}));
        events
    };
    check(
        Api::Responses,
        &whole,
        &with_end(whole.clone()),
        tokens(70, 30, 9),
    );
    let mut short = whole.clone();
    short["output"] = json!([]);
    check(Api::Responses, &whole, &with_end(short), tokens(70, 30, 9));
}

#[test]
fn a_message_is_read_whole_and_in_pieces() {
    let usage = json!({"input_tokens": 20, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5}, "output_tokens": 9});
    let whole = json!({"type": "message", "stop_reason": "tool_use", "usage": usage, "content": [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "héllo"},
        {"type": "tool_use", "name": "edit", "input": {"path": "a"}},
    ]});
    let mut at_start = usage.clone();
    at_start["output_tokens"] = 1.into();
    let delta =
        |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let events = [
        json!({"type": "message_start", "message": {"usage": at_start}}),
        delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        delta(1, json!({"type": "text_delta", "text": "héllo"})),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "name": "edit", "input": {}}}),
        delta(
            2,
            json!({"type": "input_json_delta", "partial_json": "{\"path\":"}),
        ),
        delta(2, json!({"type": "input_json_delta", "partial_json": "\"a\"}"})),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
    ];
    let used = Tokens {
        written_5_minutes: 15,
        written_1_hour: 5,
        ..tokens(70, 30, 9)
    };
    check(Api::Messages, &whole, &events, used);
}

#[test]
fn what_an_endpoint_does_not_count_is_estimated() {
    let text = "x".repeat(41);
    for (api, whole) in [
        (
            Api::Chat,
            json!({"choices": [{"message": {"content": text}}], "usage": {"prompt_tokens": 0}}),
        ),
        (
            Api::Responses,
            json!({"output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]}),
        ),
        (
            Api::Messages,
            json!({"content": [{"type": "text", "text": text}], "usage": {"input_tokens": 0, "output_tokens": 0}}),
        ),
    ] {
        let answer = Answer::of_whole(api, &whole).unwrap();
        assert_eq!((answer.is_counted(), answer.tokens(7)), (false, tokens(7, 0, 11)));
    }
}

#[test]
fn a_stream_that_runs_has_used_what_it_has_written() {
    let text = "x".repeat(400);
    let events = [
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 50, "output_tokens": 1}}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
    ];
    assert_eq!(streamed(Api::Messages, &events).tokens(7), tokens(50, 0, 100));
}

#[test]
fn what_is_no_answer_says_why() {
    for (api, whole, why) in [
        (
            Api::Chat,
            json!({"error": {"message": "model\noverloaded"}}),
            "model overloaded",
        ),
        (Api::Chat, json!({"choices": []}), "no answer"),
        (Api::Chat, json!([1]), "no answer"),
        (
            Api::Responses,
            json!({"status": "failed", "error": {"message": "late"}}),
            "late",
        ),
        (
            Api::Messages,
            json!({"type": "error", "error": {"type": "x", "message": "busy"}}),
            "busy",
        ),
        (Api::CountTokens, json!({}), "no answer"),
    ] {
        let error = Answer::of_whole(api, &whole).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    for (api, event, why) in [
        (Api::Chat, json!({"error": {"message": "busy"}}), "busy"),
        (
            Api::Responses,
            json!({"type": "error", "code": "x", "message": "busy"}),
            "busy",
        ),
        (
            Api::Responses,
            json!({"type": "response.failed", "response": {"error": {"message": "busy"}}}),
            "busy",
        ),
        (
            Api::Messages,
            json!({"type": "error", "error": {"message": "busy"}}),
            "busy",
        ),
        (Api::Messages, json!({"type": "ping"}), "no answer"),
    ] {
        let error = streamed(api, &[event]).complete().unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn long_texts_and_many_calls_are_clipped_but_counted() {
    let mut answer = Answer::default();
    answer.say(&"ä".repeat(TEXT_BYTES_MAX));
    for index in 0..200 {
        answer.call(index, "bash", "{}");
    }
    let json = answer.to_json();
    assert!(json["text"].as_str().unwrap().ends_with("… [65536 bytes cut]"));
    assert_eq!(json["tool_calls"].as_array().unwrap().len(), CALLS_MAX);
    assert_eq!(answer.written, 2 * TEXT_BYTES_MAX as u64 + 200 * 6);
}
