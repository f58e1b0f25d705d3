//! How long a look may work before it takes a break.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// By the clock a slice is over after this too, and what is not through goes on in the next: other limits wait meanwhile.
const CLOCK_MAX: Duration = Duration::from_millis(100);

/// A share of a processor, not of time: on a machine that is busy, and runs make it so, most of the time is spent waiting
/// for a processor, and a slice of time would get little done.
pub(super) struct Slice {
    used_up_at: Duration,
    over_at: Instant,
}

impl Slice {
    pub(super) fn of(processor_time: Duration) -> Self {
        Self {
            used_up_at: processor_time_used() + processor_time,
            over_at: Instant::now() + CLOCK_MAX,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        processor_time_used() >= self.used_up_at || Instant::now() >= self.over_at
    }
}

/// What this thread has used of a processor since it was started.
pub(super) fn processor_time_used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_over_when_it_is_worked_through() {
        let slice = Slice::of(Duration::from_millis(20));
        let before = processor_time_used();
        assert!(!slice.is_over());
        while !slice.is_over() {}
        let used = processor_time_used().saturating_sub(before);
        // On a machine that gives no processor at all it is the clock that ends it.
        assert!(used <= Duration::from_millis(100), "{used:?}");
    }

    #[test]
    fn an_idle_thread_uses_none_of_it() {
        let (begun, before) = (Instant::now(), processor_time_used());
        let wait = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        rustix::event::poll(&mut [], Some(&wait)).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(50));
        assert!(processor_time_used().saturating_sub(before) < Duration::from_millis(40));
    }
}
