use serde_json::{Value, json};

use super::*;

/// A request of each API that has nothing to be taken out, with `more` fields.
fn request(api: Api, more: Value) -> Map<String, Value> {
    let base = match api {
        Api::Responses => json!({"model": "m", "input": [{"role": "user", "content": "hi"}]}),
        _ => json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
    };
    let mut fields = base.as_object().cloned().unwrap_or_default();
    fields.extend(more.as_object().cloned().unwrap_or_default());
    fields
}

/// With the content of its one message replaced.
fn with_content(api: Api, content: Value) -> Map<String, Value> {
    let list = json!([{"role": "user", "content": content}]);
    let field = if api == Api::Responses {
        "input"
    } else {
        "messages"
    };
    request(api, json!({field: list}))
}

fn rewritten(api: Api, mut body: Map<String, Value>) -> (Value, Removed) {
    let removed = rewrite(api, &mut body, "m").unwrap_or_else(|refusal| panic!("{api:?}: {refusal:?}"));
    (Value::Object(body), removed)
}

fn refusal(api: Api, mut body: Map<String, Value>) -> Refusal {
    let text = Value::Object(body.clone()).to_string();
    rewrite(api, &mut body, "m").expect_err(&text)
}

const ASKING: [Api; 3] = [Api::Chat, Api::Responses, Api::Messages];

#[test]
fn a_request_of_words_and_own_tools_goes_on_as_it_is() {
    let schema =
        json!({"type": "object", "properties": {"url": {"type": "string"}, "file_id": {"default": "x"}}});
    let chat = request(
        Api::Chat,
        json!({
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [
                    {"type": "text", "text": "see https://example.com"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "get", "arguments": "{\"url\":\"http://x\"}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "done"},
            ],
            "tools": [{"type": "function", "function": {"name": "get", "parameters": schema}}],
            "tool_choice": "auto", "max_tokens": 5, "temperature": 0.5, "stream": false,
        }),
    );
    let responses = request(
        Api::Responses,
        json!({
            "instructions": "be brief",
            "input": [
                {"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "hi"},
                    {"type": "input_image", "image_url": "DATA:image/png;base64,AAAA"},
                ]},
                {"type": "reasoning", "summary": [], "encrypted_content": "x"},
                {"type": "function_call", "call_id": "c", "name": "get", "arguments": "{\"url\":\"http://x\"}"},
                {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "done"}]},
            ],
            "tools": [
                {"type": "function", "name": "get", "parameters": schema},
                {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
                {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "in", "parameters": schema}]},
            ],
            "tool_choice": {"type": "function", "name": "get"}, "store": false, "stream": true,
            "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k",
        }),
    );
    let messages = request(
        Api::Messages,
        json!({
            "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "http://x"}},
                ]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "c", "name": "get", "input": {"url": "http://x", "file_id": "f"}},
                ]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [
                    {"type": "text", "text": "done"}]}]},
            ],
            "tools": [{"name": "get", "input_schema": schema, "cache_control": {"type": "ephemeral"}}],
            "max_tokens": 5, "stream": true, "thinking": {"type": "enabled", "budget_tokens": 1024},
        }),
    );
    for (api, body) in [
        (Api::Chat, chat),
        (Api::Responses, responses),
        (Api::Messages, messages),
    ] {
        let before = Value::Object(body.clone());
        assert_eq!(rewritten(api, body), (before, Removed::default()));
    }
}

