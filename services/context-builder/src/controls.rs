//! Controls: a deleted comment or a closed pull request ends what it concerns, also what is running.

use std::sync::Arc;

use pipeline::decision::Verdict;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, RunId};
use pipeline::mention::{Change, Closed, Control};
use pipeline::run::RunState;
use worker::{Delivery, FailedRun, Handler, Publication};

use crate::builder::{Builder, Decided, lane_of};
use crate::lane::Lane;
use crate::records;

/// The hop of everything that is not a mention. It has a consumer of its own, so that it never waits behind one.
pub(crate) struct Controls(pub(crate) Arc<Builder>);

impl Handler for Controls {
    type Input = Control;

    async fn handle(&self, control: Control, _delivery: &Delivery) -> Result<Vec<Publication>, Failure> {
        let lane = lane_of(&control.origin);
        match &control.change {
            Change::CommentDeleted { comment } => {
                self.0.take_back(&lane, *comment).await?;
                let (_, run) = self
                    .0
                    .change_or_begin_lane(&lane, |lane| lane.deleted(*comment))
                    .await?;
                self.end(&control, Some(*comment), run, FailureCode::CommentDeleted)
                    .await?;
            }
            Change::Closed { how, .. } => {
                let sequence = control.origin.event_sequence;
                let close = |lane: &mut Lane| match how {
                    Closed::Merged | Closed::Declined => lane.closed(sequence),
                    Closed::Deleted => lane.gone(sequence),
                };
                let runs = self.0.change_lane(&lane, close).await?;
                self.end(
                    &control,
                    None,
                    runs.map(|(_, runs)| runs).unwrap_or_default(),
                    FailureCode::PullRequestClosed,
                )
                .await?;
            }
            // A brief is built when its run's turn comes, on the branch as it is then.
            Change::Moved { .. } => {}
        }
        Ok(Vec::new())
    }

    fn run_of(&self, _control: &Control) -> Option<FailedRun> {
        None
    }
}

impl Controls {
    /// Ends runs; their ends make room in the lane.
    async fn end(
        &self,
        control: &Control,
        comment: Option<CommentId>,
        runs: impl IntoIterator<Item = RunId> + Send,
        code: FailureCode,
    ) -> Result<(), Failure> {
        for run in runs.into_iter().collect::<Vec<_>>() {
            if self
                .0
                .end(&run, RunState::Cancelled, records::because(code))
                .await?
            {
                let reason = code.sentence().to_owned();
                let decided = Decided {
                    verdict: Verdict::Cancelled,
                    run: Some(run),
                    reason,
                };
                self.0.decide(&control.origin, comment, decided).await;
            }
        }
        Ok(())
    }
}
