//! Faults: what goes wrong on purpose.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::watch;

use crate::http::answer::RestError;
use crate::http::limit::too_many;
use crate::json::{Json, object};

/// Whether a fault strikes before the effect or loses the answer after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum When {
    #[default]
    Before,
    After,
}

/// A fault as `PUT /sim/v1/faults` takes it.
#[expect(clippy::struct_excessive_bools, reason = "a document's independent switches")]
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FaultRule {
    /// HTTP method; any if absent.
    method: Option<String>,
    /// Part of the path below the context path, or a pattern with `*`.
    path: Option<String>,
    /// Only requests of this user.
    user: Option<String>,
    /// How many requests it strikes; all if absent.
    count: Option<u64>,
    when: When,
    /// Answer with this status.
    status: Option<u16>,
    /// `Retry-After` in seconds, beside `status`.
    retry_after: Option<u64>,
    /// A body instead of an error in JSON, beside `status`.
    body: Option<String>,
    content_type: Option<String>,
    /// Wait this long.
    delay_ms: Option<u64>,
    /// Close the connection without an answer.
    drop: bool,
    /// Wait until released.
    hold: bool,
    /// Refuse the push with this text, as a server hook does.
    push_reject: Option<String>,
    /// Apply the rate limit, 60 at once and 5 per second.
    rate_limit: bool,
    /// With `rate_limit`: leave `Retry-After` out, as older versions do.
    omit_retry_after: bool,
}

/// A fault that strikes one request.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    rule: FaultRule,
    live: Arc<Live>,
}

#[derive(Debug)]
struct Live {
    released: watch::Sender<bool>,
    held: watch::Sender<u64>,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    used: u64,
    fault: Fault,
}

/// The faults in force, in the order given.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    entries: Mutex<(u64, Vec<Entry>)>,
}

impl Faults {
    /// Replaces all faults; requests held by the old ones go on.
    pub(crate) fn replace(&self, rules: Vec<FaultRule>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in &entries.1 {
            entry.fault.live.released.send_replace(true);
        }
        let mut last = entries.0;
        let new = rules.into_iter().map(|rule| {
            last += 1;
            let live = Live {
                released: watch::Sender::new(false),
                held: watch::Sender::new(0),
            };
            Entry {
                id: last,
                used: 0,
                fault: Fault {
                    rule,
                    live: Arc::new(live),
                },
            }
        });
        entries.1 = new.collect();
        entries.0 = last;
    }

    /// Lets go what fault `id` holds, now and later; false if there is none.
    pub(crate) fn release(&self, id: u64) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.1.iter().find(|entry| entry.id == id);
        found.is_some_and(|entry| {
            entry.fault.live.released.send_replace(true);
            true
        })
    }

    /// Waits until fault `id` holds a request, up to `limit`.
    pub(crate) async fn wait_for_held(&self, id: u64, limit: Duration) {
        let held = {
            let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries
                .1
                .iter()
                .find(|entry| entry.id == id)
                .map(|entry| entry.fault.live.held.subscribe())
        };
        if let Some(mut held) = held
            && tokio::time::timeout(limit, held.wait_for(|count| *count > 0))
                .await
                .is_err()
        {
            tracing::debug!(id, "nothing was held in time");
        }
    }

    /// The faults that strike this request; each use counts.
    pub(crate) fn take(&self, method: &str, path: &str, user: Option<&str>) -> Vec<Fault> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut struck = Vec::new();
        for entry in &mut entries.1 {
            let rule = &entry.fault.rule;
            if rule.count.is_none_or(|count| entry.used < count) && rule.matches(method, path, user) {
                entry.used += 1;
                struck.push(entry.fault.clone());
            }
        }
        struck
    }

    /// What `GET /sim/v1/faults` shows.
    pub(crate) fn json(&self) -> Json {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let show = |entry: &Entry| {
            let rule = &entry.fault.rule;
            object! {
                "id": entry.id,
                "method": rule.method.clone(),
                "path": rule.path.clone(),
                "count": rule.count,
                "used": entry.used,
                "held": *entry.fault.live.held.borrow(),
            }
        };
        Json::List(entries.1.iter().map(show).collect())
    }
}