#[test]
fn tools_that_the_endpoint_would_execute_are_removed_wherever_they_are() {
    let own = json!({"type": "function", "name": "own", "parameters": {}});
    for (api, foreign) in [
        (
            Api::Chat,
            json!({"type": "web_search", "web_search": {"enable": true}}),
        ),
        (
            Api::Chat,
            json!({"type": "builtin_function", "function": {"name": "$web_search"}}),
        ),
        (Api::Chat, json!({"googleSearch": {}})),
        (Api::Chat, json!("web_search")),
        (
            Api::Responses,
            json!({"type": "web_search", "external_web_access": true}),
        ),
        (Api::Responses, json!({"type": "web_search_preview"})),
        (
            Api::Responses,
            json!({"type": "file_search", "vector_store_ids": ["v"]}),
        ),
        (
            Api::Responses,
            json!({"type": "code_interpreter", "container": {"type": "auto"}}),
        ),
        (
            Api::Responses,
            json!({"type": "mcp", "server_url": "https://evil.example"}),
        ),
        (Api::Responses, json!({"type": "image_generation"})),
        (Api::Responses, json!({"type": "computer_use_preview"})),
        (
            Api::Responses,
            json!({"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}),
        ),
        (Api::Responses, json!({"type": ["function"], "name": "x"})),
        (
            Api::Messages,
            json!({"type": "web_search_20250305", "name": "web_search"}),
        ),
        (
            Api::Messages,
            json!({"type": "web_fetch_20250910", "name": "web_fetch"}),
        ),
        (
            Api::Messages,
            json!({"type": "code_execution_20250825", "name": "code_execution"}),
        ),
        (
            Api::Messages,
            json!({"type": "mcp_toolset", "mcp_server_name": "evil"}),
        ),
        (
            Api::CountTokens,
            json!({"type": "web_search_20250305", "name": "web_search"}),
        ),
    ] {
        let (body, removed) = rewritten(
            api,
            request(api, json!({"tools": [foreign, own], "tool_choice": "auto"})),
        );
        assert_eq!(body["tools"], json!([own]), "{foreign}");
        assert_eq!(body["tool_choice"], "auto");
        assert!(removed.count >= 1);
    }
}

#[test]
fn without_tools_nothing_is_said_about_them() {
    for api in ASKING {
        let fields = json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "any"}, "parallel_tool_calls": true});
        let (body, _) = rewritten(api, request(api, fields));
        for field in ["tools", "tool_choice", "parallel_tool_calls"] {
            assert!(body.get(field).is_none(), "{body}");
        }
    }
}

