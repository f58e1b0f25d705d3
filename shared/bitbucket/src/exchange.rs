//! One call: limiter, headers, redirects, time-outs, bounded answer, classification, and a second try for reads.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use http::{HeaderMap, Method, header};
use reqwest::Response;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::answer::{classify, shown};
use crate::client::Client;
use crate::error::Error;
use crate::json;
use crate::route::Route;
use crate::transport::transport_error;

/// The longest JSON answer: a page of activities whose comments are as long as they may be fits several times.
const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Of an error's body only the beginning is looked at.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// A renamed and then moved repository takes two.
const REDIRECTS_MAX: usize = 3;

/// Further tries of a read.
const READ_RETRIES_MAX: usize = 2;

/// No further try of a read begins after this; longer outages are the pipeline's to wait for.
const READ_RETRY_BUDGET: Duration = Duration::from_secs(10);

/// First pause before another try; doubled, with jitter.
const READ_RETRY_PAUSE: Duration = Duration::from_millis(150);

/// Asks Bitbucket to accept writes without a browser's XSRF token (bitbucket-dc.md section 3).
const X_ATLASSIAN_TOKEN: &str = "x-atlassian-token";

/// A request to be made.
pub(crate) struct Call<'a> {
    method: Method,
    route: Route,
    url: Url,
    accept: &'static str,
    body: Option<&'a Value>,
}

/// A text answer, cut to what was allowed.
pub(crate) struct TextAnswer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) truncated: bool,
    pub(crate) bytes_total: Option<u64>,
}

impl Client {
    /// Reads JSON; tried again when Bitbucket is briefly away.
    pub(crate) async fn get(
        &self,
        route: Route,
        values: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Error> {
        self.get_with_headers(route, values, query)
            .await
            .map(|(_, json)| json)
    }

    /// The same, with the answer's headers.
    pub(crate) async fn get_with_headers(
        &self,
        route: Route,
        values: &[&str],
        query: &[(&str, &str)],
    ) -> Result<(HeaderMap, Value), Error> {
        let call = self.read_call(route, values, query, "application/json");
        self.retrying(|| async {
            let response = self.attempt(&call).await?;
            let headers = response.headers().clone();
            Ok((headers, self.json(response).await?))
        })
        .await
    }

    /// Reads text up to `bytes_max`.
    pub(crate) async fn get_text(
        &self,
        route: Route,
        values: &[&str],
        query: &[(&str, &str)],
        bytes_max: usize,
    ) -> Result<TextAnswer, Error> {
        self.up_to(self.read_call(route, values, query, "text/plain"), bytes_max)
            .await
    }

    /// Reads what is no JSON and may be no text.
    pub(crate) async fn get_bytes(
        &self,
        route: Route,
        values: &[&str],
        query: &[(&str, &str)],
        bytes_max: usize,
    ) -> Result<TextAnswer, Error> {
        self.up_to(self.read_call(route, values, query, "*/*"), bytes_max)
            .await
    }

    async fn up_to(&self, call: Call<'_>, bytes_max: usize) -> Result<TextAnswer, Error> {
        self.retrying(|| async {
            let response = self.attempt(&call).await?;
            let content_type = content_type(&response);
            if content_type.starts_with("text/html") {
                return Err(Error::NotJson { content_type });
            }
            let bytes_total = response.content_length();
            let (bytes, truncated) = self.read_up_to(response, bytes_max).await?;
            Ok(TextAnswer {
                bytes,
                truncated,
                bytes_total,
            })
        })
        .await
    }

    /// Writes once. `None` for an answer without a body. What may or may not have been done is `Ambiguous`.
    pub(crate) async fn write(
        &self,
        method: Method,
        route: Route,
        values: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Option<Value>, Error> {
        let url = route.url(&self.inner.base, values, query);
        let call = Call {
            method,
            route,
            url,
            accept: "application/json",
            body,
        };
        let written = async {
            let response = self.attempt(&call).await?;
            self.json_or_nothing(response).await
        };
        written.await.map_err(Error::of_write)
    }

    fn read_call(
        &self,
        route: Route,
        values: &[&str],
        query: &[(&str, &str)],
        accept: &'static str,
    ) -> Call<'static> {
        let url = route.url(&self.inner.base, values, query);
        Call {
            method: Method::GET,
            route,
            url,
            accept,
            body: None,
        }
    }

    async fn retrying<T, F>(&self, read: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let started = Instant::now();
        let pauses = ExponentialBuilder::default()
            .with_min_delay(READ_RETRY_PAUSE)
            .with_max_times(READ_RETRIES_MAX)
            .with_jitter();
        read.retry(pauses)
            .when(Error::is_passing)
            .adjust(|error, pause| {
                let pause = match error {
                    Error::RateLimited { after: Some(after) } => pause?.max(*after),
                    _ => pause?,
                };
                (started.elapsed() + pause <= READ_RETRY_BUDGET).then_some(pause)
            })
            .await
    }

    /// Sends the call, follows redirects, and turns whatever is not 2xx into an error.
    async fn attempt(&self, call: &Call<'_>) -> Result<Response, Error> {
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            self.inner.limiter.admit().await?;
            let response = match self.request(call, &url).send().await {
                Ok(response) => response,
                Err(error) => {
                    let error = transport_error(&error, self.inner.token.expose_secret());
                    observe(call, "none", Some(&error));
                    return Err(error);
                }
            };
            let status = response.status();
            observe(call, status.as_str(), None);
            if status.is_success() {
                return Ok(response);
            }
            if status.is_redirection() {
                url = self.redirect(call, &response)?;
                continue;
            }
            return Err(self.refused(response).await);
        }
        Err(Error::Redirected {
            to: without_query(&url),
        })
    }

