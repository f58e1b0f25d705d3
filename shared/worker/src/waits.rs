//! Waits: deliveries that were no attempts, because something the handler needs was away, the process shut down,
//! or the message was already being worked on here.
//!
//! JetStream counts deliveries, not attempts, and a message's headers cannot be changed. Counting in memory would
//! forget with every restart: then either an outage plus a deployment kills messages, or a message that kills its
//! worker is never given up. So the number to subtract is kept in a bucket, written only when a message waits.

use std::time::Duration;

use jiff::Timestamp;
use pipeline::failure_code::FailureCode;
use pipeline::message::{Message, VERSION};
use pipeline::run::Waited;
use serde::{Deserialize, Serialize};

use crate::streams::WAITS;
use crate::verdict::Attempt;
use crate::{ConsumerSpec, Error, Nats};

/// How often and since when one message of one consumer has waited.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Waits {
    v: u32,
    count: u32,
    since: Option<Timestamp>,
    /// What it waits for.
    #[serde(default)]
    waited: Option<Waited>,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            v: VERSION,
            count: 0,
            since: None,
            waited: None,
        }
    }
}

impl Message for Waits {
    const NAME: &'static str = "waits";
}

/// Why a delivery was no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Something that is needed is away, which the code says. How long that has lasted is limited.
    Away(FailureCode),
    /// The worker shut down, or had the message already. Nothing is missing: the day a message may wait does not begin.
    Interrupted,
}

impl Waits {
    fn note(&mut self, why: Why, now: Timestamp) {
        self.count = self.count.saturating_add(1);
        if let Why::Away(code) = why {
            self.since.get_or_insert(now);
            Waited::begin(&mut self.waited, code, now);
        }
    }
}

/// Which attempt a delivery is, and what it waited for. Only a redelivered message can have waited, so the first one costs
/// no read.
pub(crate) async fn attempt(
    nats: &Nats,
    spec: &ConsumerSpec,
    sequence: u64,
    delivered: u64,
) -> Result<(Attempt, Option<Waited>), Error> {
    let waits = if delivered > 1 {
        nats.records::<Waits>(WAITS)
            .get(&key(spec, sequence))
            .await?
            .unwrap_or_default()
    } else {
        Waits::default()
    };
    let waiting = waits.since.map_or(Duration::ZERO, |since| {
        Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or(Duration::ZERO)
    });
    let number = delivered.saturating_sub(u64::from(waits.count)).max(1);
    let attempt = Attempt {
        number: u32::try_from(number).unwrap_or(u32::MAX),
        max: spec.attempts_max,
        waits: waits.count,
        waiting,
    };
    Ok((attempt, waits.waited))
}

/// Notes that a delivery was no attempt.
pub(crate) async fn add(nats: &Nats, spec: &ConsumerSpec, sequence: u64, why: Why) -> Result<(), Error> {
    let records = nats.records::<Waits>(WAITS);
    let key = key(spec, sequence);
    let noted = records.update_or_default(&key, |waits| {
        waits.note(why, Timestamp::now());
        Ok::<(), std::convert::Infallible>(())
    });
    match noted.await? {
        Ok(_) => Ok(()),
        Err(never) => match never {},
    }
}

fn key(spec: &ConsumerSpec, sequence: u64) -> String {
    format!("{}.{}.{sequence}", spec.durable, spec.stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_away_starts_the_day_a_message_may_wait() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut waits = Waits::default();
        waits.note(Why::Interrupted, at(1));
        assert_eq!((waits.count, waits.since), (1, None));
        let away = Why::Away(FailureCode::BitbucketUnauthorized);
        waits.note(away, at(2));
        waits.note(away, at(3));
        waits.note(Why::Interrupted, at(4));
        assert_eq!((waits.count, waits.since), (4, Some(at(2))));
        let waited = waits.waited.unwrap();
        assert_eq!(
            (waited.code, waited.since),
            (FailureCode::BitbucketUnauthorized, at(2))
        );
    }
}
