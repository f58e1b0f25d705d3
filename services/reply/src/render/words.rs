//! Numbers and times as people read them.

use jiff::Timestamp;

/// `1st`, `2nd`, `11th`.
pub(super) fn ordinal(n: u64) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

/// `1 file`, `3 files`.
pub(super) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `950`, `31k`, `1.2M`.
pub(super) fn rounded(n: u64) -> String {
    match n {
        0..=999 => n.to_string(),
        1_000..=999_499 => format!("{}k", (n + 500) / 1_000),
        _ => {
            let tenths = (n + 50_000) / 100_000;
            format!("{}.{}M", tenths / 10, tenths % 10)
        }
    }
}

/// `under 1s`, `48s`, `2m 03s`, `1h 02m`; nothing where an end is missing or clocks disagree.
pub(super) fn elapsed(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<String> {
    let seconds = u64::try_from(to?.duration_since(from?).as_secs()).ok()?;
    Some(match seconds {
        0 => "under 1s".to_owned(),
        1..=59 => format!("{seconds}s"),
        _ => minutes(seconds),
    })
}

/// How long a check took: `0.4 s`, `38 s`, `2m 03s`.
pub(super) fn took(milliseconds: u64) -> String {
    match milliseconds {
        0..=9_949 => {
            let tenths = (milliseconds + 50) / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        9_950..=59_499 => format!("{} s", (milliseconds + 500) / 1_000),
        _ => minutes((milliseconds + 500) / 1_000),
    }
}

/// `$0.42`; a little is not nothing.
pub(super) fn dollars(usd: f64) -> String {
    if usd > 0.0 && usd < 0.01 {
        return "under $0.01".to_owned();
    }
    format!("${usd:.2}")
}

fn minutes(seconds: u64) -> String {
    match seconds {
        0..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let ordinals: Vec<String> = [1, 2, 3, 4, 11, 12, 13, 21, 112]
            .into_iter()
            .map(ordinal)
            .collect();
        assert_eq!(
            ordinals,
            [
                "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"
            ]
        );
        let roundeds: Vec<String> = [0, 999, 1_000, 31_499, 999_499, 999_500, 1_250_000]
            .into_iter()
            .map(rounded)
            .collect();
        assert_eq!(roundeds, ["0", "999", "1k", "31k", "999k", "1.0M", "1.3M"]);
    }

    #[test]
    fn times_show_two_units_at_most() {
        let show = |seconds| elapsed(Some(Timestamp::UNIX_EPOCH), Timestamp::from_second(seconds).ok());
        assert_eq!(show(0).as_deref(), Some("under 1s"));
        assert_eq!(show(48).as_deref(), Some("48s"));
        assert_eq!(show(123).as_deref(), Some("2m 03s"));
        assert_eq!(show(3725).as_deref(), Some("1h 02m"));
        assert_eq!(show(-1), None);
        assert_eq!(elapsed(None, Some(Timestamp::UNIX_EPOCH)), None);
    }
    #[test]
    fn what_a_check_took_and_what_a_run_cost_is_rounded_to_what_people_read() {
        let tooks: Vec<String> = [0, 49, 420, 9_949, 9_950, 38_400, 59_499, 59_500, 3_725_000]
            .into_iter()
            .map(took)
            .collect();
        assert_eq!(
            tooks,
            [
                "0.0 s", "0.0 s", "0.4 s", "9.9 s", "10 s", "38 s", "59 s", "1m 00s", "1h 02m"
            ]
        );
        let sums: Vec<String> = [0.0, 0.004, 0.42, 5.0, 12.345].into_iter().map(dollars).collect();
        assert_eq!(sums, ["$0.00", "under $0.01", "$0.42", "$5.00", "$12.35"]);
    }
}
