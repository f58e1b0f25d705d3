//! What the endpoint remembers: the script with its uses, every request, and the releases.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::script::{Reply, Script};

/// How many requests are kept; the oldest go first. A soak run makes tens of thousands, each with a long body.
pub const REQUESTS_KEPT_MAX: usize = 10_000;

/// One recorded request, as `GET /llm/v1/requests` lists it.
#[derive(Debug, Clone, Serialize)]
pub struct Request {
    /// Counts from 1, in order of arrival.
    pub number: u64,
    /// When it arrived.
    pub time: Timestamp,
    /// The HTTP method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, names in lower case, as they came: tests check which credential a client sent.
    pub headers: BTreeMap<String, String>,
    /// The body as JSON; as a JSON string when it is not JSON.
    pub body: Value,
    /// Index of the rule that answers it; absent when none matched.
    pub rule: Option<usize>,
    /// The status it was answered with; absent while it is held or delayed, or when the client went away.
    pub status: Option<u16>,
}

/// A request that arrived, before it has a number.
pub(crate) struct Arrival {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

/// What was decided for a request.
pub(crate) struct Decision {
    pub(crate) number: u64,
    pub(crate) reply: Option<Reply>,
    /// Sees every release from the moment of arrival on.
    pub(crate) releases: watch::Receiver<u64>,
}

pub(crate) struct Ledger {
    inner: Mutex<Inner>,
    arrivals: watch::Sender<u64>,
    releases: watch::Sender<u64>,
}

struct Inner {
    script: Script,
    uses: Vec<u64>,
    requests: VecDeque<Request>,
    last_number: u64,
}

impl Ledger {
    pub(crate) fn new(script: Script) -> Self {
        let uses = vec![0; script.0.len()];
        let inner = Inner {
            script,
            uses,
            requests: VecDeque::new(),
            last_number: 0,
        };
        Self {
            inner: Mutex::new(inner),
            arrivals: watch::Sender::new(0),
            releases: watch::Sender::new(0),
        }
    }

    /// Records a request and, if `said` is given, takes the matching rule's next reply.
    ///
    /// One lock over all of it: a test that has seen a request arrive can release it at once.
    pub(crate) fn record(&self, arrival: Arrival, said: Option<&str>) -> Decision {
        let mut inner = self.lock();
        let (rule, reply) = match said.and_then(|said| inner.take(said)) {
            Some((rule, reply)) => (Some(rule), Some(reply)),
            None => (None, None),
        };
        inner.last_number += 1;
        let number = inner.last_number;
        let Arrival {
            method,
            path,
            headers,
            body,
        } = arrival;
        let time = Timestamp::now();
        inner.requests.push_back(Request {
            number,
            time,
            method,
            path,
            headers,
            body,
            rule,
            status: None,
        });
        if inner.requests.len() > REQUESTS_KEPT_MAX {
            inner.requests.pop_front();
        }
        let releases = self.releases.subscribe();
        self.arrivals.send_replace(number);
        Decision {
            number,
            reply,
            releases,
        }
    }

    pub(crate) fn answered(&self, number: u64, status: u16) {
        let mut inner = self.lock();
        if let Some(request) = inner
            .requests
            .iter_mut()
            .rev()
            .find(|request| request.number == number)
        {
            request.status = Some(status);
        }
    }

    pub(crate) fn requests(&self, after: u64) -> Vec<Request> {
        self.lock()
            .requests
            .iter()
            .filter(|request| request.number > after)
            .cloned()
            .collect()
    }

    /// Returns once request `number` has arrived.
    pub(crate) async fn arrival(&self, number: u64) {
        // The sender lives in self, so the channel cannot be closed while we wait.
        let _ = self.arrivals.subscribe().wait_for(|last| *last >= number).await;
    }

    pub(crate) fn set_script(&self, script: Script) {
        let mut inner = self.lock();
        inner.uses = vec![0; script.0.len()];
        inner.script = script;
    }

    pub(crate) fn release(&self) {
        let _inner = self.lock();
        self.releases.send_modify(|count| *count += 1);
    }

    /// A panic elsewhere cannot leave a half-made entry, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(&mut self, said: &str) -> Option<(usize, Reply)> {
        let (index, rule) = self.script.0.iter().enumerate().find(|(index, rule)| {
            let left = rule.times.is_none_or(|times| self.uses[*index] < times);
            left && !rule.reply.is_empty() && said.contains(&rule.when)
        })?;
        let steps = rule.reply.len() as u64;
        let step = usize::try_from(self.uses[index] % steps).unwrap_or_default();
        self.uses[index] += 1;
        Some((index, rule.reply[step].clone()))
    }
}