    fn request(&self, call: &Call<'_>, url: &Url) -> reqwest::RequestBuilder {
        let request = self
            .inner
            .http
            .request(call.method.clone(), url.clone())
            .bearer_auth(self.inner.token.expose_secret())
            .header(header::ACCEPT, call.accept);
        let request = match &call.body {
            Some(body) => request.json(body),
            None => request,
        };
        if call.method == Method::GET {
            request
        } else {
            request.header(X_ATLASSIAN_TOKEN, "no-check")
        }
    }

    /// Where a redirect leads, if it may be followed: a read, to the REST API of the same Bitbucket. Anything else
    /// would hand the token to another host, or take a login page for an answer.
    fn redirect(&self, call: &Call<'_>, response: &Response) -> Result<Url, Error> {
        let location = response
            .headers()
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| response.url().join(location).ok());
        let Some(target) = target else {
            return Err(Error::Redirected {
                to: "nowhere".to_owned(),
            });
        };
        let rest = format!("{}/rest/", self.inner.base_url.path().trim_end_matches('/'));
        let same = target.origin() == self.inner.base_url.origin() && target.path().starts_with(&rest);
        if call.method == Method::GET && same {
            return Ok(target);
        }
        Err(Error::Redirected {
            to: shown(&without_query(&target), self.inner.token.expose_secret()),
        })
    }

    async fn refused(&self, response: Response) -> Error {
        let (status, headers) = (response.status(), response.headers().clone());
        // The status alone already says most, so a body that breaks off is no error of its own.
        let (body, _) = self
            .read_up_to(response, ERROR_BYTES_MAX)
            .await
            .unwrap_or_default();
        let error = classify(status, &headers, &body, self.inner.token.expose_secret());
        if let Error::RateLimited { after: Some(after) } = &error {
            self.inner.limiter.close_for(*after);
        }
        error
    }

    async fn json(&self, response: Response) -> Result<Value, Error> {
        let nothing = || Error::Garbled {
            what: "it is empty".to_owned(),
        };
        self.json_or_nothing(response).await?.ok_or_else(nothing)
    }

    async fn json_or_nothing(&self, response: Response) -> Result<Option<Value>, Error> {
        let content_type = content_type(&response);
        let (bytes, truncated) = self.read_up_to(response, JSON_BYTES_MAX).await?;
        if truncated {
            return Err(Error::TooLong {
                bytes_max: JSON_BYTES_MAX,
            });
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        if !content_type.contains("json") {
            return Err(Error::NotJson { content_type });
        }
        json::parse(&bytes)
            .map(Some)
            .map_err(|what| Error::Garbled { what })
    }

    /// The body's first `bytes_max` bytes and whether there were more.
    async fn read_up_to(&self, mut response: Response, bytes_max: usize) -> Result<(Vec<u8>, bool), Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| transport_error(&error, self.inner.token.expose_secret()))?
        {
            let room = bytes_max - bytes.len();
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                return Ok((bytes, true));
            }
        }
        Ok((bytes, false))
    }
}

fn observe(call: &Call<'_>, status: &str, error: Option<&Error>) {
    let route = call.route.template();
    telemetry::metrics::bitbucket_calls(route, status).inc();
    tracing::debug!(method = %call.method, route, status, error = error.map(tracing::field::display), "Bitbucket call");
}

fn content_type(response: &Response) -> String {
    let value = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    shown(value.unwrap_or("nothing"), "")
}

fn without_query(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}