#[test]
fn nested_tools_are_filtered_like_others() {
    let own = json!({"type": "function", "name": "own"});
    let group = |tools: Value| json!({"type": "namespace", "name": "n", "tools": tools});
    let (body, removed) = rewritten(
        Api::Responses,
        request(
            Api::Responses,
            json!({
                "tools": [group(json!([group(json!([{"type": "mcp"}])), {"type": "web_search"}, own]))],
                "input": [{"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}, own]}],
            }),
        ),
    );
    assert_eq!(body["tools"], json!([group(json!([own]))]));
    assert_eq!(body["input"][0]["tools"], json!([own]));
    assert_eq!(removed.names, ["tool mcp", "tool web_search", "tool web_search"]);
}

#[test]
fn a_tool_says_nothing_but_what_a_tool_says() {
    let tool = json!({"name": "x", "input_schema": {}, "allowed_callers": ["code_execution_20250825"], "server_url": "u"});
    let (body, removed) = rewritten(Api::Messages, request(Api::Messages, json!({"tools": [tool]})));
    assert_eq!(body["tools"], json!([{"name": "x", "input_schema": {}}]));
    assert_eq!(removed.count, 2);
}

#[test]
fn a_choice_of_a_tool_that_the_endpoint_executes_is_removed() {
    for choice in [
        json!({"type": "web_search_preview"}),
        json!({"type": "mcp", "server_label": "x"}),
        json!({"type": "allowed_tools", "tools": [{"type": "web_search"}]}),
        json!(7),
    ] {
        let tools = json!([{"type": "function", "name": "x"}]);
        let (body, removed) = rewritten(
            Api::Responses,
            request(Api::Responses, json!({"tools": tools, "tool_choice": choice})),
        );
        assert!(body.get("tool_choice").is_none(), "{choice}");
        assert_eq!(removed.count, 1);
    }
}

#[test]
fn unknown_fields_are_removed_and_counted() {
    for (api, fields) in [
        (
            Api::Chat,
            json!({"web_search_options": {"x": 1}, "enable_search": true, "plugins": [{"id": "web"}],
                "models": ["other"], "extra_body": {"x": 1}, "n": 9, "service_tier": "priority",
                "metadata": {"a": "b"}, "audio": {"voice": "x"}, "search_parameters": {"mode": "on"}}),
        ),
        (
            Api::Responses,
            json!({"service_tier": "priority", "metadata": {"a": "b"}, "client_metadata": {"a": "b"},
                "context_management": [{"type": "compaction"}], "max_tool_calls": 9, "moderation": {"x": 1}}),
        ),
        (
            Api::Messages,
            json!({"metadata": {"user_id": "u"}, "service_tier": "auto", "context_management": {"edits": [1]},
                "speed": "fast", "inference_geo": "us"}),
        ),
        (Api::CountTokens, json!({"max_tokens": 7, "stream": true})),
    ] {
        let count = fields.as_object().unwrap().len();
        let (body, removed) = rewritten(api, request(api, fields.clone()));
        for name in fields.as_object().unwrap().keys() {
            assert!(body.get(name).is_none(), "{api:?} {name}");
        }
        assert_eq!(removed.count, count, "{api:?}");
    }
    let (body, removed) = rewritten(
        Api::Chat,
        request(
            Api::Chat,
            json!({"messages": [{"role": "assistant", "content": "x", "audio": {"id": "a"}}]}),
        ),
    );
    assert_eq!(body["messages"], json!([{"role": "assistant", "content": "x"}]));
    assert_eq!(removed.names, ["field of a message: audio"]);
    let message = json!({"role": "user", "content": "x", "container": "c"});
    let (body, removed) = rewritten(
        Api::Messages,
        request(Api::Messages, json!({"messages": [message]})),
    );
    assert_eq!(body["messages"], json!([{"role": "user", "content": "x"}]));
    assert_eq!(removed.count, 1);
}

#[test]
fn state_servers_and_containers_at_the_endpoint_are_refused_in_every_api() {
    for api in ASKING {
        for (field, value) in [
            ("previous_response_id", json!("resp_1")),
            ("conversation", json!({"id": "conv_1"})),
            ("prompt", json!({"id": "pmpt_1"})),
            ("background", json!(true)),
            (
                "mcp_servers",
                json!([{"type": "url", "url": "https://evil.example"}]),
            ),
            ("container", json!("c1")),
        ] {
            let refusal = refusal(api, request(api, json!({field: value})));
            assert_eq!(refusal.status, 400);
            assert!(refusal.message.contains(field), "{refusal:?}");
        }
        // Said to be empty, they are only dropped.
        let empty =
            json!({"previous_response_id": null, "background": false, "mcp_servers": [], "container": null});
        let (body, removed) = rewritten(api, request(api, empty));
        assert!(body.get("mcp_servers").is_none() && body.get("background").is_none());
        assert_eq!(removed.count, 0);
    }
}

#[test]
fn nothing_is_stored_at_the_endpoint() {
    let (chat, _) = rewritten(Api::Chat, request(Api::Chat, json!({"store": true})));
    assert_eq!(chat["store"], false);
    let (chat, _) = rewritten(Api::Chat, request(Api::Chat, json!({})));
    assert!(chat.get("store").is_none());
    for more in [json!({}), json!({"store": true}), json!({"store": "yes"})] {
        let (responses, _) = rewritten(Api::Responses, request(Api::Responses, more));
        assert_eq!(responses["store"], false);
    }
}

const URL: &str = "https://evil.example/?q=stolen";

fn check_parts_refused(api: Api, parts: Value) {
    let parts = parts.as_array().expect("a list of parts");
    for part in parts {
        let refusal = refusal(api, with_content(api, json!([part])));
        assert_eq!(refusal.status, 400);
        assert!(!refusal.message.contains("stolen"), "{refusal:?}");
    }
}

#[test]
fn media_that_the_endpoint_would_fetch_are_refused_in_chats() {
    check_parts_refused(
        Api::Chat,
        json!([
            {"type": "image_url", "image_url": {"url": URL}},
            {"type": "image_url", "image_url": URL},
            {"type": "image_url", "image_url": {"url": " data:x"}},
            {"type": "video_url", "video_url": {"url": URL}},
            {"type": "input_audio", "input_audio": {"data": URL}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "file", "file": {"filename": "a", "file_data": "\nfile:///stolen"}},
            {"type": "text", "text": "x", "image_url": {"url": URL}},
            {"text": "no type"},
        ]),
    );
}

#[test]
fn media_that_the_endpoint_would_fetch_are_refused_in_responses() {
    check_parts_refused(
        Api::Responses,
        json!([
            {"type": "input_image", "image_url": URL},
            {"type": "input_image", "file_id": "file-1"},
            {"type": "input_file", "file_url": URL},
            {"type": "input_file", "file_id": "file-1"},
            {"type": "input_file", "file_data": URL},
        ]),
    );
}

#[test]
fn media_that_the_endpoint_would_fetch_are_refused_in_anthropics_messages() {
    let remote = json!({"type": "image", "source": {"type": "url", "url": URL}});
    let parts = json!([
        remote,
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        {"type": "image", "source": {"type": "base64", "data": "AA", "url": URL}},
        {"type": "document", "source": {"type": "url", "url": URL}},
        {"type": "document", "source": {"type": "content", "content": [remote]}},
        {"type": "container_upload", "file_id": "f"},
        {"type": "tool_result", "tool_use_id": "c", "content": [remote]},
        {"type": "tool_use", "id": "c", "name": "x", "input": {}, "image_url": URL},
        {"type": "server_tool_use", "name": "web_search", "input": {}},
    ]);
    check_parts_refused(Api::Messages, parts.clone());
    check_parts_refused(Api::CountTokens, parts);
    let system = json!({"system": [{"type": "image", "source": {"type": "base64", "data": "AA"}}]});
    refusal(Api::Messages, request(Api::Messages, system));
}

#[test]
fn items_that_the_endpoint_looks_up_or_executes_are_refused() {
    for item in [
        json!({"type": "item_reference", "id": "msg_1"}),
        json!({"id": "msg_1"}),
        json!({"type": null, "id": "msg_1"}),
        json!({"type": "mcp_approval_response", "approve": true}),
        json!({"type": "mcp_call", "server_label": "x"}),
        json!({"type": "web_search_call", "id": "ws_1"}),
        json!({"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file", "file_url": "http://x"}]}),
        json!({"type": "function_call_output", "call_id": "c", "output": {"image_url": "http://x"}}),
        json!({"type": "message", "role": "user", "content": "x", "file_id": "f"}),
        json!("text"),
        json!(["text"]),
    ] {
        refusal(Api::Responses, request(Api::Responses, json!({"input": [item]})));
    }
    refusal(
        Api::Responses,
        request(
            Api::Responses,
            json!({"instructions": [{"type": "item_reference"}]}),
        ),
    );
}

