//! What admission, controls, the follower, dispatch and the watchdog share.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bitbucket::{Client, Clients};
use config::{Config, Connection, ConnectionSource};
use jiff::{SignedDuration, Timestamp};
use pipeline::decision::{Decision, Verdict};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, ConnectionId, InstanceId, RunId};
use pipeline::mention::{Class, Origin, Verb};
use pipeline::message::VERSION;
use pipeline::run::{Fenced, Outcome, Run, RunState};
use pipeline::subject;
use worker::{Error, Nats, Records};

use crate::lane::{Lane, Rules};
use crate::limits::{HISTORY_LOOKED_FOR_MAX, HISTORY_MAX, VERSIONS_MAX};
use crate::pause::Pause;
use crate::records;
use crate::repository_file::RepositoryFiles;
use crate::seats::Seats;

/// The role's name in decisions.
pub(crate) const ROLE: &str = "context-builder";

/// The role: lanes are written here and nowhere else.
pub(crate) struct Builder {
    pub(crate) settings: Arc<Config>,
    connections: Arc<dyn ConnectionSource>,
    pub(crate) clients: Clients,
    /// What target branches say.
    pub(crate) files: RepositoryFiles,
    /// Who may wait for Bitbucket.
    pub(crate) seats: Seats,
    pub(crate) nats: Nats,
    pub(crate) lanes: Records<Lane>,
    pub(crate) runs: Records<Run>,
    /// The pull requests on which the bot is paused.
    pub(crate) pauses: Records<Pause>,
    /// This process's name in claims.
    pub(crate) process: String,
    /// Runs whose job this process is preparing right now.
    preparing: Mutex<HashSet<RunId>>,
}

/// What was decided on a mention or control.
pub(crate) struct Decided {
    pub(crate) verdict: Verdict,
    pub(crate) run: Option<RunId>,
    pub(crate) reason: String,
}

/// Held while this process prepares a run's job.
pub(crate) struct Preparing<'a> {
    builder: &'a Builder,
    run: RunId,
}

impl Builder {
    pub(crate) fn new(settings: Arc<Config>, connections: Arc<dyn ConnectionSource>, nats: Nats) -> Self {
        Self {
            clients: Clients::new(Arc::clone(&connections), settings.proxy.clone()),
            connections,
            files: RepositoryFiles::default(),
            seats: Seats::default(),
            settings,
            lanes: nats.records(subject::LANES),
            pauses: nats.records(subject::PAUSES),
            runs: nats.runs(),
            nats,
            process: uuid::Uuid::new_v4().simple().to_string(),
            preparing: Mutex::default(),
        }
    }

    /// A connection as it is configured now, and its client.
    pub(crate) fn connection(&self, id: &ConnectionId) -> Result<(Arc<Connection>, Client), Failure> {
        let client = self.clients.of(id)?;
        let connection = self.connections.get(id).ok_or_else(|| {
            let cause = anyhow::anyhow!("the connection {id} is not configured any more");
            Failure::abandon(FailureCode::Internal, None, cause)
        })?;
        Ok((connection, client))
    }

