//! One request, from its first line to the accounts: key, path, body, rewriting, budget, endpoint, answer.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{HeaderMap, Request, Response, StatusCode};
use serde_json::{Map, Value};

use super::answer::Answer;
use super::api::{self, Api, Asked, Form};
use super::failed::Failed;
use super::ledger::{Reservation, Tokens};
use super::reply::{self, Body, Refusal};
use super::rewrite::{self, Removed};
use super::shared::Shared;
use super::transcript::{Entry, Outcome};
use super::{intake, relay};
use crate::Ended;

/// Answers a request.
pub(super) async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let asked = api::asked(&head.method, head.uri.path());
    let form = match asked {
        Ok(Asked::Model(api)) => api.form(),
        Ok(Asked::Models) => Form::OpenAi,
        Err(not_asked) => not_asked.form,
    };
    let answered = match asked {
        _ if !shared.key.is_in(&head.headers) => Err(Refused::Here(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "this needs the key of the run",
        ))),
        Ok(Asked::Models) => Ok(reply::models(&shared.model)),
        Ok(Asked::Model(api)) => ask(&shared, api, &head.headers, body).await,
        Err(not_asked) => {
            let message = format!("{} {} is not passed on", head.method, head.uri.path());
            Err(Refused::Here(Refusal::new(not_asked.status, message)))
        }
    };
    let refusal = match answered {
        Ok(response) => return response,
        Err(Refused::Counted(refusal)) => return refusal.response(form),
        Err(Refused::Here(refusal)) => refusal,
    };
    shared.refused(&refusal);
    refusal.response(form)
}

/// Why a request has no answer.
pub(super) enum Refused {
    /// It is refused here, which is still to be counted.
    Here(Refusal),
    /// The budget or the endpoint has no answer, which was counted already.
    Counted(Refusal),
}

async fn ask(
    shared: &Arc<Shared>,
    api: Api,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Response<Body>, Refused> {
    // Before anything is read: what comes after the end costs nothing.
    if let Some(ended) = *shared.ledger.cut_off().borrow() {
        return Err(Refused::Counted(spent(ended)));
    }
    if shared.faults.too_many_refused() {
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests were refused");
        return Err(Refused::Here(refusal));
    }
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| coding != "identity")
    {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Refused::Here(Refusal::new(status, "send the body uncompressed")));
    }
    let intake::Taken { mut body, room } = shared.intake.take(body).await.map_err(Refused::Here)?;
    let removed = rewrite::rewrite(api, &mut body, &shared.model).map_err(Refused::Here)?;
    if let Some(effort) = shared.effort {
        rewrite::set_effort(api, &mut body, effort);
    }
    shared.faults.removed(removed.count);
    let bytes = serde_json::to_vec(&body).expect("JSON values can be written");
    let mut exchange = Exchange::begin(shared, api, &body, bytes.len(), removed)?;
    drop(body);
    let asked = shared
        .upstream
        .ask(api, headers, Bytes::from(bytes), &mut exchange.asking)
        .await;
    drop(room);
    let response = match asked {
        Ok(response) => response,
        Err(failed) => return Err(Refused::Counted(exchange.fail(failed))),
    };
    if is_stream(response.headers()) && api != Api::CountTokens {
        Ok(relay::stream(exchange, response))
    } else {
        relay::whole(exchange, response).await.map_err(Refused::Counted)
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/event-stream"))
}

/// A request that may be sent, until its end is in the accounts. Dropped before, its client has gone away.
pub(super) struct Exchange {
    pub(super) shared: Arc<Shared>,
    pub(super) api: Api,
    pub(super) answer: Answer,
    /// Whether the endpoint may charge for what it was sent.
    asking: bool,
    /// What the request is taken for, in tokens.
    input: u64,
    /// How long an answer it allows, in tokens.
    answer_max: u64,
    /// Taken at the end, like the entry. Counting tokens needs neither.
    reservation: Option<Reservation>,
    entry: Option<Entry>,
}

