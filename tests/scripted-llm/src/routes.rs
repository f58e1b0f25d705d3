//! HTTP: the three model APIs under any base path, and the control routes under `/llm/v1`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::answer::{self, Answer};
use crate::conversation::{self, Api};
use crate::ledger::{Arrival, Ledger, Request};
use crate::script::{Delivery, Reply, Script, WAIT_MAX};

/// A context window of a million tokens is about 4 MB of text; this leaves room for JSON's escapes.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

#[derive(Clone)]
struct Shared {
    ledger: Arc<Ledger>,
    stopped: watch::Receiver<bool>,
}

pub(crate) fn router(ledger: Arc<Ledger>, stopped: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/llm/v1/requests", get(requests))
        .route("/llm/v1/script", put(script))
        .route("/llm/v1/release", post(release))
        .fallback(model)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Shared { ledger, stopped })
}

/// Returns when the endpoint is being shut down or was dropped.
pub(crate) async fn until_stopped(mut stopped: watch::Receiver<bool>) {
    // An error means the sender is gone, which is also the end.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Any request to a model API.
async fn model(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let json: Result<Value, _> = serde_json::from_slice(&body);
    let arrival = Arrival {
        method: method.to_string(),
        path: uri.to_string(),
        headers: headers
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect(),
        body: json
            .as_ref()
            .cloned()
            .unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into()),
    };
    let api = Api::of_path(uri.path());
    let (number, response) = match api {
        Some(Api::CountTokens) if method == Method::POST => {
            let count = json!({"input_tokens": answer::input_tokens(json.as_ref().unwrap_or(&Value::Null))});
            (
                shared.ledger.record(arrival, None).number,
                Json(count).into_response(),
            )
        }
        Some(api) if method == Method::POST => converse(&shared, api, json, arrival).await,
        None if method == Method::GET && uri.path().trim_end_matches('/').ends_with("/models") => (
            shared.ledger.record(arrival, None).number,
            Json(answer::models()).into_response(),
        ),
        Some(_) => {
            let why = format!("{method} is not allowed here");
            (
                shared.ledger.record(arrival, None).number,
                answer::error(api, StatusCode::METHOD_NOT_ALLOWED, &why),
            )
        }
        None => {
            let why = format!("nothing answers {method} {}", uri.path());
            (
                shared.ledger.record(arrival, None).number,
                answer::error(api, StatusCode::NOT_FOUND, &why),
            )
        }
    };
    shared.ledger.answered(number, response.status().as_u16());
    response
}

/// A conversation: checks it as a real endpoint would, finds the rule, waits if it says so, and answers.
async fn converse(
    shared: &Shared,
    api: Api,
    json: Result<Value, serde_json::Error>,
    arrival: Arrival,
) -> (u64, Response) {
    let checked = json
        .map_err(|error| format!("the body is not JSON: {error}"))
        .and_then(|body| {
            let turns = api.turns(&body)?;
            if api == Api::ChatCompletions {
                conversation::check_tool_messages(&turns)?;
            }
            Ok((body, turns))
        });
    let (body, turns) = match checked {
        Ok(checked) => checked,
        Err(why) => {
            let number = shared.ledger.record(arrival, None).number;
            return (number, answer::error(Some(api), StatusCode::BAD_REQUEST, &why));
        }
    };
    let said = conversation::last_said(&turns);
    let mut decision = shared.ledger.record(arrival, Some(&said));
    let Some(mut reply) = decision.reply.take() else {
        let why = format!(
            "no rule of the script matches {:?}",
            said.chars().take(200).collect::<String>()
        );
        return (
            decision.number,
            answer::error(Some(api), StatusCode::INTERNAL_SERVER_ERROR, &why),
        );
    };
    loop {
        reply = match reply {
            Reply::Delay { delay, then } => match wait(shared, tokio::time::sleep(delay)).await {
                Waited::Over => *then,
                stopped => return (decision.number, stopped.answer(api)),
            },
            Reply::Hold { then } => match wait(shared, decision.releases.changed()).await {
                Waited::Over => *then,
                stopped => return (decision.number, stopped.answer(api)),
            },
            Reply::Status {
                status,
                retry_after,
                message,
            } => {
                return (
                    decision.number,
                    scripted_error(api, status, retry_after, message.as_deref()),
                );
            }
            Reply::Garbage(text) => {
                return (
                    decision.number,
                    ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
                );
            }
            Reply::Message {
                text,
                tool_calls,
                delivery,
            } => {
                let answer = Answer::new(decision.number, &body, text, tool_calls, delivery.usage);
                let number = decision.number;
                return (
                    number,
                    respond(shared, api, &body, &answer, &delivery, decision.releases),
                );
            }
        };
    }
}

