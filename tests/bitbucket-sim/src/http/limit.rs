//! The rate limit: a token bucket per user, on the virtual clock (bitbucket-dc.md 3.3).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::answer::RestError;
use crate::app::App;
use crate::control::faults::Fault;
use crate::state::ids::UserId;
use crate::state::user::Caller;

/// The buckets of all users seen so far.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    buckets: Mutex<HashMap<UserId, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    /// Thousandths of a request, so that filling needs no fractions.
    milli_tokens: i64,
    filled: i64,
}

impl Limits {
    /// Forgets what everybody used.
    pub(crate) fn reset(&self) {
        self.buckets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// 429 if the caller has no request left. On when the admin enabled it or a fault says so.
    pub(crate) fn check(&self, app: &App, caller: Option<&Caller>, faults: &[Fault]) -> Option<Response> {
        let caller = caller?;
        let forced = faults.iter().find(|fault| fault.limits_rate());
        let (capacity, fill_rate) = {
            let world = app.world();
            if forced.is_none() && !world.rate_limit.enabled {
                return None;
            }
            match world.rate_limit.users.get(&caller.user) {
                Some(own) => (*own)?,
                None => (world.rate_limit.capacity, world.rate_limit.fill_rate),
            }
        };
        let wait = self.spend(caller.user, app.clock().now(), capacity, fill_rate)?;
        Some(too_many(
            forced.is_none_or(Fault::tells_retry_after).then_some(wait),
        ))
    }

    /// Takes one request from the bucket; else the whole seconds until there is one.
    fn spend(&self, user: UserId, now: i64, capacity: u32, fill_rate: u32) -> Option<u64> {
        let full = i64::from(capacity) * 1000;
        let rate = i64::from(fill_rate.max(1));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(user).or_insert(Bucket {
            milli_tokens: full,
            filled: now,
        });
        // One per second is one thousandth per millisecond.
        let gained = (now - bucket.filled).max(0).saturating_mul(rate);
        bucket.milli_tokens = bucket.milli_tokens.saturating_add(gained).min(full);
        bucket.filled = now;
        if bucket.milli_tokens >= 1000 {
            bucket.milli_tokens -= 1000;
            return None;
        }
        let missing = 1000 - bucket.milli_tokens;
        let per_second = rate * 1000;
        u64::try_from((missing + per_second - 1) / per_second).ok()
    }
}

/// The 429 answer, with the seconds to wait if the server tells them.
pub(crate) fn too_many(retry_after: Option<u64>) -> Response {
    let error = RestError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "internal.ratelimit.RateLimitExceededException",
        "You have exceeded the allowed request rate. Please try again later.",
    );
    let mut response = error.into_response();
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_requests_at_once_then_five_per_second() {
        let limits = Limits::default();
        let ask = |now| limits.spend(UserId(1), now, 60, 5);
        for _ in 0..60 {
            assert_eq!(ask(0), None);
        }
        assert_eq!(ask(0), Some(1));
        for _ in 0..5 {
            assert_eq!(ask(1000), None);
        }
        assert_eq!(ask(1000), Some(1));
    }
}