impl Exchange {
    fn begin(
        shared: &Arc<Shared>,
        api: Api,
        body: &Map<String, Value>,
        bytes: usize,
        removed: Removed,
    ) -> Result<Self, Refused> {
        let mut exchange = Self {
            shared: Arc::clone(shared),
            api,
            answer: Answer::default(),
            asking: false,
            input: estimate(body, bytes),
            answer_max: answer_max(body),
            reservation: None,
            entry: None,
        };
        if api == Api::CountTokens {
            shared
                .ledger
                .is_open()
                .map_err(|ended| Refused::Counted(spent(ended)))?;
            if !shared.may_count() {
                let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "tokens were counted too often");
                return Err(Refused::Here(refusal));
            }
            return Ok(exchange);
        }
        let mut entry = shared.transcript().entry(api, body, removed.names);
        match shared.ledger.reserve(exchange.input) {
            Ok(reservation) => exchange.reservation = Some(reservation),
            Err(ended) => {
                entry.outcome = Outcome::NotSent(ended);
                shared.transcript().write(entry, None);
                return Err(Refused::Counted(spent(ended)));
            }
        }
        exchange.entry = Some(entry);
        Ok(exchange)
    }

    /// Counts what has come so far. Errs when it is more than the budget has; the answer is to be cut off then.
    pub(super) fn grow(&mut self) -> Result<(), Refusal> {
        let tokens = self.answer.tokens(self.input);
        let Some(Err(ended)) = self.reservation.as_mut().map(|held| held.grow(tokens)) else {
            return Ok(());
        };
        self.end(Outcome::CutOff(ended), Some(tokens));
        Err(spent(ended))
    }

    /// The answer has come to its end. Errs when it is none.
    pub(super) fn done(&mut self) -> Result<(), Refusal> {
        if let Err(reason) = self.answer.complete() {
            return Err(self.no_answer(&reason));
        }
        if self.api != Api::CountTokens {
            self.shared.faults.answered();
        }
        self.end(Outcome::Answered, Some(self.answer.tokens(self.input)));
        Ok(())
    }

    /// What has come is no answer, for this reason.
    pub(super) fn no_answer(&mut self, reason: &str) -> Refusal {
        let failed = Failed::answer(reason, &self.shared.redactor);
        self.fail(failed)
    }

    /// There is no answer, or no more of it.
    pub(super) fn fail(&mut self, failed: Failed) -> Refusal {
        let Failed { error, refusal, .. } = failed;
        let tokens = self.answer.tokens(self.input);
        // What has begun was paid for.
        let tokens = (tokens.output > 0).then_some(tokens);
        self.end(Outcome::Failed(error.to_string()), tokens);
        // An endpoint need not be able to count tokens.
        if self.api != Api::CountTokens {
            tracing::warn!(run = %self.shared.run, %error, "a request to the model failed");
            self.shared.faults.failed(error);
        }
        refusal
    }

    /// Enters the end into accounts and transcript, once.
    fn end(&mut self, outcome: Outcome, tokens: Option<Tokens>) {
        let reservation = self.reservation.take();
        let settled = reservation.zip(tokens).map(|(held, tokens)| held.settle(tokens));
        let estimated = !self.answer.is_counted();
        if settled.is_some() && estimated {
            self.shared.faults.estimated();
        }
        if let Some(mut entry) = self.entry.take() {
            entry.outcome = outcome;
            entry.answer = self.answer.to_json();
            entry.estimated = estimated;
            self.shared.transcript().write(entry, settled.as_ref());
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // An endpoint goes on without its client, and charges for the whole answer.
        let tokens = self.asking.then(|| {
            let so_far = self.answer.tokens(self.input);
            let output = so_far.output.max(self.answer_max);
            Tokens { output, ..so_far }
        });
        self.end(Outcome::Abandoned, tokens);
    }
}

impl Shared {
    fn refused(&self, refusal: &Refusal) {
        tracing::debug!(run = %self.run, status = %refusal.status, "a request to the model was refused");
        self.faults.refused();
        self.transcript().refused(refusal);
    }

