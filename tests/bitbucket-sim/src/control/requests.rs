//! What was asked: every REST and git request, numbered in the order it was answered.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::sync::watch;

use crate::app::App;
use crate::json::{Json, object};
use crate::state::user::Caller;

/// Bodies are kept up to this size.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// A log longer than any scenario; the oldest go first.
const ENTRIES_MAX: usize = 100_000;

/// A numbered log whose readers can wait for more.
#[derive(Debug)]
pub(crate) struct Numbered {
    entries: Mutex<(u64, std::collections::VecDeque<(u64, Json)>)>,
    last: watch::Sender<u64>,
}

impl Default for Numbered {
    fn default() -> Numbered {
        Numbered {
            entries: Mutex::default(),
            last: watch::Sender::new(0),
        }
    }
}

impl Numbered {
    /// Adds an entry and gives it the next number.
    pub(crate) fn add(&self, entry: Json) -> u64 {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.0 += 1;
        let number = entries.0;
        let Json::Object(fields) = entry else {
            return number;
        };
        let numbered = object! { "number": number };
        let numbered = fields
            .into_iter()
            .fold(numbered, |all, (key, value)| all.with(&key, value));
        entries.1.push_back((number, numbered));
        if entries.1.len() > ENTRIES_MAX {
            entries.1.pop_front();
        }
        drop(entries);
        self.last.send_replace(number);
        number
    }

    /// Entries after `after`; if there are none, waits up to `wait` for the first.
    pub(crate) async fn after(&self, after: u64, wait: Duration) -> Json {
        let mut last = self.last.subscribe();
        if tokio::time::timeout(wait, last.wait_for(|last| *last > after))
            .await
            .is_err()
        {
            tracing::trace!("nothing new in time");
        }
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let new = entries.1.iter().filter(|(number, _)| *number > after);
        Json::List(new.map(|(_, entry)| entry.clone()).collect())
    }

    /// Forgets the entries; numbers go on.
    pub(crate) fn clear(&self) {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .clear();
    }
}

/// The requests answered so far.
pub(crate) type RequestLog = Numbered;

/// A request on its way.
pub(crate) struct Seen {
    started: Instant,
    at: i64,
    method: String,
    path: String,
    query: Option<String>,
    body: Json,
    user: Option<String>,
    scheme: Option<&'static str>,
    token: Option<String>,
}

impl Seen {
    /// A request that just arrived.
    pub(crate) fn start(app: &App, path: &str, request: &Request<Body>) -> Seen {
        Seen {
            started: Instant::now(),
            at: app.now(),
            method: request.method().as_str().to_owned(),
            path: path.to_owned(),
            query: request.uri().query().map(str::to_owned),
            body: Json::Null,
            user: None,
            scheme: None,
            token: None,
        }
    }

    /// The method, for matching faults.
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// Keeps (the beginning of) the body as text.
    pub(crate) fn body(&mut self, bytes: &Bytes) {
        if !bytes.is_empty() {
            let kept = &bytes[..bytes.len().min(BODY_BYTES_MAX)];
            self.body = Json::from(String::from_utf8_lossy(kept).into_owned());
        }
    }

    /// Notes who sent it.
    pub(crate) fn identify(&mut self, caller: Option<&Caller>) {
        if let Some(caller) = caller {
            self.user = Some(caller.name.clone());
            self.scheme = Some(caller.scheme);
            self.token = caller.token.as_ref().map(|token| token.name.clone());
        }
    }

    /// The log's entry; no status means that the connection was closed.
    pub(crate) fn end(self, status: Option<StatusCode>) -> Json {
        let took = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        object! {
            "time": self.at,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "body": self.body,
            "user": self.user,
            "scheme": self.scheme,
            "token": self.token,
            "status": status.map(|status| u32::from(status.as_u16())),
            "duration_us": took,
        }
    }
}
