//! Takes in the body of a request: up to a size, within a time, and no more of them than there is memory set aside.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::reply::{Again, Refusal};
use crate::json;

/// A context window of a million tokens is about 4 MB of text; this leaves room for JSON's escapes and some images.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Memory for requests under way, which are kept for another try. Agents run a few at once, of 100 KB each.
const ROOM_BYTES: usize = 4 * REQUEST_BYTES_MAX;

/// Values in one request. A long conversation has thousands; 16 MiB of `[[],[],…` would take gigabytes once parsed.
const VALUES_MAX: usize = 500_000;

/// The agent is on this machine: its requests come at once, also while others are being read.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Room is counted in this unit.
const UNIT_BYTES: usize = 1024;

/// Where requests are taken in.
pub(crate) struct Intake {
    /// One at a time is read and parsed.
    turn: Mutex<()>,
    room: Arc<Semaphore>,
}

/// A request's body.
pub(crate) struct Taken {
    /// What it says.
    pub(crate) body: Map<String, Value>,
    /// The memory it may use; to be held as long as its text is.
    pub(crate) room: OwnedSemaphorePermit,
}

impl Intake {
    pub(crate) fn new() -> Self {
        Self {
            turn: Mutex::new(()),
            room: Arc::new(Semaphore::new(ROOM_BYTES / UNIT_BYTES)),
        }
    }

    /// Reads a body. Refuses one that is too large, too slow, or no JSON object.
    pub(crate) async fn take(&self, body: Incoming) -> Result<Taken, Refusal> {
        let too_slow = || Refusal {
            retry: Again::AsUsual,
            ..Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive")
        };
        tokio::time::timeout(BODY_TIMEOUT, async {
            let _turn = self.turn.lock().await;
            let bytes = read(body).await?;
            let units = u32::try_from(bytes.len().div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
            let room = Arc::clone(&self.room)
                .acquire_many_owned(units)
                .await
                // Closed never.
                .map_err(|_| too_slow())?;
            Ok(Taken {
                body: parse(&bytes)?,
                room,
            })
        })
        .await
        .unwrap_or_else(|_| Err(too_slow()))
    }
}

async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a request has at most {REQUEST_BYTES_MAX} bytes"),
        )),
        Err(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "the request broke off")),
    }
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let refused = |message: String| Refusal::new(StatusCode::BAD_REQUEST, message);
    if values(bytes) > VALUES_MAX {
        return Err(refused(format!("a request has at most {VALUES_MAX} values")));
    }
    match json::value(bytes) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(refused("the body is not a JSON object".to_owned())),
        Err(error) => Err(refused(format!("the body is not JSON: {error}"))),
    }
}

/// How many values a JSON text has at most.
fn values(bytes: &[u8]) -> usize {
    let mut count = 0;
    let mut in_text = false;
    let mut escaped = false;
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_body_that_would_be_large_in_memory_is_refused() {
        let many = format!("{{\"messages\": [{}0]}}", "[],".repeat(VALUES_MAX));
        let refused = parse(many.as_bytes()).unwrap_err();
        assert!(refused.message.contains("values"), "{refused:?}");
        let text = format!("{{\"text\": \"{}\\\",,,\"}}", "[,{".repeat(VALUES_MAX));
        assert!(parse(text.as_bytes()).is_ok());
    }

    #[test]
    fn json_in_a_text_is_not_read_past_the_limit_of_values() {
        let many = format!("[{}0]", "[],".repeat(VALUES_MAX));
        let body = serde_json::json!({"$serde_json::private::RawValue": many}).to_string();
        let taken = parse(body.as_bytes()).unwrap();
        assert!(taken.values().all(Value::is_string));
    }

    #[test]
    fn only_an_object_is_a_request() {
        for body in [
            "",
            "null",
            "[]",
            "{",
            "{\"a\": 1} 2",
            "\u{feff}{}",
            &"[".repeat(10_000),
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap_err().status, 400, "{body:.20}");
        }
    }
}
