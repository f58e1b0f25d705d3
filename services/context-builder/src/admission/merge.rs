//! A request that adds to one that waits: its text joins that one's, and its own record says so.

use jiff::Timestamp;
use pipeline::decision::Verdict;
use pipeline::failure::Failure;
use pipeline::ids::RunId;
use pipeline::run::RunState;
use pipeline::subject;
use worker::Created;

use super::{Case, Outcome, plain};
use crate::builder::not_yet;
use crate::limits::SLOT_RETRY;
use crate::records;

impl Case<'_> {
    /// Adds the mention's text to the run `into`, which waits for it, and ends the mention's own run.
    pub(super) async fn merge(&self, run: RunId, into: &RunId) -> Result<Outcome, Failure> {
        let comment = self.mention.comment;
        let text = self
            .mention
            .command
            .as_ref()
            .map_or("", |command| command.text.as_str());
        let added = self
            .builder
            .change_run(into, |record| records::add(record, comment, text))
            .await?;
        let Some(added) = added else {
            return Err(not_yet(SLOT_RETRY, "the run it adds to has no record yet"));
        };
        let said = if added {
            format!(
                "This was added to the request of run `{into}`, which waits. Its reply tells how it goes."
            )
        } else {
            // Its job must not wait for a text that will not come.
            self.builder
                .change_lane(&self.lane, |lane| lane.unmerge(into, comment))
                .await?;
            format!(
                "Run `{into}` could not be added to any more, so nothing was done. Write this again when it has ended."
            )
        };
        let now = Timestamp::now();
        let mut record = records::queued(self.mention, &run, self.traceparent(), now);
        record.about = Some(into.clone());
        let record = records::ended(record, RunState::Superseded, records::answer(said), now);
        match self.builder.runs.create(&subject::run_key(&run), &record).await? {
            Created::New => {
                telemetry::metrics::runs_ended(record.state.as_str(), "-").inc();
                let reason = "the request was added to one that waits";
                Ok(plain(Verdict::Accepted, Some(run), reason))
            }
            Created::Exists(_) => Ok(plain(Verdict::Duplicate, Some(run), "the run exists")),
        }
    }
}
