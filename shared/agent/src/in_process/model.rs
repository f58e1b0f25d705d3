//! Asks the model, again where that can help, and says in our words what went wrong.

use std::sync::atomic::{AtomicU64, Ordering};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use genai::adapter::AdapterKind;
use genai::chat::{ChatMessage, ChatOptions, ChatRequest, ReasoningEffort};
use genai::resolver::{AuthData, Endpoint};
use genai::{Headers, ModelIden, ServiceTarget};
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::answer::{Turn, quote};
use super::refusal::{Failed, Retry};
use super::{ModelSettings, Retries, tools};
use crate::Error;
use crate::http_client::ANSWER_TIMEOUT;

/// A model behind an OpenAI-compatible endpoint.
pub(super) struct Model {
    client: genai::Client,
    target: ServiceTarget,
    options: ChatOptions,
    /// What must not appear in an error, should the endpoint repeat it.
    secrets: Vec<SecretString>,
    answers: AtomicU64,
    pub(super) retries: Retries,
}

impl Model {
    pub(super) fn new(settings: ModelSettings) -> Result<Self, Error> {
        let ModelSettings {
            base_url,
            api_key,
            headers,
            model,
            http,
        } = settings;
        let client = genai::Client::builder()
            .with_reqwest(http)
            .build()
            .map_err(|_| Error::Client {
                reason: "genai refused the HTTP client".to_owned(),
            })?;
        let target = ServiceTarget {
            endpoint: Endpoint::from_owned(base_url.as_str()),
            // Our own headers and URL instead of a key: genai insists on a key, and joins URLs in a way that loses the
            // last segment of a base URL without a trailing slash.
            auth: AuthData::RequestOverride {
                url: chat_url(&base_url),
                headers: request_headers(api_key.as_ref(), &headers)?,
            },
            model: ModelIden::new(AdapterKind::OpenAI, model.as_str()),
        };
        // genai takes a suffix like `-high` off the model's name and sends it as reasoning effort. An effort given as
        // a budget keeps it from doing so and is not sent to this kind of endpoint; a `namespace::` is kept by
        // writing the name once more over the body.
        let options = ChatOptions::default()
            .with_capture_raw_body(true)
            .with_reasoning_effort(ReasoningEffort::Budget(0))
            .with_extra_body(json!({"model": model}));
        let secrets = api_key
            .into_iter()
            .chain(headers.into_iter().map(|(_, value)| value))
            .collect();
        Ok(Self {
            client,
            target,
            options,
            secrets,
            answers: AtomicU64::new(0),
            retries: Retries::default(),
        })
    }

    /// Sends the conversation and returns the model's answer. Tries again, within [`Retries`], where that may help.
    pub(super) async fn ask(&self, messages: &[ChatMessage]) -> Result<Turn, Error> {
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(self.retries.first_wait)
            .with_max_delay(self.retries.wait_max)
            .with_max_times(self.retries.tries.saturating_sub(1) as usize)
            .with_jitter()
            .build();
        loop {
            let Failed { error, retry } = match self.ask_once(messages).await {
                Ok(turn) => return Ok(turn),
                Err(failed) => failed,
            };
            let wait = match (retry, waits.next()) {
                (Retry::Later, Some(wait)) => wait,
                (Retry::After(after), Some(_)) if after <= self.retries.retry_after_max => after,
                _ => return Err(error),
            };
            tracing::warn!(%error, ?wait, "the model could not be asked; trying again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn ask_once(&self, messages: &[ChatMessage]) -> Result<Turn, Failed> {
        let request = ChatRequest::from_messages(messages.to_vec()).with_tools(tools::definitions());
        let bytes = messages.iter().map(ChatMessage::size).sum();
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        let asked = self
            .client
            .exec_chat(self.target.clone(), request, Some(&self.options));
        // The client has this limit as well, when it is ours; this one holds for any client.
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, asked).await.map_err(|_| {
            let reason = format!("no answer within {} s", ANSWER_TIMEOUT.as_secs());
            Failed {
                error: Error::ModelUnreachable { reason },
                retry: Retry::Later,
            }
        })?;
        match answer {
            Ok(response) => Turn::of_response(response, bytes, number).map_err(Failed::for_good),
            // One tool call that genai cannot read makes it refuse the answer; its text also holds the whole request.
            Err(genai::Error::ChatResponseGeneration { response_body, .. }) => {
                Turn::of_body(&response_body, bytes, number).map_err(Failed::for_good)
            }
            Err(error) => Err(Failed::of(error, &self.secrets)),
        }
    }
}

/// `…/chat/completions` under a base URL, whose query stays behind it.
fn chat_url(base_url: &str) -> String {
    let (path, query) = base_url
        .split_once('?')
        .map_or((base_url, None), |(path, query)| (path, Some(query)));
    let url = format!("{}/chat/completions", path.trim_end_matches('/'));
    query.map_or(url.clone(), |query| format!("{url}?{query}"))
}

fn request_headers(
    api_key: Option<&SecretString>,
    extra: &[(String, SecretString)],
) -> Result<Headers, Error> {
    let mut headers: Vec<(String, String)> = Vec::new();
    if let Some(key) = api_key {
        headers.push((
            "authorization".to_owned(),
            format!("Bearer {}", key.expose_secret()),
        ));
    }
    // Later ones win, so that a gateway may have its own authorization.
    headers.extend(
        extra
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.expose_secret().to_owned())),
    );
    for (name, value) in &headers {
        let valid = HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok();
        if !valid {
            // Not the value: it is a secret.
            return Err(Error::Client {
                reason: format!("{} is not a usable header", quote(name)),
            });
        }
    }
    Ok(Headers::from(headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chat_route_is_put_between_path_and_query() {
        for (base, url) in [
            ("http://llm/v1", "http://llm/v1/chat/completions"),
            ("http://llm/v1/", "http://llm/v1/chat/completions"),
            ("http://llm", "http://llm/chat/completions"),
            (
                "http://llm/gw?api-version=2",
                "http://llm/gw/chat/completions?api-version=2",
            ),
        ] {
            assert_eq!(chat_url(base), url);
        }
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_refused_without_its_value() {
        for name in ["x key", "x-key"] {
            let value = if name == "x-key" { "se\ncret" } else { "secret" };
            let error = request_headers(None, &[(name.to_owned(), value.into())])
                .unwrap_err()
                .to_string();
            assert!(error.contains(name) && !error.contains("cret"), "{error}");
        }
    }
}
