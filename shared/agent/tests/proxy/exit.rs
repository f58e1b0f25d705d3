//! The proxy is the only exit: what goes through it, and with whose credentials.

use agent::{Error, Provider, Proxy};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::world::{APIS, GATEWAY, LIMIT, REAL_KEY, Setting, World, message, says};

fn hello() -> Value {
    json!([{"reply": {"text": "hello"}}])
}

#[tokio::test]
async fn a_request_goes_on_with_the_real_key_and_none_of_the_clients_headers() {
    let world = World::with(hello()).await;
    let response = world
        .client
        .post(world.url("/v1/messages?beta=true"))
        .header("x-api-key", world.proxy.key())
        .header("anthropic-version", "2023-06-01")
        .header(
            "anthropic-beta",
            "interleaved-thinking-2025-05-14,mcp-client-2025-11-20",
        )
        .header("cookie", "stolen=1")
        .header("x-stainless-os", "Linux")
        .header("x-forwarded-for", "stolen")
        .header("user-agent", "stolen")
        .json(&says("messages", "hi"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let request = world.requests().remove(0);
    assert_eq!(request.path, "/v1/messages");
    let mut names: Vec<&str> = request.headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "anthropic-beta",
            "anthropic-version",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "x-gateway"
        ]
    );
    assert_eq!(request.headers["authorization"], format!("Bearer {REAL_KEY}"));
    assert_eq!(request.headers["x-gateway"], GATEWAY);
    assert_eq!(
        request.headers["anthropic-beta"],
        "interleaved-thinking-2025-05-14"
    );
    assert!(!format!("{:?}", request.headers).contains("stolen"));
}

#[tokio::test]
async fn anthropics_endpoint_gets_its_own_authentication() {
    let mut setting = Setting::new(hello());
    setting.provider = Provider::Anthropic;
    let world = setting.start().await;
    let (status, _) = world.ask("/v1/messages", &says("messages", "hi")).await;
    assert_eq!(status, 200);
    let headers = &world.requests()[0].headers;
    assert_eq!(headers["x-api-key"], REAL_KEY);
    assert_eq!(headers["anthropic-version"], "2023-06-01");
    assert!(!headers.contains_key("authorization"));
}

#[tokio::test]
async fn every_api_is_answered_with_and_without_a_version() {
    let world = World::with(hello()).await;
    for (path, field) in APIS {
        let unversioned = path.strip_prefix("/v1").unwrap();
        for path in [path, unversioned] {
            let (status, body) = world.ask(path, &says(field, "hi")).await;
            assert_eq!(status, 200);
            assert!(body.to_string().contains("hello"), "{body}");
            assert_eq!(world.requests().pop().unwrap().path, format!("/v1{unversioned}"));
        }
    }
    let (status, body) = world
        .ask("/v1/messages/count_tokens", &says("messages", "hi"))
        .await;
    assert_eq!(status, 200);
    assert!(body["input_tokens"].is_u64());
    let end = world.end().await;
    assert_eq!((end.usage.turns, end.errors, end.refused), (6, 0, 0));
}

#[tokio::test]
async fn only_the_runs_key_opens_it() {
    let world = World::with(hello()).await;
    let other = World::with(hello()).await;
    let wrong = format!("{}x", world.proxy.key());
    for key in [
        "",
        "x",
        REAL_KEY,
        other.proxy.key(),
        &wrong,
        &world.proxy.key()[1..],
    ] {
        for (path, field) in APIS {
            let request = world.client.post(world.url(path)).bearer_auth(key);
            let response = request.json(&says(field, "hi")).send().await.unwrap();
            assert_eq!(response.status(), 401);
            message(path, &response.json().await.unwrap());
        }
    }
    for path in ["/v1/models", "/", "/v1/files"] {
        let response = world.client.get(world.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 401, "{path}");
    }
    assert!(world.requests().is_empty());
    assert_eq!(world.end().await.refused, 21);
}

#[tokio::test]
async fn the_key_is_taken_in_the_ways_of_all_clients() {
    let world = World::with(hello()).await;
    for header in ["x-api-key", "api-key", "x-goog-api-key"] {
        let request = world.client.post(world.url("/v1/chat/completions"));
        let request = request.header(header, world.proxy.key());
        let response = request.json(&says("messages", "hi")).send().await.unwrap();
        assert_eq!(response.status(), 200, "{header}");
    }
}

