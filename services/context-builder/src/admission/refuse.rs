//! Refusals: runs that end where they would have begun.

use jiff::Timestamp;
use pipeline::decision::Verdict;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::run::{FailureReport, RunState};
use pipeline::subject;
use worker::Created;

use super::{Case, OVERTAKEN, Outcome, plain};
use crate::builder::{Decided, not_yet};
use crate::lane::Lane;
use crate::limits::OVERTAKEN_RETRY;
use crate::permission::key_of;
use crate::records;

/// How often a refusal is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Once an hour to each person, whatever they ask.
    Once,
    /// Every time, as often as one is answered at once: the next request may well be another one.
    Always,
}

impl Case<'_> {
    /// Writes a run that has ended, with the reason. Its reply is left out where the person has read the same within
    /// the hour; the decision then names the run that said it.
    pub(super) async fn refuse(&self, run: RunId, report: FailureReport) -> Result<Outcome, Failure> {
        let now = Timestamp::now();
        let author = self.mention.author.as_ref();
        let name = author.map_or("", |author| author.name.as_str());
        let person = key_of(author);
        let change = |lane: &mut Lane| {
            if lane.is_overtaken(self.mention, &run) {
                return None;
            }
            let mut report = report.clone();
            // One that quotes what it is told would go on for ever.
            if how_often(report.code) == Said::Always && !lane.may_answer(&person, now) {
                report = FailureReport {
                    code: FailureCode::TooManyRuns,
                    detail: Some(lane.answers_fuse(&person, now)),
                };
            }
            let code = report.code;
            let said = (how_often(code) == Said::Once).then_some((name, code));
            Some((lane.refuse(self.mention, &run, said, now), report))
        };
        let (_, refused) = self.builder.change_or_begin_lane(&self.lane, change).await?;
        let Some((spoken, report)) = refused else {
            return Err(not_yet(OVERTAKEN_RETRY, OVERTAKEN));
        };
        let code = report.code;
        let (state, verdict) = ending(code);
        let reason = code.sentence();
        if spoken != run {
            let reason = format!(
                "{reason} Not said again within the hour: {spoken} has said it, and this mention started no run."
            );
            return Ok((
                Decided {
                    verdict,
                    run: Some(spoken),
                    reason,
                },
                None,
            ));
        }
        let record = records::queued(self.mention, &run, self.traceparent(), now);
        let record = records::ended(record, state, records::failure(report), now);
        if self.builder.runs.create(&subject::run_key(&run), &record).await? == Created::New {
            telemetry::metrics::runs_ended(state.as_str(), code.as_str()).inc();
        }
        Ok(plain(verdict, Some(run), reason))
    }

    /// Ends a run that waits, since its comment now asks for what the person may not have.
    pub(super) async fn end_refused(&self, run: RunId, report: FailureReport) -> Result<Outcome, Failure> {
        let (reason, (state, verdict)) = (report.code.sentence(), ending(report.code));
        self.builder.end(&run, state, records::failure(report)).await?;
        self.builder.finish(&self.lane, &run).await?;
        Ok(plain(verdict, Some(run), reason))
    }
}

fn ending(code: FailureCode) -> (RunState, Verdict) {
    if code == FailureCode::Stopped {
        (RunState::Cancelled, Verdict::Cancelled)
    } else {
        (RunState::Refused, Verdict::Refused)
    }
}

fn how_often(code: FailureCode) -> Said {
    use FailureCode as Code;
    match code {
        Code::NothingToResume
        | Code::NoPlan
        | Code::NothingToUndo
        | Code::SecondPersonNeeded
        | Code::RunUnclear
        | Code::OptionContradicts
        | Code::Stopped => Said::Always,
        _ => Said::Once,
    }
}
