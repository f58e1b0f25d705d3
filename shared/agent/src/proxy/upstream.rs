//! Asks the endpoint, again where that can help, and takes the answer's head.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::Patience;
use super::api::Api;
use super::failed::{Failed, Retry};
use super::redact::Redactor;
use crate::Error;
use crate::endpoint::{Endpoint, Provider};

/// The beginning of an error's body; the rest tells nobody more.
const ERROR_BYTES_MAX: usize = 64 * 1024;

const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// The version of Anthropic's API for agents that name none.
const USUAL_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Features of Anthropic's API that an agent may switch on, by how they begin: all change how the model thinks, caches
/// or writes. Left out are those with which Anthropic executes, fetches or stores something, and those with prices of
/// their own.
const BETAS: [&str; 8] = [
    "claude-code-",
    "effort-",
    "extended-cache-ttl-",
    "fine-grained-tool-streaming-",
    "interleaved-thinking-",
    "prompt-caching-",
    "structured-outputs-",
    "token-efficient-tools-",
];

/// The one endpoint of a proxy.
pub(crate) struct Upstream {
    endpoint: Arc<Endpoint>,
    /// Authentication and configured headers.
    headers: HeaderMap,
    patience: Patience,
    redactor: Arc<Redactor>,
}

impl Upstream {
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        patience: Patience,
        redactor: Arc<Redactor>,
    ) -> Result<Self, Error> {
        let headers = endpoint.request_headers()?;
        Ok(Self {
            endpoint,
            headers,
            patience,
            redactor,
        })
    }

    /// Sends a request and returns the head of a 2xx answer. Tries again, within [`Patience`], where that may help;
    /// `asking` is set as long as a request is under way that the endpoint may charge for.
    pub(crate) async fn ask(
        &self,
        api: Api,
        client: &HeaderMap,
        body: Bytes,
        asking: &mut bool,
    ) -> Result<Response, Failed> {
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(self.patience.first_wait)
            .with_max_delay(self.patience.wait_max)
            .with_max_times(self.patience.tries.saturating_sub(1) as usize)
            .with_jitter()
            .build();
        loop {
            *asking = true;
            let asked = self.ask_once(api, client, body.clone()).await;
            *asking = asked.is_ok();
            let failed = match asked {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let wait = match (failed.retry, waits.next()) {
                (Retry::Later, Some(wait)) => wait,
                (Retry::After(after), Some(_)) if after <= self.patience.retry_after_max => after,
                _ => return Err(failed),
            };
            tracing::warn!(error = %failed.error, ?wait, "the model could not be asked; trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// The next piece of an answer; `None` at its end.
    pub(crate) async fn piece(&self, response: &mut Response) -> Result<Option<Bytes>, Failed> {
        tokio::time::timeout(self.patience.idle, response.chunk())
            .await
            .map_err(|_| Failed::silent(self.patience.idle))?
            .map_err(|error| Failed::of_network(error, &self.redactor))
    }

    async fn ask_once(&self, api: Api, client: &HeaderMap, body: Bytes) -> Result<Response, Failed> {
        let url = self
            .endpoint
            .url(api.route())
            .map_err(|error| Failed::answer(&error.to_string(), &self.redactor))?;
        let mut headers = passed_on(client);
        if self.endpoint.provider == Provider::Anthropic {
            headers.entry(ANTHROPIC_VERSION).or_insert(USUAL_VERSION);
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        let request = self.endpoint.http.post(url).headers(headers).body(body);
        let answer = within(self.patience.first_byte, request.send()).await?;
        let mut response = answer.map_err(|error| Failed::of_network(error, &self.redactor))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let said = self.beginning(&mut response).await;
        Err(Failed::of_status(
            response.status().as_u16(),
            response.headers(),
            &said,
            &self.redactor,
        ))
    }

    /// The first bytes of an error, as far as they come.
    async fn beginning(&self, response: &mut Response) -> Vec<u8> {
        let mut said = Vec::new();
        while said.len() < ERROR_BYTES_MAX {
            match self.piece(response).await {
                Ok(Some(piece)) => said.extend_from_slice(&piece),
                // The status says enough.
                Ok(None) | Err(_) => break,
            }
        }
        said.truncate(ERROR_BYTES_MAX);
        said
    }
}

async fn within<T>(limit: Duration, asked: impl Future<Output = T>) -> Result<T, Failed> {
    tokio::time::timeout(limit, asked)
        .await
        .map_err(|_| Failed::silent(limit))
}

/// What of a client's headers goes on. The body was written anew, so its type is ours to say.
fn passed_on(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for name in [ACCEPT, ANTHROPIC_VERSION] {
        if let Some(value) = client.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let betas: Vec<&str> = client
        .get_all(ANTHROPIC_BETA)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|beta| BETAS.iter().any(|allowed| beta.starts_with(allowed)))
        .collect();
    if let Ok(value) = HeaderValue::try_from(betas.join(","))
        && !betas.is_empty()
    {
        headers.insert(ANTHROPIC_BETA, value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_headers_and_features_of_a_client_go_on() {
        let mut client = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer run-1"),
            ("x-api-key", "run-1"),
            ("cookie", "a=b"),
            ("host", "elsewhere"),
            ("openai-organization", "org"),
            ("x-forwarded-for", "1.2.3.4"),
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("accept", "text/event-stream"),
            ("anthropic-version", "2023-06-01"),
        ] {
            client.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        for betas in [
            "mcp-client-2025-04-04, interleaved-thinking-2025-05-14",
            "files-api-2025-04-14,claude-code-2",
        ] {
            client.append(ANTHROPIC_BETA, HeaderValue::from_static(betas));
        }
        let passed = passed_on(&client);
        let mut names: Vec<_> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["accept", "anthropic-beta", "anthropic-version", "content-type"]
        );
        assert_eq!(passed["content-type"], "application/json");
        assert_eq!(
            passed["anthropic-beta"],
            "interleaved-thinking-2025-05-14,claude-code-2"
        );
    }
}
