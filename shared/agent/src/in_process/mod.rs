//! The agent that comes with the product: one linear conversation with a model that has four tools.

mod answer;
mod conversation;
mod model;
mod prompt;
mod refusal;
mod session;
mod tools;

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::mpsc;

use crate::{CodingAgent, Error, Progress, Report, Task};
use model::Model;
use session::Session;

/// The built-in agent over one model.
pub struct Builtin {
    model: Model,
}

impl Builtin {
    /// An agent for the model of `settings`.
    ///
    /// Fails with [`Error::Client`] when they cannot be used: a header that is none, for instance.
    pub fn new(settings: ModelSettings) -> Result<Self, Error> {
        Model::new(settings).map(|model| Self { model })
    }

    /// The same agent with other retries than the default ones.
    #[must_use]
    pub fn with_retries(mut self, retries: Retries) -> Self {
        self.model.retries = retries;
        self
    }
}

#[async_trait]
impl CodingAgent for Builtin {
    fn name(&self) -> &'static str {
        "builtin"
    }

    async fn run(&self, task: Task, progress: mpsc::Sender<Progress>) -> Result<Report, Error> {
        Session::new(&self.model, task, progress)?.run().await
    }
}

/// Where the model is and how to ask it.
#[derive(Debug, Clone)]
pub struct ModelSettings {
    /// Base URL of an OpenAI-compatible endpoint, `https://llm.example.com/v1`; a query is kept.
    pub base_url: String,
    /// Sent as bearer token; a local endpoint may need none.
    pub api_key: Option<SecretString>,
    /// Further headers, for a gateway.
    pub headers: Vec<(String, SecretString)>,
    /// The model's name, sent as it is.
    pub model: String,
    /// The client to ask with, as built by [`crate::http_client()`].
    pub http: reqwest::Client,
}

/// How often and how fast a failed request to the model is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Requests in all, the first one included.
    pub tries: u32,
    /// The wait before the second; it doubles with each one, and is jittered.
    pub first_wait: Duration,
    /// The longest wait without a `Retry-After`.
    pub wait_max: Duration,
    /// The longest `Retry-After` that is waited for. A longer one ends the run, which the person can repeat.
    pub retry_after_max: Duration,
}

impl Default for Retries {
    /// Bridges the restart of a gateway, half a minute, and the usual one-minute windows of rate limits.
    fn default() -> Self {
        Self {
            tries: 6,
            first_wait: Duration::from_secs(1),
            wait_max: Duration::from_secs(20),
            retry_after_max: Duration::from_mins(2),
        }
    }
}
