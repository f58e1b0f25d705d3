//! The circuit breaker: after five failures a hook is skipped for longer and longer (bitbucket-dc.md 2.6).

/// Failures in a row that make a hook unhealthy.
const FAILURES_MAX: u32 = 5;
/// The first pause.
const PAUSE_FIRST_MS: i64 = 10_000;
/// The longest pause: ten hours.
const PAUSE_MAX_MS: i64 = 36_000_000;

/// The memory of one webhook; times are of the virtual clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    pause: i64,
    skip_until: i64,
}

impl Breaker {
    /// Whether deliveries are skipped now.
    pub(crate) fn skips(&self, now: i64) -> bool {
        self.failures >= FAILURES_MAX && now < self.skip_until
    }

    /// Notes how a delivery went.
    pub(crate) fn note(&mut self, success: bool, now: i64) {
        if success {
            *self = Breaker::default();
            return;
        }
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            self.pause = if self.pause == 0 {
                PAUSE_FIRST_MS
            } else {
                (self.pause * 2).min(PAUSE_MAX_MS)
            };
            self.skip_until = now + self.pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_failure_pauses_ten_seconds_and_the_next_doubles_it() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.note(false, 0);
            assert!(!breaker.skips(0));
        }
        breaker.note(false, 0);
        assert!(breaker.skips(9_999) && !breaker.skips(10_000));
        breaker.note(false, 10_000);
        assert!(breaker.skips(29_999) && !breaker.skips(30_000));
        for _ in 0..40 {
            breaker.note(false, 0);
        }
        assert!(breaker.skips(PAUSE_MAX_MS - 1) && !breaker.skips(PAUSE_MAX_MS));
        breaker.note(true, 0);
        assert!(!breaker.skips(0));
    }
}
