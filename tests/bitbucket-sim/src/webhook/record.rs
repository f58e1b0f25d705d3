//! What a webhook's last deliveries were: `/latest` and `/statistics`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::json::{Json, object};
use crate::state::ids::WebhookId;

/// Invocations remembered per webhook.
const REMEMBERED_MAX: usize = 200;

/// One delivery, as Bitbucket keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    pub(crate) id: u64,
    pub(crate) event: String,
    pub(crate) scope: (&'static str, String),
    pub(crate) start: i64,
    pub(crate) finish: i64,
    pub(crate) request: Json,
    /// `SUCCESS`, `FAILURE` (an answer that is not 2xx) or `ERROR` (no answer).
    pub(crate) outcome: &'static str,
    pub(crate) description: String,
    pub(crate) answer: Option<Json>,
}

/// Invocations of all webhooks.
#[derive(Debug, Default)]
pub(crate) struct Invocations {
    of: Mutex<HashMap<WebhookId, Vec<Invocation>>>,
}

impl Invocations {
    /// Remembers one.
    pub(crate) fn add(&self, webhook: WebhookId, invocation: Invocation) {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let list = of.entry(webhook).or_default();
        list.push(invocation);
        if list.len() > REMEMBERED_MAX {
            list.remove(0);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The last one, of an event and outcome if given.
    pub(crate) fn latest(
        &self,
        webhook: WebhookId,
        event: Option<&str>,
        outcome: Option<&str>,
    ) -> Option<Json> {
        let of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let matches = |invocation: &&Invocation| {
            event.is_none_or(|event| invocation.event == event)
                && outcome.is_none_or(|outcome| invocation.outcome == outcome)
        };
        of.get(&webhook)?.iter().rev().find(matches).map(entity)
    }

    /// Counts and last invocations, of an event if given.
    pub(crate) fn statistics(&self, webhook: WebhookId, event: Option<&str>) -> Json {
        let counts = {
            let of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
            let count = |outcome: &str| {
                of.get(&webhook).map_or(0, |list| {
                    let same =
                        |i: &&Invocation| i.outcome == outcome && event.is_none_or(|event| i.event == event);
                    list.iter().filter(same).count()
                })
            };
            let (successes, failures, errors) = (count("SUCCESS"), count("FAILURE"), count("ERROR"));
            object! {
                "errors": errors,
                "failures": failures,
                "successes": successes,
                "window": object! { "start": Json::Null, "duration": Json::Null },
            }
        };
        object! {
            "lastSuccess": self.latest(webhook, event, Some("SUCCESS")),
            "lastFailure": self.latest(webhook, event, Some("FAILURE")),
            "lastError": self.latest(webhook, event, Some("ERROR")),
            "counts": counts,
        }
    }
}

fn entity(invocation: &Invocation) -> Json {
    let (kind, id) = &invocation.scope;
    let result = object! { "description": &invocation.description, "outcome": invocation.outcome }
        .with_some("response", invocation.answer.clone());
    object! {
        "id": invocation.id,
        "event": &invocation.event,
        "eventScope": object! { "id": id, "type": *kind },
        "duration": invocation.finish - invocation.start,
        "start": Json::Time(invocation.start),
        "finish": Json::Time(invocation.finish),
        "request": invocation.request.clone(),
        "result": result,
    }
}
