//! Where the model is, what it costs, and the only place that holds its key.

use std::fmt;

use pipeline::options::Effort;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use crate::Error;

/// A name in an error is quoted up to here.
const NAME_CHARS_MAX: usize = 80;

/// One model behind one address. Every model call of every run goes there and nowhere else.
#[derive(Clone)]
pub struct Endpoint {
    /// Which API's way of authentication and paths it has.
    pub provider: Provider,
    /// Its base URL: `https://llm.example.com/v1`. A query is kept. Anthropic's may be without `/v1`.
    pub base_url: String,
    /// The key; a local endpoint may need none.
    pub api_key: Option<SecretString>,
    /// Further headers, for a gateway. They win over those that the key makes.
    pub headers: Vec<(String, SecretString)>,
    /// The client to ask with, as built by [`crate::http_client()`]: it follows no redirect.
    pub http: reqwest::Client,
    /// The model's name, sent as it is.
    pub model: String,
    /// What it costs; without, money is not counted.
    pub prices: Option<Prices>,
    /// How hard it is asked to think, in its API's own field; without, nothing is said about it.
    pub effort: Option<Effort>,
}

/// Whose API an endpoint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// OpenAI's or a compatible one: the key is a bearer token.
    OpenAi,
    /// Anthropic's: the key goes into `x-api-key`.
    Anthropic,
}

/// Prices of a model in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// Of tokens sent.
    pub input: f64,
    /// Of tokens sent that the endpoint had cached.
    pub cached_input: f64,
    /// Of tokens the model wrote.
    pub output: f64,
}

impl Endpoint {
    /// Whether it can be used at all: the URL is one, every header can be sent.
    ///
    /// Fails with [`Error::Client`], which names the setting and never a value that may be secret.
    pub fn check(&self) -> Result<(), Error> {
        self.url("")?;
        self.request_headers().map(drop)
    }

    /// The URL of `route` (`chat/completions`) at this endpoint, the base URL's query behind it.
    pub(crate) fn url(&self, route: &str) -> Result<Url, Error> {
        let unusable = || Error::Client {
            // Not the URL itself: its query or user part may be a secret.
            reason: "the base URL of the model endpoint cannot be used".to_owned(),
        };
        let mut url = Url::parse(&self.base_url).map_err(|_| unusable())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unusable());
        }
        let base = url.path().trim_end_matches('/').to_owned();
        // Anthropic's own clients are configured without the version and add it.
        let version = match self.provider {
            Provider::Anthropic if !base.ends_with("/v1") => "/v1",
            _ => "",
        };
        url.set_path(&format!("{base}{version}/{route}"));
        Ok(url)
    }

    /// The headers of every request: authentication and what is configured, which wins. All values are marked secret.
    pub(crate) fn request_headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.api_key {
            let key = key.expose_secret();
            let (name, value) = match self.provider {
                Provider::OpenAi => ("authorization", format!("Bearer {key}")),
                Provider::Anthropic => ("x-api-key", key.to_owned()),
            };
            headers.insert(HeaderName::from_static(name), secret_value(name, &value)?);
        }
        for (name, value) in &self.headers {
            let parsed = HeaderName::try_from(name.as_str()).map_err(|_| unusable_header(name))?;
            headers.insert(parsed, secret_value(name, value.expose_secret())?);
        }
        Ok(headers)
    }

    /// Everything that must never be shown: the key and the values of the configured headers.
    pub fn secrets(&self) -> Vec<SecretString> {
        let headers = self.headers.iter().map(|(_, value)| value.clone());
        self.api_key.clone().into_iter().chain(headers).collect()
    }
}

impl fmt::Debug for Endpoint {
    /// Without secrets: the base URL is left out, as its query may hold one.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("Endpoint")
            .field("provider", &self.provider)
            .field("model", &self.model)
            .field("has_key", &self.api_key.is_some())
            .field("headers", &names)
            .field("prices", &self.prices)
            .field("effort", &self.effort)
            .finish_non_exhaustive()
    }
}

fn secret_value(name: &str, value: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(value).map_err(|_| unusable_header(name))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unusable_header(name: &str) -> Error {
    let name: String = name.escape_debug().take(NAME_CHARS_MAX).collect();
    Error::Client {
        // Not the value: it is a secret.
        reason: format!("{name} is not a usable header"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(provider: Provider, base_url: &str) -> Endpoint {
        Endpoint {
            provider,
            base_url: base_url.to_owned(),
            api_key: Some("the-key".into()),
            headers: Vec::new(),
            http: crate::http_client(None, None).unwrap(),
            model: "m".to_owned(),
            prices: None,
            effort: None,
        }
    }

    #[test]
    fn the_route_is_put_between_path_and_query() {
        use Provider::{Anthropic, OpenAi};
        for (provider, base, url) in [
            (OpenAi, "http://llm/v1", "http://llm/v1/messages"),
            (OpenAi, "http://llm/v1/", "http://llm/v1/messages"),
            (OpenAi, "http://llm", "http://llm/messages"),
            (
                OpenAi,
                "http://llm/gw?api-version=2",
                "http://llm/gw/messages?api-version=2",
            ),
            (Anthropic, "http://llm", "http://llm/v1/messages"),
            (Anthropic, "http://llm/v1/", "http://llm/v1/messages"),
            (Anthropic, "http://llm/gw", "http://llm/gw/v1/messages"),
        ] {
            assert_eq!(endpoint(provider, base).url("messages").unwrap().as_str(), url);
        }
    }

    #[test]
    fn an_endpoint_that_cannot_be_asked_is_refused_without_its_secrets() {
        for base in ["", "llm.example.com/v1?key=secret", "ftp://user:secret@llm"] {
            let error = endpoint(Provider::OpenAi, base).check().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        for (name, value) in [("x key", "secret"), ("x-key", "se\ncret")] {
            let mut endpoint = endpoint(Provider::OpenAi, "http://llm/v1");
            endpoint.headers.push((name.to_owned(), value.into()));
            let error = endpoint.check().unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("cret"), "{error}");
        }
    }

    #[test]
    fn each_provider_has_its_way_of_authentication_and_configured_headers_win() {
        let mut endpoint = endpoint(Provider::OpenAi, "http://llm/v1");
        let headers = endpoint.request_headers().unwrap();
        assert_eq!(headers["authorization"], "Bearer the-key");
        endpoint.provider = Provider::Anthropic;
        let headers = endpoint.request_headers().unwrap();
        assert_eq!(
            (headers.len(), &headers["x-api-key"]),
            (1, &HeaderValue::from_static("the-key"))
        );
        endpoint
            .headers
            .push(("X-Api-Key".to_owned(), "of-the-gateway".into()));
        assert_eq!(endpoint.request_headers().unwrap()["x-api-key"], "of-the-gateway");
    }

    #[test]
    fn its_debug_form_tells_no_secret() {
        let mut endpoint = endpoint(Provider::OpenAi, "http://user:pa55@llm/v1?key=qu3ry");
        endpoint.headers.push(("x-gateway".to_owned(), "h3ader".into()));
        let text = format!("{endpoint:?} {:?}", endpoint.request_headers().unwrap());
        for secret in ["the-key", "pa55", "qu3ry", "h3ader"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