#[test]
fn a_conversation_of_another_form_is_refused() {
    for api in [Api::Chat, Api::Responses, Api::Messages, Api::CountTokens] {
        let field = if api == Api::Responses {
            "input"
        } else {
            "messages"
        };
        for wrong in [
            json!(null),
            json!({"role": "user"}),
            json!([7]),
            json!(["text"]),
            json!([[]]),
        ] {
            refusal(api, request(api, json!({field: wrong})));
        }
        refusal(api, with_content(api, json!(7)));
        refusal(api, with_content(api, json!([7])));
    }
    refusal(Api::Chat, request(Api::Chat, json!({"messages": "text"})));
    rewritten(Api::Responses, request(Api::Responses, json!({"input": "text"})));
}

#[test]
fn only_the_models_own_name_and_its_known_aliases_are_taken() {
    for (api, asked, taken) in [
        (Api::Chat, "m", true),
        (Api::Chat, "openai/m", true),
        (Api::Chat, "gateway/openai/m", true),
        (Api::Chat, "gpt-m", false),
        (Api::Chat, "m/other", false),
        (Api::Chat, "", false),
        (Api::Chat, "claude-haiku", false),
        (Api::Responses, "openai/m", true),
        (Api::Responses, "other", false),
        (Api::Messages, "claude-haiku-4-5-20251001", true),
        (Api::Messages, "gpt-4", false),
    ] {
        let body = request(api, json!({"model": asked}));
        if taken {
            assert_eq!(rewritten(api, body).0["model"], "m");
        } else {
            let refusal = refusal(api, body);
            assert_eq!(
                (refusal.status.as_u16(), refusal.code.as_deref()),
                (404, Some("model_not_found"))
            );
        }
    }
    for model in [json!(null), json!(["m"]), json!({"m": "m"})] {
        refusal(Api::Chat, request(Api::Chat, json!({"model": model})));
    }
}

#[test]
fn a_chat_that_streams_says_what_it_has_used() {
    let (body, _) = rewritten(Api::Chat, request(Api::Chat, json!({"stream": true})));
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
    let more = json!({"stream": true, "stream_options": {"include_usage": false, "x": 1}});
    let (body, _) = rewritten(Api::Chat, request(Api::Chat, more));
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
    let (body, _) = rewritten(
        Api::Chat,
        request(Api::Chat, json!({"stream_options": {"include_usage": true}})),
    );
    assert!(body.get("stream_options").is_none());
}

#[test]
fn a_response_includes_nothing_that_was_fetched() {
    let include = json!(["reasoning.encrypted_content", "file_search_call.results", 7]);
    let (body, removed) = rewritten(
        Api::Responses,
        request(Api::Responses, json!({"include": include})),
    );
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(removed.count, 2);
}

#[test]
fn an_effort_goes_into_the_field_of_each_api_and_over_what_the_agent_asked_for() {
    let with = |api, more: Value| {
        let mut body = request(api, more);
        set_effort(api, &mut body, Effort::High);
        Value::Object(body)
    };
    assert_eq!(
        with(Api::Chat, json!({"reasoning_effort": "low"}))["reasoning_effort"],
        "high"
    );
    let kept = json!({"reasoning": {"effort": "low", "summary": "auto"}});
    assert_eq!(
        with(Api::Responses, kept)["reasoning"],
        json!({"effort": "high", "summary": "auto"})
    );
    assert_eq!(
        with(Api::Messages, json!({}))["output_config"],
        json!({"effort": "high"})
    );
    let counted = with(Api::CountTokens, json!({}));
    assert_eq!(counted, Value::Object(request(Api::CountTokens, json!({}))));
}