#[tokio::test]
async fn nothing_but_the_listed_paths_and_methods_is_passed_on() {
    let world = World::with(hello()).await;
    let body = says("messages", "hi");
    for (method, path, status) in [
        (Method::GET, "/v1/chat/completions", 405),
        (Method::DELETE, "/v1/responses", 405),
        (Method::PUT, "/v1/messages", 405),
        (Method::POST, "/v1/models", 405),
        (Method::POST, "/v1/embeddings", 404),
        (Method::POST, "/v1/files", 404),
        (Method::POST, "/v1/responses/compact", 404),
        (Method::GET, "/v1/responses/resp_1", 404),
        (Method::POST, "/v1/messages/batches", 404),
        (Method::POST, "/v1/images/generations", 404),
        (Method::POST, "/v1/chat/completions/../../files", 404),
        (Method::POST, "/v1/%6Dessages", 404),
        (Method::GET, "/llm/v1/requests", 404),
        (Method::HEAD, "/", 404),
    ] {
        let request = world.client.request(method.clone(), world.url(path));
        let response = request
            .bearer_auth(world.proxy.key())
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        if method != Method::HEAD {
            message(path, &response.json().await.unwrap());
        }
    }
    assert!(world.requests().is_empty());
    assert_eq!(world.end().await.refused, 14);
}