    /// Changes a lane that exists and returns it with the result; nothing happens to one that does not.
    pub(crate) async fn change_lane<R>(
        &self,
        key: &str,
        mut change: impl FnMut(&mut Lane) -> R,
    ) -> Result<Option<(Lane, R)>, Error> {
        match self
            .lanes
            .update(key, |lane| Ok::<R, Infallible>(change(lane)))
            .await
        {
            Ok(Ok(changed)) => Ok(Some(changed)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes a lane, which begins empty, and returns it with the result.
    pub(crate) async fn change_or_begin_lane<R>(
        &self,
        key: &str,
        mut change: impl FnMut(&mut Lane) -> R,
    ) -> Result<(Lane, R), Error> {
        let Ok(changed) = self
            .lanes
            .update_or_default(key, |lane| Ok::<R, Infallible>(change(lane)))
            .await?;
        Ok(changed)
    }

    /// The records of everything that a lane remembers, answers and refusals, too; the last one asked for first.
    pub(crate) async fn history(&self, lane: &Lane) -> Result<Vec<Run>, Error> {
        let known = lane.comments.values().rev();
        let known = known.filter_map(|memory| memory.run.clone());
        self.records(known, |_| true).await
    }

    /// The records of the runs that a lane remembers, the last one asked for first. However much is asked at once or
    /// refused meanwhile, they are found; so are those that a comment asked for before it was edited to ask for others.
    pub(crate) async fn runs_of(&self, lane: &Lane, instance: &InstanceId) -> Result<Vec<Run>, Error> {
        let known = lane.comments.iter().rev();
        let known = known.flat_map(|(comment, memory)| {
            let last = memory.run.clone().filter(|_| !memory.refused && !memory.answered);
            let before = (0..memory.version).rev().take(VERSIONS_MAX);
            let before = before.map(|version| RunId::derive(instance, *comment, version));
            last.into_iter()
                .chain(before.filter(|run| memory.run.as_ref() != Some(run)))
        });
        let is_last = |run: &Run| {
            let memory = lane.comments.get(&run.comment);
            memory.is_some_and(|memory| memory.run.as_ref() == Some(&run.id))
        };
        // What an earlier version got at once, or was refused, never began.
        self.records(known, |run| is_last(run) || run.started_at.is_some())
            .await
    }

    async fn records(
        &self,
        known: impl Iterator<Item = RunId>,
        counts: impl Fn(&Run) -> bool,
    ) -> Result<Vec<Run>, Error> {
        let get = |run: RunId| async move { self.runs.get(&subject::run_key(&run)).await };
        let mut history = found(known, get, counts).await?;
        history.sort_by(|one, other| (other.queued_at, &other.id).cmp(&(one.queued_at, &one.id)));
        Ok(history)
    }

    /// What an operator allows on one pull request, to a run that does `verb` in the end.
    pub(crate) fn rules(&self, verb: Verb) -> Rules {
        let limits = &self.settings.limits;
        Rules {
            runs_per_hour: usize::try_from(limits.runs_per_pull_request_hour).unwrap_or(usize::MAX),
            merge_within: SignedDuration::from_secs(i64::from(limits.merge_within_seconds)),
            only_reads: verb.class() == Class::Read,
        }
    }

    /// Takes back what a comment that is gone or asks for something else has added to a request that waits.
    pub(crate) async fn take_back(&self, lane: &str, comment: CommentId) -> Result<(), Error> {
        let known = self.lanes.get(lane).await?.unwrap_or_default();
        let memory = known.comments.get(&comment);
        let Some(into) = memory.and_then(|memory| memory.merged_into.clone()) else {
            return Ok(());
        };
        self.change_run(&into, |run| records::take_back(run, comment))
            .await?;
        self.change_lane(lane, |lane| lane.unmerge(&into, comment))
            .await?;
        Ok(())
    }

    /// Changes a run's record; `None` where there is none.
    pub(crate) async fn change_run<R>(
        &self,
        run: &RunId,
        mut change: impl FnMut(&mut Run) -> R,
    ) -> Result<Option<R>, Error> {
        match self
            .runs
            .update(&subject::run_key(run), |run| Ok::<R, Infallible>(change(run)))
            .await
        {
            Ok(Ok((_, result))) => Ok(Some(result)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends a run that has not ended; returns whether it was this that ended it.
    pub(crate) async fn end(&self, run: &RunId, state: RunState, outcome: Outcome) -> Result<bool, Error> {
        let now = Timestamp::now();
        let end = |run: &mut Run| run.end(None, state, outcome.clone(), now);
        match self.runs.update(&subject::run_key(run), end).await {
            Ok(Ok(_)) => {
                let code = outcome
                    .failure
                    .as_ref()
                    .map_or("-", |report| report.code.as_str());
                telemetry::metrics::runs_ended(state.as_str(), code).inc();
                tracing::info!(run.id = %run, state = state.as_str(), code, "run ended");
                Ok(true)
            }
            Ok(Err(Fenced::Ended(_) | Fenced::Overtaken { .. })) | Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes a run that has ended out of its lane and tells those behind it. Returns whether any are.
    pub(crate) async fn finish(&self, lane: &str, run: &RunId) -> Result<bool, Error> {
        let Some((lane, ())) = self.change_lane(lane, |lane| lane.finished(run)).await? else {
            return Ok(false);
        };
        self.tell_places(&lane).await?;
        Ok(!lane.is_at_rest())
    }

    /// Writes into every waiting run's record how many runs are before it.
    pub(crate) async fn tell_places(&self, lane: &Lane) -> Result<(), Error> {
        for (run, ahead) in lane.ahead() {
            self.change_run(&run, |run| records::set_ahead(run, ahead))
                .await?;
        }
        Ok(())
    }

    /// Begins to prepare a run's job; `None` while this process already does.
    pub(crate) fn begin_to_prepare(&self, run: &RunId) -> Option<Preparing<'_>> {
        let mut preparing = self.preparing.lock().unwrap_or_else(PoisonError::into_inner);
        preparing.insert(run.clone()).then(|| Preparing {
            builder: self,
            run: run.clone(),
        })
    }

    /// Records what was decided and why.
    pub(crate) async fn decide(&self, origin: &Origin, comment: Option<CommentId>, decided: Decided) {
        tracing::info!(
            delivery.id = %origin.delivery,
            run.id = decided.run.as_ref().map(RunId::as_str),
            verdict = ?decided.verdict,
            reason = decided.reason,
            "decided"
        );
        let decision = Decision {
            v: VERSION,
            at: Timestamp::now(),
            role: ROLE.to_owned(),
            delivery: origin.delivery.clone(),
            connection: origin.connection.clone(),
            instance: origin.instance.clone(),
            repository: Some(origin.repository.clone()),
            pull_request: Some(origin.pull_request),
            comment,
            run: decided.run,
            verdict: decided.verdict,
            reason: decided.reason,
        };
        self.nats.decide(decision).await;
    }
}

impl Drop for Preparing<'_> {
    fn drop(&mut self) {
        self.builder
            .preparing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.run);
    }
}

/// The first [`HISTORY_MAX`] that are found and count.
async fn found<T, E, F: Future<Output = Result<Option<T>, E>>>(
    known: impl Iterator<Item = RunId>,
    get: impl Fn(RunId) -> F,
    counts: impl Fn(&T) -> bool,
) -> Result<Vec<T>, E> {
    let mut history = Vec::new();
    for run in known.take(HISTORY_LOOKED_FOR_MAX) {
        if history.len() == HISTORY_MAX {
            break;
        }
        history.extend(get(run).await?.filter(&counts));
    }
    Ok(history)
}

/// The key of the lane an origin belongs to.
pub(crate) fn lane_of(origin: &Origin) -> String {
    subject::lane_key(&origin.instance, origin.repository.id, &origin.lane())
}

/// The key of the lane a run belongs to.
pub(crate) fn lane_of_run(run: &Run) -> String {
    subject::lane_key(&run.instance, run.repository.id, &run.lane)
}

/// A failure to be tried again soon, which is nobody's fault.
pub(crate) fn not_yet(after: std::time::Duration, why: &'static str) -> Failure {
    Failure::unavailable(FailureCode::Internal, Some(after), anyhow::anyhow!(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn versions_that_never_were_runs_hide_no_older_run() {
        const COMMENTS: usize = 2 * HISTORY_MAX;
        let instance = InstanceId::of_base_url("http://127.0.0.1");
        // Each comment's last version is a run, the ones before are not.
        let versions = u32::try_from(VERSIONS_MAX).unwrap();
        let ids = (0..COMMENTS as u64).flat_map(|comment| {
            (0..=versions)
                .rev()
                .map(move |version| (CommentId(comment), version))
        });
        let runs: HashSet<RunId> = (0..COMMENTS as u64)
            .map(|comment| RunId::derive(&instance, CommentId(comment), versions))
            .collect();
        let known: Vec<RunId> = ids
            .map(|(comment, version)| RunId::derive(&instance, comment, version))
            .collect();
        let get = |run: RunId| std::future::ready(Ok::<_, Infallible>(runs.get(&run).cloned()));

        let Ok(history) = found(known.iter().cloned(), get, |_| true).await;
        assert_eq!(history.len(), HISTORY_MAX, "as many runs as are wanted");
        let Ok(none) = found(known.iter().cloned(), get, |_| false).await;
        assert_eq!(none, [], "what does not count is not counted");

        let asked = std::cell::Cell::new(0);
        let nothing = |_| {
            asked.set(asked.get() + 1);
            std::future::ready(Ok::<_, Infallible>(None::<RunId>))
        };
        let Ok(none) = found(known.into_iter(), nothing, |_| true).await;
        assert_eq!((none.len(), asked.get()), (0, HISTORY_LOOKED_FOR_MAX));
    }
}
