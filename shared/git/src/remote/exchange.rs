//! One request and its answer, as gix reads and writes them: a blocking `Read` and `Write`.

use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};

use super::network::Waiting;
use super::wire::Failures;
use crate::error::{Error, chain};

/// `Retry-After` beyond this is taken as this: a server's mistake must not park a run for days.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// A POST's body is collected (requests are small, pushes are bounded by the caller) and sent when the answer is
/// first read.
pub(crate) struct Exchange<'stop> {
    request: Option<RequestBuilder>,
    body: Vec<u8>,
    response: Option<Response>,
    /// What has arrived and has not been read.
    arrived: Bytes,
    replayed: Option<io::Cursor<Vec<u8>>>,
    left: u64,
    failures: Failures,
    waiting: Waiting<'stop>,
}

/// Both ends of an exchange: what is written is the request, what is read is the answer.
#[derive(Clone)]
pub(crate) struct Shared<'stop>(Arc<Mutex<Exchange<'stop>>>);

impl Shared<'_> {
    /// Sends, if it has not been sent, and returns the answer's content type: all that gix looks at.
    pub(super) fn content_type(&self) -> io::Result<String> {
        let mut exchange = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        exchange.send()?;
        let kind = exchange
            .response
            .as_ref()
            .and_then(|response| response.headers().get(CONTENT_TYPE));
        Ok(kind
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default()
            .to_owned())
    }

    /// Reads go to these bytes from now on, and nothing is sent.
    pub(super) fn replay(&self, said: Vec<u8>) {
        let mut exchange = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        exchange.replayed = Some(io::Cursor::new(said));
    }
}

impl<'stop> Exchange<'stop> {
    /// Nothing is sent yet. The answer may have `left` bytes.
    pub(super) fn shared(
        request: RequestBuilder,
        waiting: Waiting<'stop>,
        left: u64,
        failures: Failures,
    ) -> Shared<'stop> {
        Shared(Arc::new(Mutex::new(Self {
            request: Some(request),
            body: Vec::new(),
            response: None,
            arrived: Bytes::new(),
            replayed: None,
            left,
            failures,
            waiting,
        })))
    }

    /// Sends, once, and waits for the answer's head.
    fn send(&mut self) -> io::Result<()> {
        let Some(request) = self.request.take() else {
            return Ok(());
        };
        let body = std::mem::take(&mut self.body);
        let request = if body.is_empty() {
            request
        } else {
            request.body(body)
        };
        let answered = self.waiting.wait_for(request.send());
        let response = answered
            .and_then(|sent| sent.map_err(|error| unsent(&error)))
            .map_err(|error| self.failures.note(error))?;
        if let Some(error) = refused(&response) {
            return Err(self.failures.note(error));
        }
        self.response = Some(response);
        Ok(())
    }

    /// Waits until something has arrived; nothing has at the end of the answer.
    fn receive(&mut self) -> io::Result<()> {
        self.send()?;
        let response = self
            .response
            .as_mut()
            .ok_or_else(|| io::Error::other("the request has failed before"))?;
        while self.arrived.is_empty() {
            let piece = self.waiting.wait_for(response.chunk());
            let piece = piece
                .and_then(|piece| piece.map_err(|error| Error::Interrupted { cause: chain(&error) }))
                .map_err(|error| self.failures.note(error))?;
            match piece {
                Some(piece) => self.arrived = piece,
                None => break,
            }
        }
        Ok(())
    }
}

impl Read for Shared<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut exchange = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(replayed) = &mut exchange.replayed {
            return replayed.read(buffer);
        }
        exchange.receive()?;
        let count = exchange.arrived.len().min(buffer.len());
        exchange.arrived.copy_to_slice(&mut buffer[..count]);
        match exchange.left.checked_sub(count as u64) {
            Some(left) => {
                exchange.left = left;
                Ok(count)
            }
            None => Err(exchange.failures.note(Error::TooLarge {
                what: "the server's answer, in bytes,".to_owned(),
                limit: exchange.left,
            })),
        }
    }
}

impl Write for Shared<'_> {
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
pub(crate) enum Headers<'stop> {
    Later(Shared<'stop>),
    Here(io::Cursor<Vec<u8>>),
}

impl Headers<'_> {
    pub(super) fn of(content_type: &str) -> Self {
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

impl Read for Headers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lines()?.read(buffer)
    }
}

impl BufRead for Headers<'_> {
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
