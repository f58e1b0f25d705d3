//! A scripted endpoint, a proxy in front of it, and a client that has its throw-away key.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agent::{Budget, Endpoint, Patience, Prices, Provider, Proxy, ProxyEnd};
use pipeline::ids::RunId;
use reqwest::{Response, StatusCode};
use scripted_llm::{Request, Script, ScriptedLlm};
use serde_json::{Value, json};

/// Far more than anything here takes; a test that reaches it has hung.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The real key, which no client may ever see.
pub(crate) const REAL_KEY: &str = "real-key-4f0c92";

/// The value of a configured header, as secret as the key.
pub(crate) const GATEWAY: &str = "gateway-7d11ab";

/// More than any test uses.
pub(crate) const PLENTY: Budget = Budget {
    turns: 1000,
    tokens: 1_000_000_000,
    usd: None,
};

/// Gives up quickly.
pub(crate) const HASTY: Patience = Patience {
    tries: 3,
    first_wait: Duration::from_millis(1),
    wait_max: Duration::from_millis(10),
    retry_after_max: Duration::from_secs(1),
    first_byte: LIMIT,
    idle: LIMIT,
};

/// The three APIs in which a model is asked: path, and where a request has its conversation.
pub(crate) const APIS: [(&str, &str); 3] = [
    ("/v1/chat/completions", "messages"),
    ("/v1/responses", "input"),
    ("/v1/messages", "messages"),
];

/// Everything that a test has.
pub(crate) struct World {
    pub(crate) model: ScriptedLlm,
    pub(crate) proxy: Proxy,
    pub(crate) client: reqwest::Client,
}

/// What a test may want otherwise.
pub(crate) struct Setting {
    pub(crate) script: Value,
    pub(crate) budget: Budget,
    pub(crate) patience: Patience,
    pub(crate) provider: Provider,
    pub(crate) prices: Option<Prices>,
    pub(crate) base_url: Option<String>,
}

impl Setting {
    pub(crate) fn new(script: Value) -> Self {
        Self {
            script,
            budget: PLENTY,
            patience: HASTY,
            provider: Provider::OpenAi,
            prices: None,
            base_url: None,
        }
    }

    pub(crate) async fn start(self) -> World {
        let script = Script::from_value(self.script).expect("the test's script is valid");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let model = ScriptedLlm::start(listen, script)
            .await
            .expect("loopback is free");
        let endpoint = Endpoint {
            provider: self.provider,
            base_url: self.base_url.unwrap_or_else(|| model.base_url()),
            api_key: Some(REAL_KEY.into()),
            headers: vec![("X-Gateway".to_owned(), GATEWAY.into())],
            http: agent::http_client(None, None).expect("no special settings"),
            model: "the-model".to_owned(),
            prices: self.prices,
            effort: None,
        };
        let proxy = Proxy::start_with(listener(), Arc::new(endpoint), self.budget, run(), self.patience)
            .expect("a usable endpoint");
        World {
            model,
            proxy,
            client: client(),
        }
    }
}

pub(crate) fn listener() -> std::net::TcpListener {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is free")
}

pub(crate) fn run() -> RunId {
    RunId::new("r-0123456789ab").expect("a run id")
}

/// A client that neither follows redirects nor knows a proxy.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LIMIT)
        .build()
        .expect("no special settings")
}

/// A request that says `text`.
pub(crate) fn says(field: &str, text: &str) -> Value {
    json!({"model": "the-model", field: [{"role": "user", "content": text}]})
}

/// The same, streamed.
pub(crate) fn streams(field: &str, text: &str) -> Value {
    let mut body = says(field, text);
    body["stream"] = true.into();
    body
}

impl World {
    pub(crate) async fn with(script: Value) -> Self {
        Setting::new(script).start().await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy.addr())
    }

    /// Posts a body with the run's key.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.client
            .post(self.url(path))
            .bearer_auth(self.proxy.key())
            .json(body)
            .send()
            .await
            .expect("the proxy answers")
    }

    /// Posts and returns status and body.
    pub(crate) async fn ask(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let response = self.post(path, body).await;
        (
            response.status(),
            response.json().await.expect("the answer is JSON"),
        )
    }

    /// Says `text` in chat completions.
    pub(crate) async fn chat(&self, text: &str) -> (StatusCode, Value) {
        self.ask("/v1/chat/completions", &says("messages", text)).await
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.model.requests()
    }

    pub(crate) async fn end(self) -> ProxyEnd {
        tokio::time::timeout(LIMIT, self.proxy.stop())
            .await
            .expect("the proxy stops")
    }
}

/// The lines of a transcript.
pub(crate) fn lines(end: &ProxyEnd) -> Vec<Value> {
    let text = std::str::from_utf8(&end.transcript).expect("it is text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect()
}

/// The message of an error, which must have the form of the path's API.
pub(crate) fn message<'body>(path: &str, body: &'body Value) -> &'body str {
    let error = &body["error"];
    assert!(error["type"].is_string(), "{path}: {body}");
    assert_eq!(
        body["type"] == "error",
        path.contains("/messages"),
        "{path}: {body}"
    );
    error["message"].as_str().expect("an error says something")
}
