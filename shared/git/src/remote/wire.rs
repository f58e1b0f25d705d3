//! HTTP below gix's git transport. gix brings one of its own; this one exists because of what that one lacks: errors
//! by status with `Retry-After`, connections shared by all requests of a run, no redirect ever, a bound on every wait
//! and on the size of an answer.

use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix_transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use reqwest::StatusCode;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};

use super::advertised::Advertised;
use crate::error::{Error, chain};

/// Bytes taken from the socket at once: a few TLS records.
const BUFFER_BYTES: usize = 64 * 1024;
/// `Retry-After` beyond this is taken as this: a server's mistake must not park a run for days.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// The type of the answers that are worth remembering.
const UPLOAD_PACK_ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";

/// Requests to one server with one token.
pub(crate) struct Wire {
    client: Client,
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
    fn note(&self, error: Error) -> io::Error {
        let text = error.to_string();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        io::Error::other(text)
    }
}

impl Wire {
    pub(crate) fn new(
        client: Client,
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
    fn ask(&self, url: &str, mut exchange: Shared) -> io::Result<(String, Vec<u8>)> {
        let kind = exchange.content_type()?;
        let mut said = Vec::new();
        exchange.read_to_end(&mut said)?;
        if kind == UPLOAD_PACK_ADVERTISEMENT {
            self.advertised.put(url, &said);
        }
        Ok((kind, said))
    }

    fn exchange(&self, request: RequestBuilder) -> Shared {
        Shared(Arc::new(Mutex::new(Exchange {
            request: Some(request),
            body: Vec::new(),
            response: None,
            replayed: None,
            left: self.answer_bytes_max,
            failures: self.failures.clone(),
        })))
    }
}

impl Http for Wire {
    type Headers = Headers;
    type ResponseBody = io::BufReader<Shared>;
    type PostBody = Shared;

    fn get(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Headers, io::BufReader<Shared>>> {
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
    ) -> gix::Result<PostResponse<Headers, io::BufReader<Shared>, Shared>> {
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

/// One request and its answer. A POST's body is collected (requests are small, pushes are bounded by the caller) and
/// sent when the answer is first read.
struct Exchange {
    request: Option<RequestBuilder>,
    body: Vec<u8>,
    response: Option<Response>,
    replayed: Option<io::Cursor<Vec<u8>>>,
    left: u64,
    failures: Failures,
}

#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Exchange>>);

impl Shared {
    /// Sends, if it has not been sent, and returns the answer's content type: all that gix looks at.
    fn content_type(&self) -> io::Result<String> {
        let mut exchange = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let response = exchange.answer()?;
        let kind = response.headers().get(CONTENT_TYPE);
        Ok(kind
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default()
            .to_owned())
    }

    /// Reads go to these bytes from now on, and nothing is sent.
    fn replay(&self, said: Vec<u8>) {
        let mut exchange = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        exchange.replayed = Some(io::Cursor::new(said));
    }
}

impl Exchange {
    fn answer(&mut self) -> io::Result<&mut Response> {
        if let Some(request) = self.request.take() {
            let body = std::mem::take(&mut self.body);
            let request = if body.is_empty() {
                request
            } else {
                request.body(body)
            };
            let response = request
                .send()
                .map_err(|error| self.failures.note(unsent(&error)))?;
            if let Some(error) = refused(&response) {
                return Err(self.failures.note(error));
            }
            self.response = Some(response);
        }
        self.response
            .as_mut()
            .ok_or_else(|| io::Error::other("the request has failed before"))
    }
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut exchange = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(replayed) = &mut exchange.replayed {
            return replayed.read(buffer);
        }
        let read = exchange.answer()?.read(buffer);
        match read {
            Ok(count) => match exchange.left.checked_sub(count as u64) {
                Some(left) => {
                    exchange.left = left;
                    Ok(count)
                }
                None => Err(exchange.failures.note(Error::TooLarge {
                    what: "the server's answer, in bytes,".to_owned(),
                    limit: exchange.left,
                })),
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(exchange
                .failures
                .note(Error::Interrupted { cause: chain(&error) })),
        }
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .body
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The answer's head as lines, read from a POST only after its body has been written.
pub(crate) enum Headers {
    Later(Shared),
    Here(io::Cursor<Vec<u8>>),
}

impl Headers {
    fn of(content_type: &str) -> Self {
        Self::Here(io::Cursor::new(
            format!("content-type: {content_type}\n").into_bytes(),
        ))
    }

    fn lines(&mut self) -> io::Result<&mut io::Cursor<Vec<u8>>> {
        if let Self::Later(exchange) = self {
            *self = Self::of(&exchange.content_type()?);
        }
        match self {
            Self::Here(lines) => Ok(lines),
            Self::Later(_) => Err(io::Error::other("the answer's head was not read")),
        }
    }
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lines()?.read(buffer)
    }
}

impl BufRead for Headers {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.lines()?.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Self::Here(lines) = self {
            lines.consume(amount);
        }
    }
}

/// Why there is no answer. Only before the connection stood is it sure that nothing arrived.
fn unsent(error: &reqwest::Error) -> Error {
    let cause = chain(error);
    if error.is_connect() || error.is_builder() {
        Error::Unreachable { cause }
    } else {
        Error::Interrupted { cause }
    }
}

/// What an answer's status means, unless it is success.
fn refused(response: &Response) -> Option<Error> {
    let status = response.status();
    let error = match status {
        _ if status.is_success() => return None,
        StatusCode::UNAUTHORIZED => Error::Unauthorized,
        StatusCode::FORBIDDEN => Error::Forbidden,
        StatusCode::NOT_FOUND => Error::NotFound,
        StatusCode::TOO_MANY_REQUESTS => Error::RateLimited {
            after: retry_after(response),
        },
        _ if status.is_redirection() => Error::Redirected {
            status: status.as_u16(),
        },
        _ => Error::Server {
            status: status.as_u16(),
        },
    };
    Some(error)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response
        .headers()
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse::<u64>()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
