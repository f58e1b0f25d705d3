//! Sends one delivery and says what came back.

use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::json::{Json, object};

/// `plugin.webhooks.socket.timeout`
const TIMEOUT: Duration = Duration::from_secs(20);
/// `plugin.webhooks.http.connection.host.max`
const CONNECTIONS_PER_HOST_MAX: usize = 5;
/// The bounded part of an answer that is kept.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
const USER_AGENT: &str = "Atlassian HttpClient 4.2.0 / Bitbucket-10.2.7 (10002007) / Default";

/// One request to a webhook's URL.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) url: String,
    pub(crate) event_key: String,
    pub(crate) body: String,
    /// Signs the body; pings are never signed.
    pub(crate) secret: Option<String>,
    pub(crate) credentials: Option<(String, String)>,
    pub(crate) verify_tls: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) result: Result<Received, String>,
}

/// An answer: status and the beginning of its body.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Clients with and without verification of certificates.
#[derive(Debug)]
pub(crate) struct Sender {
    strict: reqwest::Client,
    lax: reqwest::Client,
}

impl Sender {
    /// Two clients that follow no redirects and use no proxy.
    pub(crate) fn new() -> anyhow::Result<Sender> {
        let builder = || {
            reqwest::Client::builder()
                .timeout(TIMEOUT)
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .pool_max_idle_per_host(CONNECTIONS_PER_HOST_MAX)
                .user_agent(USER_AGENT)
        };
        let strict = builder().build().context("no HTTP client")?;
        // `sslVerificationRequired: false` is a setting of Bitbucket's webhooks.
        let lax = builder()
            .tls_danger_accept_invalid_certs(true)
            .build()
            .context("no HTTP client")?;
        Ok(Sender { strict, lax })
    }

    /// Sends it, with an own request id.
    pub(crate) async fn send(&self, outgoing: &Outgoing) -> Sent {
        let headers = headers(outgoing);
        let client = if outgoing.verify_tls {
            &self.strict
        } else {
            &self.lax
        };
        let mut request = client.post(&outgoing.url).body(outgoing.body.clone());
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        let result = async {
            let mut response = request.send().await?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            while body.len() < ANSWER_BYTES_MAX {
                let Some(chunk) = response.chunk().await? else {
                    break;
                };
                body.extend_from_slice(&chunk);
            }
            body.truncate(ANSWER_BYTES_MAX);
            Ok(Received {
                status,
                body: String::from_utf8_lossy(&body).into_owned(),
            })
        };
        let result = result
            .await
            .map_err(|error: reqwest::Error| format!("{:#}", anyhow::Error::from(error)));
        Sent { headers, result }
    }
}

fn headers(outgoing: &Outgoing) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("X-Event-Key", outgoing.event_key.clone()),
        ("X-Request-Id", uuid::Uuid::new_v4().to_string()),
        ("Content-Type", "application/json; charset=utf-8".to_owned()),
    ];
    if let Some(secret) = &outgoing.secret {
        headers.push(("X-Hub-Signature", signature(secret, &outgoing.body)));
    }
    if let Some((name, password)) = &outgoing.credentials {
        headers.push((
            "Authorization",
            format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))),
        ));
    }
    headers
}

/// `sha256=` and the HMAC of the raw body.
fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl Sent {
    /// `SUCCESS`, `FAILURE` or `ERROR`.
    pub(crate) fn outcome(&self) -> &'static str {
        match &self.result {
            Ok(received) if (200..300).contains(&received.status) => "SUCCESS",
            Ok(_) => "FAILURE",
            Err(_) => "ERROR",
        }
    }

    /// The answer as the log shows it.
    pub(crate) fn answer(&self) -> Json {
        match &self.result {
            Ok(received) => object! { "status": u32::from(received.status), "body": &received.body },
            Err(error) => object! { "error": error },
        }
    }

    /// The headers sent, as an object.
    pub(crate) fn headers_json(&self) -> Json {
        Json::Object(
            self.headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Json::from(value)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_of_the_known_vector() {
        let body = include_str!("../../fixtures/signature_vector_body.json");
        assert_eq!(
            signature("mysecret", body),
            "sha256=ed11f92d1565a4de586727fe8260558277d58009e8957a79eb4749a7009ce083"
        );
    }
}
