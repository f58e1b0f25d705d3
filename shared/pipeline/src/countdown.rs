//! When something is over, for people: how long that is and what the clock says then.

use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};

/// `in 4 min, at 14:05 UTC`; with the date where that is another day. Minutes are rounded up, so that it is over by then.
pub fn until(end: Timestamp, now: Timestamp) -> String {
    let seconds = end.duration_since(now).max(SignedDuration::ZERO).as_secs();
    let minutes = seconds.div_euclid(60) + i64::from(seconds % 60 > 0);
    let wait = match minutes {
        0 | 1 => "in 1 min".to_owned(),
        2..120 => format!("in {minutes} min"),
        _ => format!("in {} h {} min", minutes / 60, minutes % 60),
    };
    // A time of a far future that cannot be written has no clock to be told by.
    let whole = TimestampRound::new().smallest(Unit::Minute).mode(RoundMode::Ceil);
    let rounded = now
        .checked_add(SignedDuration::from_mins(minutes.max(1)))
        .and_then(|end| end.round(whole));
    let Ok(end) = rounded else { return wait };
    let format = if end.strftime("%F").to_string() == now.strftime("%F").to_string() {
        "%H:%M"
    } else {
        "%F %H:%M"
    };
    format!("{wait}, at {} UTC", end.strftime(format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_as_a_wait_and_as_a_time() {
        let now: Timestamp = "2026-11-20T14:01:00Z".parse().unwrap();
        for (seconds, expected) in [
            (-60, "in 1 min, at 14:02 UTC"),
            (1, "in 1 min, at 14:02 UTC"),
            (240, "in 4 min, at 14:05 UTC"),
            (241, "in 5 min, at 14:06 UTC"),
            (7_200, "in 2 h 0 min, at 16:01 UTC"),
            (43_200, "in 12 h 0 min, at 2026-11-21 02:01 UTC"),
        ] {
            let end = now + SignedDuration::from_secs(seconds);
            assert_eq!(until(end, now), expected, "{seconds}");
        }
        let now = now + SignedDuration::from_secs(20);
        let end = now + SignedDuration::from_secs(60);
        assert_eq!(until(end, now), "in 1 min, at 14:03 UTC", "not before it is over");
    }
}