impl FaultRule {
    fn matches(&self, method: &str, path: &str, user: Option<&str>) -> bool {
        // A hook runs when a push arrives, not when refs are listed.
        let is_push = method == "POST" && path.ends_with("/git-receive-pack");
        (self.push_reject.is_none() || is_push)
            && self
                .method
                .as_deref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self
                .path
                .as_deref()
                .is_none_or(|pattern| path_matches(pattern, path))
            && self
                .user
                .as_deref()
                .is_none_or(|wanted| user.is_some_and(|user| wanted.eq_ignore_ascii_case(user)))
    }
}

/// Without `*` a part of the path; with `*` the whole path, each `*` standing for anything.
fn path_matches(pattern: &str, path: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else {
        return true;
    };
    if parts.len() == 1 {
        return path.contains(pattern);
    }
    let Some(mut rest) = path.strip_prefix(first) else {
        return false;
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Fault {
    /// When it strikes.
    pub(crate) fn when(&self) -> When {
        self.rule.when
    }

    /// Holds or delays the request as the rule says.
    pub(crate) async fn wait(&self) {
        if self.rule.hold {
            let mut released = self.live.released.subscribe();
            self.live.held.send_modify(|count| *count += 1);
            if released.wait_for(|released| *released).await.is_err() {
                tracing::debug!("a fault went away while it held a request");
            }
            self.live.held.send_modify(|count| *count -= 1);
        }
        if let Some(delay) = self.rule.delay_ms {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
    }

    /// Whether the connection is closed.
    pub(crate) fn drops(&self) -> bool {
        self.rule.drop
    }

    /// The text a server hook refuses a push with.
    pub(crate) fn push_reject(&self) -> Option<&str> {
        self.rule.push_reject.as_deref()
    }

    /// Whether the rate limit applies.
    pub(crate) fn limits_rate(&self) -> bool {
        self.rule.rate_limit
    }

    /// Whether the rate limit's answer says how long to wait.
    pub(crate) fn tells_retry_after(&self) -> bool {
        !self.rule.omit_retry_after
    }

    /// The answer given instead of the real one.
    pub(crate) fn response(&self) -> Option<Response> {
        let status = StatusCode::from_u16(self.rule.status?).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match (&self.rule.body, status) {
            (Some(body), _) => {
                let content_type = self
                    .rule
                    .content_type
                    .as_deref()
                    .unwrap_or("text/html;charset=UTF-8");
                (
                    status,
                    [(header::CONTENT_TYPE, content_type.to_owned())],
                    body.clone(),
                )
                    .into_response()
            }
            (None, StatusCode::TOO_MANY_REQUESTS) => too_many(None),
            (None, StatusCode::UNAUTHORIZED) => RestError::bad_credentials().into_response(),
            (None, status) => {
                let message = status.canonical_reason().unwrap_or("An error occurred");
                RestError::new(status, "server.InjectedFaultException", message).into_response()
            }
        };
        if let Some(seconds) = self.rule.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.headers_mut().insert(
            HeaderName::from_static("x-sim-fault"),
            HeaderValue::from_static("1"),
        );
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_pattern_is_a_part_or_a_glob() {
        assert!(path_matches(
            "/comments",
            "/rest/api/latest/projects/P/repos/s/pull-requests/1/comments/3"
        ));
        assert!(path_matches(
            "*/pull-requests/*/comments",
            "/rest/x/pull-requests/1/comments"
        ));
        assert!(!path_matches(
            "*/pull-requests/*/comments",
            "/rest/x/pull-requests/1/comments/3"
        ));
        assert!(path_matches("/scm/*", "/scm/p/s.git/info/refs"));
        assert!(!path_matches("/scm/*", "/rest/scm/"));
    }

    #[test]
    fn a_fault_strikes_as_often_as_its_count() {
        let faults = Faults::default();
        faults.replace(vec![FaultRule {
            count: Some(2),
            status: Some(503),
            ..FaultRule::default()
        }]);
        let strikes = (0..4)
            .map(|_| faults.take("GET", "/rest/x", None).len())
            .collect::<Vec<_>>();
        assert_eq!(strikes, [1, 1, 0, 0]);
    }

    #[test]
    fn a_refused_push_leaves_other_requests_alone() {
        let faults = Faults::default();
        faults.replace(vec![FaultRule {
            push_reject: Some("no".into()),
            ..FaultRule::default()
        }]);
        assert!(faults.take("GET", "/scm/p/s.git/info/refs", Some("a")).is_empty());
        assert_eq!(
            faults
                .take("POST", "/scm/p/s.git/git-receive-pack", Some("a"))
                .len(),
            1
        );
    }
}
