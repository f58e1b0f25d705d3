//! What came of a run, out of what the cell, the proxy and the agent say.

use sandbox::{CellEnd, How};

use crate::driver::Said;
use crate::proxy::ProxyEnd;
use crate::{BrokenOff, Ended, Error, Report};

/// What came of it. What was measured from outside goes before what the agent says.
pub(crate) fn report(
    said: Said,
    stderr: String,
    cell_end: CellEnd,
    proxy_end: ProxyEnd,
    cancelled: bool,
) -> Result<Report, BrokenOff> {
    let stopped = if cancelled {
        Some(Ended::Cancelled)
    } else {
        proxy_end.cut_off
    };
    let limit = match cell_end.how {
        How::TimeLimit => Some(Ended::TimeLimit),
        How::OutputLimit => Some(Ended::OutputLimit),
        How::MemoryLimit => Some(Ended::MemoryLimit),
        How::ProcessLimit => Some(Ended::ProcessLimit),
        How::DiskLimit => Some(Ended::DiskLimit),
        How::Exited(_) | How::Signalled(_) | How::Cancelled => None,
    };
    let ended = match (stopped.or(limit), proxy_end.last_error) {
        (Some(ended), _) => ended,
        // The last thing it wanted to know from its model it was not told, whatever it made of that.
        (None, Some(error)) => {
            return Err(BrokenOff {
                error: Box::new(error),
                usage: proxy_end.usage,
                transcript: proxy_end.transcript,
            });
        }
        (None, None) => said.ended.unwrap_or(match cell_end.how {
            How::Signalled(_) => Ended::Crashed,
            // A code means nothing once it has worked; without a single answer it cannot have.
            How::Exited(code) if code != 0 && proxy_end.usage.turns == 0 => Ended::Crashed,
            _ => Ended::Finished,
        }),
    };
    let summary = if said.summary.is_empty() && ended == Ended::Crashed {
        stderr
    } else {
        said.summary
    };
    Ok(Report {
        summary,
        not_done: said.not_done,
        questions: said.questions,
        usage: proxy_end.usage,
        ended,
        model_errors: proxy_end.errors,
        transcript: proxy_end.transcript,
        cell: Some(cell_end),
    })
}

/// A run that could not be followed to its end, with what it had used.
pub(crate) fn broken_off(error: Error, proxy_end: ProxyEnd) -> BrokenOff {
    BrokenOff {
        error: Box::new(error),
        usage: proxy_end.usage,
        transcript: proxy_end.transcript,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Usage;

    fn cell_end(how: How) -> CellEnd {
        CellEnd {
            how,
            wall: Duration::from_secs(1),
            memory_peak_bytes: 0,
            left_behind: 0,
            over_for: None,
        }
    }

    fn proxy_end(turns: u32, last_error: Option<Error>, cut_off: Option<Ended>) -> ProxyEnd {
        ProxyEnd {
            usage: Usage {
                turns,
                ..Usage::default()
            },
            estimated: 0,
            errors: u32::from(last_error.is_some()),
            last_error,
            refused: 0,
            removed: 0,
            cut_off,
            transcript: b"{}".to_vec(),
        }
    }

    fn ended(how: How, said: Option<Ended>, proxy: ProxyEnd, cancelled: bool) -> Result<Ended, String> {
        let said = Said {
            ended: said,
            ..Said::default()
        };
        let report = report(said, String::new(), cell_end(how), proxy, cancelled);
        report
            .map(|report| report.ended)
            .map_err(|broken| broken.to_string())
    }

    #[test]
    fn what_is_measured_goes_before_what_is_said() {
        use Ended::{Cancelled, Crashed, DiskLimit, Finished, MalformedCalls, TurnLimit};
        let fine = || proxy_end(2, None, None);
        let finished = Some(Finished);
        for (how, said, proxy, cancelled, wanted) in [
            (How::Exited(0), finished, fine(), false, Finished),
            (How::Exited(0), None, fine(), false, Finished),
            // No exit code is believed once there was work; a signal is no exit code.
            (How::Exited(1), None, fine(), false, Finished),
            (How::Exited(1), None, proxy_end(0, None, None), false, Crashed),
            (How::Exited(0), None, proxy_end(0, None, None), false, Finished),
            (How::Signalled(11), None, fine(), false, Crashed),
            (
                How::Exited(0),
                Some(MalformedCalls),
                fine(),
                false,
                MalformedCalls,
            ),
            // Killed by us after it said it was done.
            (How::Cancelled, finished, fine(), false, Finished),
            (How::DiskLimit, finished, fine(), false, DiskLimit),
            (
                How::Exited(0),
                finished,
                proxy_end(2, None, Some(TurnLimit)),
                false,
                TurnLimit,
            ),
            (
                How::DiskLimit,
                finished,
                proxy_end(2, None, Some(TurnLimit)),
                true,
                Cancelled,
            ),
        ] {
            assert_eq!(ended(how, said, proxy, cancelled), Ok(wanted), "{how:?} {said:?}");
        }
    }

    #[test]
    fn a_model_that_failed_last_is_why_the_run_failed_unless_a_limit_is() {
        let failed = || Some(Error::ModelUnauthorized);
        let proxy = proxy_end(2, failed(), None);
        let error = ended(How::Exited(0), Some(Ended::Finished), proxy, false).unwrap_err();
        assert_eq!(error, Error::ModelUnauthorized.to_string());
        let proxy = proxy_end(2, failed(), None);
        assert_eq!(ended(How::TimeLimit, None, proxy, false), Ok(Ended::TimeLimit));
        let broken = report(
            Said::default(),
            String::new(),
            cell_end(How::Exited(0)),
            proxy_end(2, failed(), None),
            false,
        );
        let broken = broken.unwrap_err();
        assert_eq!(
            (broken.usage.turns, broken.transcript.as_slice()),
            (2, &b"{}"[..])
        );
    }
}
