//! Words of answers. They are shown as they are, so that whatever comes from somebody else goes through [`code`].

use jiff::{SignedDuration, Timestamp, Unit};
use pipeline::run::Usage;

/// Foreign text longer than this is cut.
const FOREIGN_CHARS_MAX: usize = 120;

/// Foreign text, as code in which nothing is a mention, a link or HTML.
pub(super) fn code(foreign: &str) -> String {
    let harmless = |c: &char| c.is_alphanumeric() || " -_./:,;()'=+#~".contains(*c);
    let mut kept: String = foreign.chars().filter(harmless).take(FOREIGN_CHARS_MAX).collect();
    if foreign.chars().count() > FOREIGN_CHARS_MAX {
        kept.push('…');
    }
    let kept = kept.trim();
    if kept.is_empty() {
        "`-`".to_owned()
    } else {
        format!("`{kept}`")
    }
}

/// A point in time to the second, in UTC.
pub(super) fn time(at: Timestamp) -> String {
    let second = at.round(Unit::Second).unwrap_or(at);
    format!("{} UTC", second.strftime("%Y-%m-%d %H:%M:%S"))
}

/// How long ago, in the two largest units.
pub(super) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).max(SignedDuration::ZERO).as_secs();
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// What the model used, in tokens and, where it has prices, in money.
pub(super) fn spent(usage: Usage) -> String {
    let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
    let tokens = match tokens {
        0..=9_999 => format!("{tokens} tokens"),
        _ => format!("{}k tokens", tokens / 1_000),
    };
    match usage.usd {
        Some(usd) => format!("${usd:.2}, {tokens}"),
        None => tokens,
    }
}

/// `1 run`, `2 runs`.
pub(super) fn count(number: usize, one: &str, more: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {more}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_mentions_nobody_and_formats_nothing() {
        assert_eq!(code("cargo test -p x"), "`cargo test -p x`");
        assert_eq!(code("@alice `x` <b>[l](http://e)"), "`alice x bl(http://e)`");
        assert_eq!(code("\u{202e}\n@`"), "`-`");
        assert!(code(&"x".repeat(500)).chars().count() < 130);
    }

    #[test]
    fn times_and_costs_are_short() {
        let at = |seconds: i64| Timestamp::from_second(1_750_000_000 + seconds).unwrap();
        assert_eq!(time(at(0)), "2025-06-15 15:06:40 UTC");
        assert_eq!(age(at(0), at(59)), "59 s");
        assert_eq!(age(at(0), at(123)), "2 min 3 s");
        assert_eq!(age(at(0), at(3_780)), "1 h 3 min");
        assert_eq!(age(at(9), at(0)), "0 s");
        let mut usage = Usage {
            input_tokens: 30_000,
            output_tokens: 1_500,
            ..Usage::default()
        };
        assert_eq!(spent(usage), "31k tokens");
        usage.usd = Some(0.424);
        assert_eq!(spent(usage), "$0.42, 31k tokens");
    }
}