enum Waited {
    Over,
    TooLong,
    Stopped,
}

impl Waited {
    fn answer(self, api: Api) -> Response {
        match self {
            Self::TooLong => answer::error(Some(api), StatusCode::GATEWAY_TIMEOUT, "held for too long"),
            Self::Over | Self::Stopped => answer::error(
                Some(api),
                StatusCode::SERVICE_UNAVAILABLE,
                "the scripted model is shutting down",
            ),
        }
    }
}

async fn wait(shared: &Shared, event: impl Future) -> Waited {
    tokio::select! {
        _ = event => Waited::Over,
        () = until_stopped(shared.stopped.clone()) => Waited::Stopped,
        // One second more than the longest delay, so that a delay of exactly that length still answers.
        () = tokio::time::sleep(WAIT_MAX + Duration::from_secs(1)) => Waited::TooLong,
    }
}

fn scripted_error(api: Api, status: u16, retry_after: Option<String>, message: Option<&str>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer::error(Some(api), status, message.unwrap_or("scripted error"));
    if let Some(value) = retry_after.and_then(|value| value.parse().ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

fn respond(
    shared: &Shared,
    api: Api,
    body: &Value,
    answer: &Answer,
    delivery: &Delivery,
    releases: watch::Receiver<u64>,
) -> Response {
    if body["stream"] != true {
        return Json(answer.whole(api)).into_response();
    }
    let stream = Stream {
        shared: shared.clone(),
        frames: answer.stream(api, body).into(),
        sent: 0,
        hold_after: delivery.hold_after,
        cut_after: delivery.cut_after,
        releases,
    };
    let frames = futures::stream::unfold(stream, |mut stream| async move {
        let frame = stream.next().await?;
        Some((frame, stream))
    });
    (
        [(header::CONTENT_TYPE, "text/event-stream")],
        Body::from_stream(frames),
    )
        .into_response()
}

/// A streamed answer on its way.
struct Stream {
    shared: Shared,
    frames: VecDeque<String>,
    sent: usize,
    hold_after: Option<usize>,
    cut_after: Option<usize>,
    releases: watch::Receiver<u64>,
}

impl Stream {
    /// The next event; an error breaks the connection.
    async fn next(&mut self) -> Option<std::io::Result<String>> {
        if self.hold_after == Some(self.sent) {
            self.hold_after = None;
            let waited = wait(&self.shared, self.releases.changed()).await;
            if !matches!(waited, Waited::Over) {
                return Some(Err(std::io::Error::other("held for too long, or shutting down")));
            }
        }
        if self.cut_after == Some(self.sent) {
            // The server sends what it has when it has to wait; an error at once would take it along.
            tokio::task::yield_now().await;
            return Some(Err(std::io::Error::other("cut off by the script")));
        }
        self.sent += 1;
        self.frames.pop_front().map(Ok)
    }
}

#[derive(Deserialize)]
struct RequestsQuery {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    wait_ms: u64,
}

async fn requests(State(shared): State<Shared>, Query(query): Query<RequestsQuery>) -> Json<Vec<Request>> {
    let limit = Duration::from_millis(query.wait_ms).min(WAIT_MAX);
    tokio::select! {
        () = shared.ledger.arrival(query.after.saturating_add(1)) => {}
        () = tokio::time::sleep(limit) => {}
        () = until_stopped(shared.stopped.clone()) => {}
    }
    Json(shared.ledger.requests(query.after))
}

async fn script(State(shared): State<Shared>, body: String) -> Response {
    match Script::parse(&body) {
        Ok(script) => {
            shared.ledger.set_script(script);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({"error": error.to_string()}))).into_response(),
    }
}

async fn release(State(shared): State<Shared>) -> StatusCode {
    shared.ledger.release();
    StatusCode::NO_CONTENT
}
