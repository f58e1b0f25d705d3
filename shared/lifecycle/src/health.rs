//! What a process says about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::http::{self, HttpLimits};
use crate::shutdown::Shutdown;

/// Warnings kept; they are texts of the configuration and of faults, not of traffic.
const WARNINGS_MAX: usize = 100;

/// Probes and scrapers are few; anything beyond is a mistake or an attack.
const HEALTH_CONNECTIONS_MAX: usize = 64;

/// What the parts of a process say about themselves. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    /// Why each part is not ready; `None` when it is.
    parts: BTreeMap<String, Option<String>>,
    warnings: BTreeSet<String>,
    /// Warnings that may be taken back, by what they are about.
    passing: BTreeMap<String, String>,
    /// What holds for this process, by what it is about.
    facts: BTreeMap<String, serde_json::Value>,
}

/// The body of `/readyz`.
#[derive(Serialize)]
struct Report {
    ready: bool,
    /// `"ready"`, or why not.
    parts: BTreeMap<String, String>,
    warnings: Vec<String>,
    /// Such as how agents are confined here.
    #[serde(flatten)]
    facts: BTreeMap<String, serde_json::Value>,
}

/// Names of the report that are no facts.
const RESERVED: [&str; 3] = ["ready", "parts", "warnings"];

impl Health {
    /// Nothing said yet, which is not ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// A part works.
    pub fn ready(&self, part: &str) {
        self.lock().parts.insert(part.to_owned(), None);
    }

    /// A part does not work; `why` is a sentence for operators. A part that will be needed says so at start.
    pub fn not_ready(&self, part: &str, why: impl Into<String>) {
        self.lock().parts.insert(part.to_owned(), Some(why.into()));
    }

    /// Something works that an operator should know about. The same text counts once.
    pub fn warn(&self, text: impl Into<String>) {
        let mut state = self.lock();
        if state.warnings.len() < WARNINGS_MAX {
            state.warnings.insert(text.into());
        }
    }

    /// What is wrong now with `key` although every part is ready; `None` takes it back.
    pub fn set_warning(&self, key: &str, text: Option<String>) {
        let mut state = self.lock();
        match text {
            Some(text) if state.passing.len() < WARNINGS_MAX || state.passing.contains_key(key) => {
                state.passing.insert(key.to_owned(), text);
            }
            Some(_) => {}
            None => drop(state.passing.remove(key)),
        }
    }

    /// Something that holds for this process and that operators look up: its own field of `/readyz`, named `key`.
    pub fn set_fact(&self, key: &'static str, value: serde_json::Value) {
        debug_assert!(!RESERVED.contains(&key), "{key} is a field of its own");
        self.lock().facts.insert(key.to_owned(), value);
    }

    /// Whether every part is ready, and there is one.
    pub fn is_ready(&self) -> bool {
        let state = self.lock();
        !state.parts.is_empty() && state.parts.values().all(Option::is_none)
    }

    fn report(&self) -> Report {
        let ready = self.is_ready();
        let state = self.lock();
        let parts = state
            .parts
            .iter()
            .map(|(part, why)| (part.clone(), why.clone().unwrap_or_else(|| "ready".to_owned())));
        Report {
            ready,
            parts: parts.collect(),
            warnings: state
                .warnings
                .iter()
                .chain(state.passing.values())
                .cloned()
                .collect(),
            facts: state.facts.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        // Every change is one insertion, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers `GET /livez`, `/readyz` and `/metrics` until the soft token: a process that is draining takes no traffic,
/// and one that does not answer is not ready.
pub async fn serve_health(listener: TcpListener, health: Health, shutdown: Shutdown) -> anyhow::Result<()> {
    let app = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health);
    let limits = HttpLimits {
        connections_max: HEALTH_CONNECTIONS_MAX,
        ..HttpLimits::default()
    };
    http::serve(listener, app, limits, shutdown).await
}

async fn readyz(State(health): State<Health>) -> Response {
    let report = health.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}

async fn metrics() -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, telemetry::metrics::render()).into_response()
}
