//! Waiting for what is visible, with a limit.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// The longest a scenario waits for anything. Generous: a machine that runs two builds at once is slow, and a wait
/// that succeeds does not take longer for it.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often the world is looked at.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Looks again and again until `look` finds something. `None` when the limit is over.
pub async fn until<T, F>(limit: Duration, mut look: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + limit;
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(found) = look().await {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
    }
}
