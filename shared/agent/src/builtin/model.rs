//! Asks the model through the proxy of the run, which holds the key, tries again and counts.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::Value;

use super::answer::{Turn, quote};
use super::api::{Api, Question, error_message};
use super::conversation::Message;
use super::line::{Order, Unanswered};
use super::prompt;
use super::tools::{self, Definition};

/// The proxy is on this machine; where it does not take a connection at once, it is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read; the longest ones of today's models have half a megabyte.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How much of a refusal is read; more of it than this is never shown.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// A model behind the proxy.
pub(super) struct Model {
    http: Client,
    url: String,
    headers: HeaderMap,
    name: String,
    api: Api,
    tools: Vec<Definition>,
    answers: u64,
    sealed_thoughts: bool,
}

impl Model {
    /// A model that is asked as the order says. Fails with what is wrong with the order.
    pub(super) fn new(order: &Order) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in order.api.headers(&order.key) {
            // Not the error: it may repeat the key.
            let mut value = HeaderValue::try_from(value).map_err(|_| format!("{name} cannot be sent"))?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let http = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            // Plain HTTP on loopback: no certificates are looked for, which a cell may not have.
            .tls_certs_only([])
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(order.wall)
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        Ok(Self {
            http,
            url: format!("{}{}", order.base_url.trim_end_matches('/'), order.api.path()),
            headers,
            name: order.model.clone(),
            api: order.api,
            tools: tools::definitions(),
            answers: 0,
            sealed_thoughts: order.api == Api::Responses,
        })
    }

    /// Sends the conversation and returns the model's answer.
    ///
    /// Whether a model can seal its thoughts is found out by asking for it; one that cannot is asked without.
    pub(super) async fn ask(&mut self, messages: &[Message]) -> Result<Turn, Unanswered> {
        let answer = self.ask_once(messages).await;
        match &answer {
            Err(Unanswered::Refused { status: 400, said })
                if self.sealed_thoughts && said.contains("ncrypted") =>
            {
                self.sealed_thoughts = false;
                self.ask_once(messages).await
            }
            _ => answer,
        }
    }

    async fn ask_once(&mut self, messages: &[Message]) -> Result<Turn, Unanswered> {
        let body = self.api.request(&Question {
            model: &self.name,
            system: prompt::SYSTEM,
            tools: &self.tools,
            messages,
            sealed_thoughts: self.sealed_thoughts,
        });
        let sent = self
            .http
            .post(&self.url)
            .headers(self.headers.clone())
            .body(body.to_string());
        let mut response = sent.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        if status != 200 {
            let (said, _) = read(&mut response, REFUSAL_BYTES_MAX).await?;
            return Err(refused(status, &said));
        }
        let (bytes, whole) = read(&mut response, ANSWER_BYTES_MAX).await?;
        let garbled = |reason| Unanswered::Garbled { reason };
        if !whole {
            return Err(garbled(format!("it is larger than {ANSWER_BYTES_MAX} bytes")));
        }
        let body: Value =
            serde_json::from_slice(&bytes).map_err(|error| garbled(format!("not JSON: {error}")))?;
        self.answers += 1;
        let answered = self.api.read(&body).map_err(garbled)?;
        Ok(Turn::of(answered, self.answers))
    }
}

/// The beginning of a body, and whether that is all of it.
async fn read(response: &mut Response, bytes_max: usize) -> Result<(Vec<u8>, bool), Unanswered> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > bytes_max {
            return Ok((body, false));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, true))
}

fn unreachable(error: reqwest::Error) -> Unanswered {
    // The innermost cause says most.
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        reason = cause.to_string();
        source = cause.source();
    }
    Unanswered::Unreachable {
        reason: quote(&reason),
    }
}

fn refused(status: u16, body: &[u8]) -> Unanswered {
    let text = String::from_utf8_lossy(body);
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = quote(error_message(&json).unwrap_or(&text));
    if is_too_long(status, &text) {
        Unanswered::TooLong { said }
    } else {
        Unanswered::Refused { status, said }
    }
}

/// Whether a refusal is about the conversation's length. There is no code for it that all endpoints use, but all say it
/// in English.
fn is_too_long(status: u16, body: &str) -> bool {
    let said = body.to_ascii_lowercase();
    let words = ["context", "too long", "too many tokens"];
    status == 413 || (status == 400 && words.iter().any(|words| said.contains(words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_about_the_length_are_told_from_others() {
        for (status, said, too_long) in [
            (400, "This model's maximum context length is 4096 tokens.", true),
            (400, "prompt is too long: 210000 tokens > 200000 maximum", true),
            (413, "Request Entity Too Large", true),
            (400, "unknown parameter", false),
            (429, "budget: too many tokens", false),
        ] {
            let body = serde_json::json!({"error": {"message": said}}).to_string();
            let refused = refused(status, body.as_bytes());
            assert_eq!(
                matches!(&refused, Unanswered::TooLong { said: quoted } if quoted.contains(said)),
                too_long,
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_refusal_that_is_no_json_is_quoted() {
        let refused = refused(502, b"<html>\nbad gateway");
        assert!(
            matches!(&refused, Unanswered::Refused { status: 502, said } if said == "\"<html> bad gateway\""),
            "{refused:?}"
        );
    }
}
