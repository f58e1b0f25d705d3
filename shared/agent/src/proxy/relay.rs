//! Passes an answer on and reads along.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::answer::Answer;
use super::exchange::Exchange;
use super::failed::Failed;
use super::reply::{self, Body, Refusal};
use super::sse::Events;
use crate::json;

/// The longest answer that does not stream, and the longest event of one that does. Models write a few hundred KB.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest stream. Every token comes in an event of its own, of about 300 bytes.
const STREAM_BYTES_MAX: usize = 8 * ANSWER_BYTES_MAX;

/// Passes on an answer that comes as one. The agent gets it when it is known to be one.
pub(super) async fn whole(
    mut exchange: Exchange,
    mut response: reqwest::Response,
) -> Result<Response<Body>, Refusal> {
    let bytes = match collect(&exchange, &mut response).await {
        Ok(bytes) => bytes,
        Err(failed) => return Err(exchange.fail(failed)),
    };
    let read = json::value(&bytes)
        .map_err(|error| format!("not JSON: {error}"))
        .and_then(|body| Answer::of_whole(exchange.api, &body));
    match read {
        Ok(answer) => exchange.answer = answer,
        Err(reason) => return Err(exchange.no_answer(&reason)),
    }
    exchange.done()?;
    let bytes = exchange.shared.redactor.clean_bytes(bytes);
    Ok(reply::bytes_response(StatusCode::OK, bytes))
}

async fn collect(exchange: &Exchange, response: &mut reqwest::Response) -> Result<Bytes, Failed> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = exchange.shared.upstream.piece(response).await? {
        if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
            let reason = format!("it has more than {ANSWER_BYTES_MAX} bytes");
            return Err(Failed::answer(&reason, &exchange.shared.redactor));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// Passes on a stream of events. Each piece goes on as it comes; what is wrong with the answer is said in its end.
pub(super) fn stream(exchange: Exchange, response: reqwest::Response) -> Response<Body> {
    let relay = Relay {
        exchange,
        response,
        events: Events::new(ANSWER_BYTES_MAX),
        bytes: 0,
        ended: false,
    };
    let pieces = stream::unfold(relay, |mut relay| async move {
        let piece = relay.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), relay))
    });
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A stream on its way.
struct Relay {
    exchange: Exchange,
    response: reqwest::Response,
    events: Events,
    bytes: usize,
    ended: bool,
}

impl Relay {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let shared = Arc::clone(&self.exchange.shared);
        let last = match shared.upstream.piece(&mut self.response).await {
            Ok(Some(piece)) => match self.read(&piece) {
                Ok(()) => return Some(shared.redactor.clean_bytes(piece)),
                Err(refusal) => Some(refusal),
            },
            Ok(None) => self.finish(),
            Err(failed) => Some(self.exchange.fail(failed)),
        };
        self.ended = true;
        last.map(|refusal| refusal.event(self.exchange.api.form()))
    }

    /// Errs when the stream must end here.
    fn read(&mut self, piece: &Bytes) -> Result<(), Refusal> {
        self.bytes += piece.len();
        if self.bytes > STREAM_BYTES_MAX {
            let reason = format!("it has more than {STREAM_BYTES_MAX} bytes");
            return Err(self.exchange.no_answer(&reason));
        }
        let Exchange { api, answer, .. } = &mut self.exchange;
        self.events.take(piece, |event| answer.event(*api, event));
        self.exchange.grow()
    }

    fn finish(&mut self) -> Option<Refusal> {
        let Exchange { api, answer, .. } = &mut self.exchange;
        self.events.end(|event| answer.event(*api, event));
        // An error of the endpoint's own has gone through already.
        let told = self.exchange.answer.is_error();
        self.exchange.done().err().filter(|_| !told)
    }
}
