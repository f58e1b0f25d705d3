//! The client-side limiter: stays under Bitbucket's own (bitbucket-dc.md 3.3), which would answer 429 to everything
//! the bot does, git included.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use config::Connection;
use governor::{DefaultDirectRateLimiter, Quota};
use tokio::time::Instant;

use crate::error::Error;

/// How long a request waits for its turn; then the message is better given back and tried later.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How many requests, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests that may come at once.
    pub burst: NonZeroU32,
    /// Time after which one more may come.
    pub one_per: Duration,
}

impl RateLimit {
    /// As configured for a connection.
    pub fn of(connection: &Connection) -> Self {
        Self {
            burst: connection.request_burst,
            one_per: Duration::from_secs(60) / connection.requests_per_minute.get(),
        }
    }
}

/// Lets requests pass, one by one.
pub(crate) struct Limiter {
    bucket: DefaultDirectRateLimiter,
    closed_until: Mutex<Option<Instant>>,
}

/// The limiters by what Bitbucket counts by: its address and the bot. In `up`, several roles share one bot.
static SHARED: LazyLock<Mutex<HashMap<String, Arc<Limiter>>>> = LazyLock::new(Mutex::default);

impl Limiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        let quota = Quota::with_period(limit.one_per)
            .unwrap_or(Quota::per_second(limit.burst))
            .allow_burst(limit.burst);
        Self {
            bucket: DefaultDirectRateLimiter::direct(quota),
            closed_until: Mutex::new(None),
        }
    }

    /// The one limiter of this key in this process. The first caller's limit holds.
    pub(crate) fn shared(key: String, limit: RateLimit) -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared
            .entry(key)
            .or_insert_with(|| Arc::new(Self::new(limit)))
            .clone()
    }

    /// Waits for this request's turn.
    pub(crate) async fn admit(&self) -> Result<(), Error> {
        self.admit_within(WAIT_MAX).await
    }

    async fn admit_within(&self, wait_max: Duration) -> Result<(), Error> {
        if let Some(closed) = self.closed_for() {
            if closed > wait_max {
                return Err(Error::RateLimited { after: Some(closed) });
            }
            tokio::time::sleep(closed).await;
        }
        tokio::time::timeout(wait_max, self.bucket.until_ready())
            .await
            .map_err(|_| Error::RateLimited { after: None })
    }

    /// Bitbucket asked to come back later: nobody asks before that.
    pub(crate) fn close_for(&self, duration: Duration) {
        let until = Instant::now() + duration;
        let mut closed_until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *closed_until = Some(closed_until.map_or(until, |earlier| earlier.max(until)));
    }

    fn closed_for(&self) -> Option<Duration> {
        let closed_until = *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        closed_until?
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(burst: u32) -> RateLimit {
        RateLimit {
            burst: NonZeroU32::new(burst).unwrap(),
            one_per: Duration::from_hours(1),
        }
    }

    #[tokio::test]
    async fn the_burst_passes_and_the_next_one_waits() {
        let limiter = Limiter::new(limit(3));
        for _ in 0..3 {
            limiter.admit_within(Duration::from_millis(1)).await.unwrap();
        }
        let refused = limiter.admit_within(Duration::from_millis(1)).await;
        assert_eq!(refused, Err(Error::RateLimited { after: None }));
    }

    #[tokio::test]
    async fn a_closed_limiter_says_for_how_long() {
        let limiter = Limiter::new(limit(3));
        limiter.close_for(Duration::from_mins(10));
        limiter.close_for(Duration::from_secs(1));
        let Err(Error::RateLimited { after: Some(after) }) = limiter.admit().await else {
            panic!("open")
        };
        assert!(after > Duration::from_secs(590), "{after:?}");
    }

    #[test]
    fn clients_of_one_bot_share_one_limiter() {
        let first = Limiter::shared("a".into(), limit(1));
        assert!(Arc::ptr_eq(&first, &Limiter::shared("a".into(), limit(1))));
        assert!(!Arc::ptr_eq(&first, &Limiter::shared("b".into(), limit(1))));
    }

    #[test]
    fn the_default_stays_under_bitbuckets_default() {
        let limit = RateLimit {
            burst: const { NonZeroU32::new(50).unwrap() },
            one_per: Duration::from_secs(60) / 285,
        };
        assert!(limit.burst.get() < 60 && limit.one_per > Duration::from_millis(200));
    }
}