    /// A panic elsewhere cannot leave half a line, so a poisoned lock is still good.
    fn transcript(&self) -> std::sync::MutexGuard<'_, super::transcript::Transcript> {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an agent is told at the end of its budget. Clients do not repeat a 402; several repeat every 429.
fn spent(ended: Ended) -> Refusal {
    let what = match ended {
        Ended::TurnLimit => "no turns are left",
        Ended::TokenLimit => "no tokens are left",
        Ended::MoneyLimit => "no money is left",
        _ => "it has ended",
    };
    let message = format!("the budget of this run is used up: {what}");
    Refusal::new(StatusCode::PAYMENT_REQUIRED, message).with_code("insufficient_quota")
}

/// An answer whose length the request does not bound, in tokens: a long one, since nobody waits for its end.
const ANSWER_TOKENS: u64 = 4_000;
/// Clients allow more than they expect; this is a long answer of today's models, thoughts included.
const ANSWER_TOKENS_MAX: u64 = 32_000;

/// What an answer that is not waited for is taken for, in tokens.
fn answer_max(body: &Map<String, Value>) -> u64 {
    let asked = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
        .iter()
        .find_map(|field| body.get(*field)?.as_u64());
    asked.unwrap_or(ANSWER_TOKENS).min(ANSWER_TOKENS_MAX)
}

/// A picture or document costs about as much as a page or two, whatever its bytes.
const MEDIA_TOKENS: u64 = 1_500;

/// Shorter than any picture.
const MEDIA_BYTES_MIN: usize = 1_024;

/// What a request is taken for, in tokens.
fn estimate(body: &Map<String, Value>, bytes: usize) -> u64 {
    let mut pieces = 0;
    let mut media = 0;
    for value in body.values() {
        count_media(value, "", &mut pieces, &mut media);
    }
    Tokens::of_bytes(bytes.saturating_sub(media) as u64).saturating_add(pieces * MEDIA_TOKENS)
}

fn count_media(value: &Value, name: &str, pieces: &mut u64, bytes: &mut usize) {
    match value {
        Value::String(text) => {
            // By the field: what stands in a text is words, however it begins.
            let is_address = name.ends_with("url") && text.starts_with("data:");
            let carries = is_address || matches!(name, "data" | "file_data");
            if carries && text.len() >= MEDIA_BYTES_MIN {
                *pieces += 1;
                *bytes += text.len();
            }
        }
        Value::Array(items) => items.iter().for_each(|item| count_media(item, "", pieces, bytes)),
        Value::Object(fields) => {
            // Anthropic's documents of plain text have theirs in the same field as those of bytes.
            let is_text = fields.get("type").and_then(Value::as_str) == Some("text");
            for (name, value) in fields.iter().filter(|(name, _)| !(is_text && *name == "data")) {
                count_media(value, name, pieces, bytes);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_media_cost_less_than_their_bytes() {
        let long = "data:image/png;base64,".to_owned() + &"A".repeat(400_000);
        let tokens = |part: Value| {
            let body = json!({"messages": [{"role": "user", "content": [part]}]});
            let bytes = body.to_string().len();
            estimate(body.as_object().unwrap(), bytes)
        };
        for media in [
            json!({"type": "image_url", "image_url": {"url": long}}),
            json!({"type": "input_image", "image_url": long}),
            json!({"type": "input_file", "file_data": long}),
            json!({"type": "document", "source": {"type": "base64", "data": long}}),
        ] {
            assert!(tokens(media.clone()) < 2 * MEDIA_TOKENS, "{media:.80}");
        }
        for words in [
            json!({"type": "text", "text": long}),
            json!(long),
            json!({"type": "tool_result", "content": long}),
            json!({"type": "document", "source": {"type": "text", "data": long}}),
        ] {
            assert!(tokens(words.clone()) > 100_000, "{words:.80}");
        }
    }
}
