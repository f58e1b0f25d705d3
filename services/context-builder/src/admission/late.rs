//! Edits of a comment whose run works or has just ended. The run's record decides: the lane learns of an end a moment
//! later, and an edit that comes in between must not be lost.

use pipeline::decision::Verdict;
use pipeline::failure::Failure;
use pipeline::ids::RunId;
use pipeline::subject;

use super::{Case, OVERTAKEN, Outcome, plain};
use crate::builder::not_yet;
use crate::lane::Lane;
use crate::limits::OVERTAKEN_RETRY;
use crate::records;

impl Case<'_> {
    /// The lane as this mention finds it: a run that has ended has no place there, and an edit that was told to have come
    /// too late is known.
    pub(super) async fn lane_as_it_is(&self) -> Result<Lane, Failure> {
        let known = self.builder.lanes.get(&self.lane).await?.unwrap_or_default();
        let Some(run) = known.edited(self.mention) else {
            return Ok(known);
        };
        let Some(record) = self.builder.runs.get(&subject::run_key(run)).await? else {
            return Ok(known);
        };
        if record.late_version >= self.mention.comment_version {
            self.builder
                .change_lane(&self.lane, |lane| lane.came_too_late(self.mention))
                .await?;
        } else if record.state.is_terminal() && known.holds(run) {
            self.builder.finish(&self.lane, run).await?;
        } else {
            return Ok(known);
        }
        Ok(self.builder.lanes.get(&self.lane).await?.unwrap_or_default())
    }

    /// Has the run say that an edit came too late, then takes note of that: a run that ends before it could be said has
    /// the edit heard again, which then starts one.
    pub(super) async fn too_late(&self, run: RunId) -> Result<Outcome, Failure> {
        let version = self.mention.comment_version;
        let say = |record: &mut _| records::edited_late(record, version);
        if self.builder.change_run(&run, say).await? != Some(true) {
            return Err(not_yet(OVERTAKEN_RETRY, OVERTAKEN));
        }
        self.builder
            .change_lane(&self.lane, |lane| lane.came_too_late(self.mention))
            .await?;
        Ok(plain(
            Verdict::Ignored,
            Some(run),
            "the edit came after work had begun",
        ))
    }
}