#[tokio::test]
async fn the_proxy_of_one_run_is_no_proxy_for_other_hosts() {
    let world = World::with(hello()).await;
    let addr = world.model.addr();
    let proxy = reqwest::Proxy::all(format!("http://{}", world.proxy.addr())).unwrap();
    let through = reqwest::Client::builder()
        .proxy(proxy)
        .timeout(LIMIT)
        .build()
        .unwrap();
    let request = |url: String| {
        through
            .post(url)
            .bearer_auth(world.proxy.key())
            .json(&says("messages", "hi"))
            .send()
    };
    // An absolute address with an allowed path goes where all requests go.
    let response = request("http://evil.invalid/v1/chat/completions".to_owned())
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(world.requests().remove(0).headers["host"], addr.to_string());
    let response = request(format!("http://{addr}/llm/v1/release")).await.unwrap();
    assert_eq!(response.status(), 404);
    // CONNECT carries no key of ours.
    assert!(
        request(format!("https://{addr}/v1/chat/completions"))
            .await
            .is_err()
    );
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn only_the_runs_model_is_asked_for() {
    let world = World::with(hello()).await;
    for (path, field) in APIS {
        let mut body = says(field, "hi");
        body["model"] = "another-model".into();
        let (status, answer) = world.ask(path, &body).await;
        assert_eq!(status, 404);
        assert!(message(path, &answer).contains("the-model"));
        body["model"] = "vendor/the-model".into();
        assert_eq!(world.ask(path, &body).await.0, 200);
    }
    assert!(
        world
            .requests()
            .iter()
            .all(|request| request.body["model"] == "the-model")
    );
    assert_eq!(world.requests().len(), 3);
}

#[tokio::test]
async fn the_list_of_models_has_the_runs_model_and_asks_nobody() {
    let world = World::with(hello()).await;
    for path in ["/v1/models", "/models"] {
        let request = world.client.get(world.url(path)).bearer_auth(world.proxy.key());
        let list: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
        assert_eq!(list["data"][0]["id"], "the-model");
    }
    assert!(world.requests().is_empty());
}

#[tokio::test]
async fn what_the_endpoint_would_execute_or_fetch_does_not_reach_it() {
    let world = World::with(hello()).await;
    let url = "https://evil.example/stolen";
    for (path, field) in APIS {
        let mut body = says(field, "hi");
        body["tools"] = json!([{"type": "web_search"}, {"type": "mcp", "server_url": url}]);
        body["tool_choice"] = "auto".into();
        body["plugins"] = json!([{"id": "web"}]);
        body["store"] = true.into();
        assert_eq!(world.ask(path, &body).await.0, 200);
        let sent = world.requests().pop().unwrap().body;
        for name in ["tools", "tool_choice", "plugins"] {
            assert!(sent.get(name).is_none(), "{path}: {sent}");
        }
        assert_ne!(sent["store"], true);

        for (name, value) in [
            ("mcp_servers", json!([{"url": url}])),
            ("container", json!("c")),
            ("previous_response_id", json!("r")),
            ("background", json!(true)),
        ] {
            let mut body = says(field, "hi");
            body[name] = value;
            let (status, answer) = world.ask(path, &body).await;
            assert_eq!(status, 400);
            assert!(message(path, &answer).contains(name));
        }
        let part = match path {
            "/v1/responses" => json!({"type": "input_image", "image_url": url}),
            "/v1/messages" => json!({"type": "image", "source": {"type": "url", "url": url}}),
            _ => json!({"type": "image_url", "image_url": {"url": url}}),
        };
        let body = json!({"model": "the-model", field: [{"role": "user", "content": [part]}]});
        let (status, answer) = world.ask(path, &body).await;
        assert_eq!(status, 400);
        message(path, &answer);
    }
    assert!(!format!("{:?}", world.requests()).contains("stolen"));
    assert_eq!(world.requests().len(), 3);
    let end = world.end().await;
    assert_eq!((end.refused, end.errors), (15, 0));
    // In two APIs the tools, the choice (uncounted) and a field; Anthropic's has no `store`.
    assert_eq!(end.removed, 10);
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_the_apis_form() {
    let world = World::with(hello()).await;
    let deep = "[".repeat(100_000);
    let wide = format!("{{\"messages\": [{}0]}}", "0,".repeat(600_000));
    let large = format!("{{\"messages\": \"{}\"}}", "x".repeat(17 * 1024 * 1024));
    for (path, field) in APIS {
        for (body, status) in [
            ("", 400),
            ("{", 400),
            ("\u{0}\u{1}\u{2}", 400),
            ("<html>", 400),
            ("[]", 400),
            ("{}", 404),
            (r#"{"model": "the-model"}"#, 400),
            (deep.as_str(), 400),
            (wide.as_str(), 400),
            (large.as_str(), 413),
        ] {
            let request = world.client.post(world.url(path)).bearer_auth(world.proxy.key());
            let response = request.body(body.to_owned()).send().await;
            // A client that is told before it has sent everything may see its connection end instead.
            if let Ok(response) = response {
                assert_eq!(response.status(), status, "{path}: {body:.40}");
                message(path, &response.json().await.unwrap());
            } else {
                assert_eq!(status, 413, "{path}: {body:.40}");
            }
        }
        let request = world.client.post(world.url(path)).bearer_auth(world.proxy.key());
        let request = request.header("content-encoding", "gzip");
        let response = request.json(&says(field, "hi")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    assert!(world.requests().is_empty());
}

#[tokio::test]
async fn an_agent_that_is_refused_on_and_on_is_not_read_any_more() {
    let world = World::with(hello()).await;
    let mut body = says("messages", "hi");
    body["model"] = "other".into();
    for _ in 0..1_000 {
        assert_eq!(world.ask("/v1/messages", &body).await.0, 404);
    }
    assert_eq!(world.ask("/v1/messages", &says("messages", "hi")).await.0, 429);
    assert!(world.requests().is_empty());
}

#[tokio::test]
async fn stopping_gives_the_port_back_and_ends_what_is_under_way() {
    let world = World::with(json!([{"reply": {"hold": true}}])).await;
    let addr = world.proxy.addr();
    let (url, key) = (world.url("/v1/chat/completions"), world.proxy.key().to_owned());
    let request = world
        .client
        .post(url)
        .bearer_auth(key)
        .json(&says("messages", "hi"));
    let asking = tokio::spawn(request.send());
    world.model.wait_for_requests(1, LIMIT).await.unwrap();
    let end = tokio::time::timeout(LIMIT, world.proxy.stop()).await.unwrap();
    assert!(asking.await.unwrap().is_err());
    // The endpoint was asked, so it may charge for it.
    assert_eq!(end.usage.turns, 1);
    assert!(TcpStream::connect(addr).await.is_err());
    std::net::TcpListener::bind(addr).expect("the port is free");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_used_is_refused_at_the_start() {
    let mut endpoint = agent::Endpoint {
        provider: Provider::OpenAi,
        base_url: "not a URL secret-1".to_owned(),
        api_key: None,
        headers: Vec::new(),
        http: agent::http_client(None, None).unwrap(),
        model: "m".to_owned(),
        prices: None,
        effort: None,
    };
    let start = |endpoint: &agent::Endpoint| {
        let budget = crate::world::PLENTY;
        Proxy::start(
            crate::world::listener(),
            endpoint.clone().into(),
            budget,
            crate::world::run(),
        )
        .map(drop)
    };
    let error = start(&endpoint).unwrap_err();
    assert!(matches!(error, Error::Client { .. }) && !error.to_string().contains("secret-1"));
    endpoint.base_url = "http://127.0.0.1:9".to_owned();
    endpoint.headers.push(("x\ny".to_owned(), "secret-2".into()));
    let error = start(&endpoint).unwrap_err();
    assert!(matches!(error, Error::Client { .. }) && !error.to_string().contains("secret-2"));
}
