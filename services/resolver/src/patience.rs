//! Patience of work that is done: the agent's work is too dear to be done twice because something was away when it was
//! to be delivered.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use pipeline::failure::{Counts, Failure};
use pipeline::run::Waited;
use tokio::time::Instant;

/// How long work that is done waits for what is away, all steps together, before the job goes back to the queue, from
/// where the agent would have to start again. Well below the margin a job has beyond its agent's time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// Longest pause while waiting for it.
const PATIENCE_PAUSE_MAX: Duration = Duration::from_secs(10);
/// First pause; doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// Pauses double up to here.
const DOUBLINGS_MAX: u32 = 9;

/// Used up by steps that had to be taken again, and not by the time that lies between them: checks may take longer than
/// all patience.
#[derive(Default)]
pub(crate) struct Patience {
    used: Mutex<Duration>,
    waited: Mutex<Option<Waited>>,
}

impl Patience {
    /// Takes a step, again and again while it fails for something that is away.
    pub(crate) async fn with<T, F>(
        &self,
        step: &'static str,
        mut take: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let begun = Instant::now();
        let until =
            begun + PATIENCE.saturating_sub(*self.used.lock().unwrap_or_else(PoisonError::into_inner));
        let mut tries = 1;
        loop {
            let wait = match take().await {
                Err(Failure::Retry {
                    after,
                    counts: Counts::NotAsAttempt,
                    code,
                    cause,
                }) if Instant::now() < until => {
                    self.note(|waited| Waited::begin(waited, code, Timestamp::now()));
                    tracing::warn!(step, %code, cause = format!("{cause:#}"), "waiting with work that is done");
                    after.unwrap_or_else(|| pause(tries)).min(PATIENCE_PAUSE_MAX)
                }
                ended => {
                    if tries > 1 {
                        self.note(|waited| Waited::end(waited, Timestamp::now()));
                        *self.used.lock().unwrap_or_else(PoisonError::into_inner) += begun.elapsed();
                    }
                    return ended;
                }
            };
            tries += 1;
            tokio::time::sleep(wait).await;
        }
    }
}

impl Patience {
    /// What was waited for last.
    pub(crate) fn waited(&self) -> Option<Waited> {
        *self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut Option<Waited>)) {
        note(&mut self.waited.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Doubling pause with jitter between half and one and a half of it, so that two bots do not move in step.
pub(crate) fn pause(tries: u32) -> Duration {
    let full = PAUSE * 2_u32.pow(tries.clamp(1, DOUBLINGS_MAX) - 1);
    full.mul_f64(rand::random_range(0.5..1.5))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use pipeline::failure_code::FailureCode;

    use super::*;

    fn away(after: Option<Duration>) -> Failure {
        Failure::unavailable(FailureCode::BitbucketUnreachable, after, anyhow::anyhow!("away"))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_away_for_a_while_is_waited_for() {
        let tries = Cell::new(0);
        let step = || async {
            tries.set(tries.get() + 1);
            match tries.get() {
                // Longer than the whole patience: nobody is asked to wait so long at once.
                1 => Err(away(Some(PATIENCE * 2))),
                2..10 => Err(away(None)),
                _ => Ok("done"),
            }
        };
        let patience = Patience::default();
        assert_eq!(patience.with("test", step).await.unwrap(), "done");
        assert_eq!(tries.get(), 10);
        let waited = patience.waited().unwrap();
        assert_eq!(waited.code, FailureCode::BitbucketUnreachable);
        assert!(waited.until.is_some(), "it is over");
    }

    #[tokio::test(start_paused = true)]
    async fn all_steps_share_one_patience() {
        let (patience, begun) = (Patience::default(), Instant::now());
        let step = || async { Err::<(), _>(away(None)) };
        assert!(patience.with("first", step).await.is_err());
        let waited = begun.elapsed();
        assert!(
            waited >= PATIENCE && waited < PATIENCE + 2 * PATIENCE_PAUSE_MAX,
            "{waited:?}"
        );
        assert!(patience.with("second", step).await.is_err());
        assert_eq!(begun.elapsed(), waited);
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_between_the_steps_uses_up_nothing() {
        let patience = Patience::default();
        let done = || async { Ok::<_, Failure>(()) };
        patience.with("first", done).await.unwrap();
        tokio::time::advance(PATIENCE * 2).await;
        let begun = Instant::now();
        let step = || async { Err::<(), _>(away(None)) };
        assert!(patience.with("second", step).await.is_err());
        assert!(begun.elapsed() >= PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_good_is_not_tried_again() {
        let begun = Instant::now();
        let step =
            || async { Err::<(), _>(Failure::retry(FailureCode::GitFailed, anyhow::anyhow!("broken"))) };
        assert!(Patience::default().with("test", step).await.is_err());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
