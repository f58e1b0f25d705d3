//! HTTP below gix's git transport. gix brings one of its own; this one exists because of what that one lacks: errors
//! by status with `Retry-After`, connections shared by all requests of a run, no redirect ever, a bound on every wait
//! and on the size of an answer.

use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError};

use gix_transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};

use super::advertised::Advertised;
use super::exchange::{Exchange, Headers, Shared};
use super::network::Waiting;
use crate::error::Error;

/// Bytes taken from the socket at once: a few TLS records.
const BUFFER_BYTES: usize = 64 * 1024;
/// The type of the answers that are worth remembering.
const UPLOAD_PACK_ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";

/// Requests to one server with one token.
pub(crate) struct Wire<'stop> {
    client: Client,
    waiting: Waiting<'stop>,
    authorization: HeaderValue,
    answer_bytes_max: u64,
    failures: Failures,
    advertised: Arc<Advertised>,
}

/// The first HTTP error of a connection.
#[derive(Clone, Default)]
pub(crate) struct Failures(Arc<Mutex<Option<Error>>>);

impl Failures {
    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes the error and returns one for gix to carry.
    pub(super) fn note(&self, error: Error) -> io::Error {
        let text = error.to_string();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        io::Error::other(text)
    }
}

impl<'stop> Wire<'stop> {
    pub(crate) fn new(
        (client, waiting): (Client, Waiting<'stop>),
        token: &SecretString,
        answer_bytes_max: u64,
        (failures, advertised): (Failures, Arc<Advertised>),
    ) -> Result<Self, Error> {
        let bearer = SecretString::from(format!("Bearer {}", token.expose_secret()));
        // The error of a header value does not quote it.
        let mut authorization =
            HeaderValue::from_str(bearer.expose_secret()).map_err(|error| Error::Settings {
                cause: format!("token: {error}"),
            })?;
        authorization.set_sensitive(true);
        Ok(Self {
            client,
            waiting,
            authorization,
            answer_bytes_max,
            failures,
            advertised,
        })
    }

    fn headers(&self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        for line in lines {
            let (name, value) = line
                .as_ref()
                .split_once(':')
                .and_then(|(name, value)| {
                    let name = name.trim().parse::<HeaderName>().ok()?;
                    Some((name, HeaderValue::from_str(value.trim()).ok()?))
                })
                .ok_or_else(|| Error::Invalid("a request header of the git transport".to_owned()))?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// Reads what the server says it can do, and remembers it.
    fn ask(&self, url: &str, mut exchange: Shared<'stop>) -> io::Result<(String, Vec<u8>)> {
        let kind = exchange.content_type()?;
        let mut said = Vec::new();
        exchange.read_to_end(&mut said)?;
        if kind == UPLOAD_PACK_ADVERTISEMENT {
            self.advertised.put(url, &said);
        }
        Ok((kind, said))
    }

    fn exchange(&self, request: RequestBuilder) -> Shared<'stop> {
        Exchange::shared(
            request,
            self.waiting.clone(),
            self.answer_bytes_max,
            self.failures.clone(),
        )
    }
}

impl<'stop> Http for Wire<'stop> {
    type Headers = Headers<'stop>;
    type ResponseBody = io::BufReader<Shared<'stop>>;
    type PostBody = Shared<'stop>;

    fn get(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Self::Headers, Self::ResponseBody>> {
        let headers = self
            .headers(headers)
            .map_err(|error| gix::Error::from_error(self.failures.note(error)))?;
        let exchange = self.exchange(self.client.get(url).headers(headers));
        let (kind, said) = match self.advertised.get(url) {
            Some(said) => (UPLOAD_PACK_ADVERTISEMENT.to_owned(), said),
            None => self.ask(url, exchange.clone()).map_err(gix::Error::from_error)?,
        };
        exchange.replay(said);
        Ok(GetResponse {
            headers: Headers::of(&kind),
            body: io::BufReader::with_capacity(BUFFER_BYTES, exchange),
        })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Self::Headers, Self::ResponseBody, Self::PostBody>> {
        let headers = self
            .headers(headers)
            .map_err(|error| gix::Error::from_error(self.failures.note(error)))?;
        let exchange = self.exchange(self.client.post(url).headers(headers));
        Ok(PostResponse {
            post_body: exchange.clone(),
            headers: Headers::Later(exchange.clone()),
            body: io::BufReader::with_capacity(BUFFER_BYTES, exchange),
        })
    }

    fn configure(&mut self, _config: &dyn std::any::Any) -> gix::Result {
        Ok(())
    }
}
