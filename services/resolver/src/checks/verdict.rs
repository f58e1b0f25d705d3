//! What the runs of a check mean for people.

use pipeline::run::Measured;
use sandbox::{CellEnd, CellOutput, How, Level};

use super::{STOPPED, refused};

/// What one run of a check came to, with what it printed.
pub(super) struct Ran {
    pub(super) measured: Measured,
    /// None where it was not run.
    pub(super) end: Option<CellEnd>,
    pub(super) output: Option<CellOutput>,
}

/// What the changed side's run came to beside that of the side before. The change could print what a refusal looks like,
/// to hide its failure: one is believed only where the sandbox refused the same check before the change, too.
pub(super) fn compared(before: &Ran, after: &Ran) -> Measured {
    let is_refused = |ran: &Ran| matches!(ran.measured, Measured::NotMeasurable { .. });
    match after.end {
        Some(end) if is_refused(after) && !is_refused(before) => plain(end),
        _ => after.measured.clone(),
    }
}

/// What a check's end means for people.
pub(super) fn verdict(end: CellEnd, level: Level, printed: &str) -> Measured {
    // The number is shown beside it: what was printed is a claim of the code under test.
    let ended = match end.how {
        How::Exited(0) => return plain(end),
        How::Exited(code) => format!("exit {code}"),
        How::Signalled(signal) => format!("signal {signal}"),
        _ => return plain(end),
    };
    // At level 1 there is no network to serve or to ask on: that says nothing about the code.
    if level == Level::One && refused::names_a_refused_socket(printed) {
        return Measured::NotMeasurable {
            why: format!("{ended}, and the sandbox refused it a network socket"),
        };
    }
    plain(end)
}

/// The same, whatever was printed.
fn plain(end: CellEnd) -> Measured {
    let milliseconds = u64::try_from(end.wall.as_millis()).unwrap_or(u64::MAX);
    let stopped = |limit: &str| Measured::Stopped {
        limit: limit.to_owned(),
        milliseconds,
    };
    match end.how {
        How::Exited(code) => Measured::Exited { code, milliseconds },
        How::Signalled(signal) => Measured::Exited {
            code: 128 + signal,
            milliseconds,
        },
        How::Cancelled => Measured::NotRun {
            why: STOPPED.to_owned(),
        },
        How::TimeLimit => Measured::TimedOut { milliseconds },
        How::OutputLimit => stopped("output"),
        How::MemoryLimit => stopped("memory"),
        How::ProcessLimit => stopped("process"),
        How::DiskLimit => stopped("disk"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const REFUSED: &str = "listen tcp 127.0.0.1:0: bind: permission denied";

    fn end(how: How) -> CellEnd {
        CellEnd {
            how,
            wall: Duration::from_millis(1_500),
            memory_peak_bytes: 0,
            left_behind: 0,
            over_for: None,
        }
    }

    fn verdict_of(how: How, level: Level, printed: &str) -> Measured {
        verdict(end(how), level, printed)
    }

    fn ran(how: How, printed: &str) -> Ran {
        Ran {
            measured: verdict_of(how, Level::One, printed),
            end: Some(end(how)),
            output: None,
        }
    }

    #[test]
    fn a_change_cannot_print_its_failure_away() {
        let after = || ran(How::Exited(1), REFUSED);
        assert!(
            matches!(after().measured, Measured::NotMeasurable { .. }),
            "the control"
        );
        for before in [
            ran(How::Exited(0), "ok"),
            ran(How::Exited(1), "2 failed"),
            ran(How::TimeLimit, REFUSED),
        ] {
            let compared = compared(&before, &after());
            assert!(
                matches!(compared, Measured::Exited { code: 1, .. }),
                "{:?}: {compared:?}",
                before.measured
            );
        }
        // Where the sandbox refused it before, too, people still see how it ended.
        let Measured::NotMeasurable { why } = compared(&after(), &after()) else {
            panic!("it was refused on both sides");
        };
        assert!(why.starts_with("exit 1, and the sandbox refused"), "{why}");
        let aborted = compared(&after(), &ran(How::Signalled(6), REFUSED));
        assert!(matches!(&aborted, Measured::NotMeasurable { why } if why.starts_with("signal 6")));
    }

    #[test]
    fn a_check_ends_as_its_program_did() {
        let milliseconds = 1_500;
        let stopped = |limit: &str| Measured::Stopped {
            limit: limit.to_owned(),
            milliseconds,
        };
        let exited = |code| Measured::Exited { code, milliseconds };
        for (how, measured) in [
            (How::Exited(0), exited(0)),
            (How::Exited(3), exited(3)),
            (How::Signalled(11), exited(139)),
            (How::TimeLimit, Measured::TimedOut { milliseconds }),
            (How::OutputLimit, stopped("output")),
            (How::MemoryLimit, stopped("memory")),
            (How::ProcessLimit, stopped("process")),
            (How::DiskLimit, stopped("disk")),
        ] {
            assert_eq!(verdict_of(how, Level::Two, "2 failed"), measured);
        }
        let stopped_run = verdict_of(How::Cancelled, Level::Two, "");
        assert!(matches!(stopped_run, Measured::NotRun { .. }), "{stopped_run:?}");
    }

    #[test]
    fn only_at_level_1_a_refused_socket_is_no_failure() {
        let is_unmeasurable =
            |how, level, printed| matches!(verdict_of(how, level, printed), Measured::NotMeasurable { .. });
        assert!(is_unmeasurable(How::Exited(1), Level::One, REFUSED));
        assert!(is_unmeasurable(How::Signalled(6), Level::One, REFUSED));
        assert!(
            !is_unmeasurable(How::Exited(0), Level::One, REFUSED),
            "it passed all the same"
        );
        assert!(!is_unmeasurable(How::Exited(1), Level::One, "2 failed"));
        assert!(!is_unmeasurable(How::Exited(1), Level::Two, REFUSED));
        assert!(!is_unmeasurable(How::Exited(1), Level::Off, REFUSED));
        assert!(!is_unmeasurable(How::TimeLimit, Level::One, REFUSED));
    }
}
