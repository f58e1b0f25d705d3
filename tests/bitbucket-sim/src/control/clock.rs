//! The virtual clock of circuit breaker and rate limit.

use std::sync::{Mutex, PoisonError};

use crate::json::{Json, object};

/// Runs with the real clock, shifted; or stands still.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    setting: Mutex<Setting>,
}

#[derive(Debug, Default)]
struct Setting {
    /// Milliseconds ahead of the real clock.
    offset: i64,
    /// Where it stands, if it does.
    stopped_at: Option<i64>,
}

/// `PUT /sim/v1/clock`: any of these.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClockChange {
    /// Sets the time, epoch milliseconds.
    now_ms: Option<i64>,
    /// Moves the time forward (or back).
    advance_ms: Option<i64>,
    /// `false` stops the clock where it is, `true` lets it run on.
    running: Option<bool>,
    /// Back to the real time, running.
    reset: bool,
}

impl ClockChange {
    /// The change that undoes all others.
    pub(crate) fn back_to_real_time() -> ClockChange {
        ClockChange {
            reset: true,
            ..ClockChange::default()
        }
    }
}

impl Clock {
    /// The virtual time, epoch milliseconds.
    pub(crate) fn now(&self) -> i64 {
        self.setting.lock().unwrap_or_else(PoisonError::into_inner).now()
    }

    /// Applies a change: reset first, then stop or run, then set, then advance.
    pub(crate) fn change(&self, change: &ClockChange) {
        let mut setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        if change.reset {
            *setting = Setting::default();
        }
        match change.running {
            Some(true) => {
                setting.offset = setting.now() - real();
                setting.stopped_at = None;
            }
            Some(false) => setting.stopped_at = Some(setting.now()),
            None => {}
        }
        let target = change.now_ms.unwrap_or_else(|| setting.now()) + change.advance_ms.unwrap_or(0);
        if setting.stopped_at.is_some() {
            setting.stopped_at = Some(target);
        } else {
            setting.offset = target - real();
        }
    }

    /// What `GET /sim/v1/clock` shows.
    pub(crate) fn json(&self) -> Json {
        let setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        object! { "now_ms": setting.now(), "running": setting.stopped_at.is_none() }
    }
}

impl Setting {
    fn now(&self) -> i64 {
        self.stopped_at.unwrap_or_else(|| real() + self.offset)
    }
}

fn real() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_moves_only_when_told() {
        let clock = Clock::default();
        clock.change(&ClockChange {
            running: Some(false),
            now_ms: Some(1000),
            ..ClockChange::default()
        });
        assert_eq!(clock.now(), 1000);
        clock.change(&ClockChange {
            advance_ms: Some(250),
            ..ClockChange::default()
        });
        assert_eq!(clock.now(), 1250);
        clock.change(&ClockChange {
            running: Some(true),
            ..ClockChange::default()
        });
        assert!((1250..60_000).contains(&clock.now()));
    }
}
