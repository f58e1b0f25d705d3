//! Follow: the end of a run gives the next one its turn.

use std::sync::Arc;

use pipeline::failure::Failure;
use pipeline::run::Run;
use worker::{Delivery, FailedRun, Handler, Publication};

use crate::builder::{Builder, lane_of_run};

/// The hop from a run's end to the next job on its lane.
pub(crate) struct Follower(pub(crate) Arc<Builder>);

impl Handler for Follower {
    type Input = Run;

    async fn handle(&self, run: Run, _delivery: &Delivery) -> Result<Vec<Publication>, Failure> {
        if run.state.is_terminal() {
            let lane = lane_of_run(&run);
            if self.0.finish(&lane, &run.id).await? {
                self.0.dispatch(&lane, None).await?;
            }
        }
        Ok(Vec::new())
    }

    /// The run has ended; what may fail here is the next one's job, which has its own record.
    fn run_of(&self, _run: &Run) -> Option<FailedRun> {
        None
    }
}
