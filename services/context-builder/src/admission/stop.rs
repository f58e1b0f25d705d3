//! `stop`: ends what runs and waits, and what was written before it and arrives after it, as far as the person may.

use bitbucket::Client;
use config::Connection;
use pipeline::event::Person;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::mention::Command;
use pipeline::run::{FailureReport, Run, RunState};
use pipeline::subject;

use super::{Case, run_of};
use crate::lane::{Asked, Lane};
use crate::permission::{Gate, key_of};
use crate::records;

impl Case<'_> {
    /// Ends all of it for who may change the repository and for the pull request's author, their own for everybody
    /// else, or the one run that is named. Says what was ended. A redelivery ends nothing that was asked for later.
    pub(super) async fn stop(
        &self,
        (connection, client): (&Connection, &Client),
        author: &Person,
        command: &Command,
    ) -> Result<Result<String, FailureReport>, Failure> {
        let named = command.argument.as_deref().filter(|argument| *argument != "all");
        if let Some(named) = named {
            return self.stop_one((connection, client), author, named).await;
        }
        // What is their own takes no question to Bitbucket, which may be slow.
        let (mine, asked) = (key_of(Some(author)), Asked::of(self.mention));
        let stop_own = |lane: &mut Lane| lane.stop_own(asked, &mine);
        let (lane, own) = self.builder.change_or_begin_lane(&self.lane, stop_own).await?;
        let mut stopped = self.end_stopped(own, author).await?;
        stopped.extend(self.gave_up_by_edit(&lane).await?);
        match self.cannot_stop((connection, client), author).await? {
            None => {
                let stop_all = |lane: &mut Lane| lane.stop_all(asked, &author.name);
                let (_, all) = self.builder.change_or_begin_lane(&self.lane, stop_all).await?;
                for run in self.end_stopped(all, author).await? {
                    if !stopped.contains(&run) {
                        stopped.push(run);
                    }
                }
            }
            Some(denied) if stopped.is_empty() => {
                let lane = self.builder.lanes.get(&self.lane).await?.unwrap_or_default();
                if lane.has_others(&asked, &mine) {
                    return Ok(Err(denied));
                }
            }
            Some(_) => {}
        }
        Ok(Ok(if stopped.is_empty() {
            "Nothing waits or runs on this pull request.".to_owned()
        } else {
            format!("Stopped {}.", stopped.join(", "))
        }))
    }

    async fn stop_one(
        &self,
        (connection, client): (&Connection, &Client),
        author: &Person,
        named: &str,
    ) -> Result<Result<String, FailureReport>, Failure> {
        let lane = self.builder.lanes.get(&self.lane).await?.unwrap_or_default();
        let asker = RunId::new(named)
            .ok()
            .and_then(|run| Some((lane.asker_of(&run)?.to_owned(), run)));
        let Some((asker, run)) = asker else {
            return Ok(Ok(format!(
                "`{named}` neither waits nor runs on this pull request."
            )));
        };
        if asker != key_of(Some(author))
            && let Some(denied) = self.cannot_stop((connection, client), author).await?
        {
            return Ok(Err(denied));
        }
        self.end_stopped(vec![run], author).await?;
        Ok(Ok(format!("Stopped `{named}`.")))
    }

    /// Why the person may not stop what others asked for; nothing where they may.
    async fn cannot_stop(
        &self,
        (connection, client): (&Connection, &Client),
        author: &Person,
    ) -> Result<Option<FailureReport>, Failure> {
        let origin = &self.mention.origin;
        let pull_request = client
            .pull_request(&origin.repository, origin.pull_request)
            .await?;
        let gate = Gate::of(&self.builder.files, (connection, client), &pull_request).await?;
        let may = gate.may_stop_all(&pull_request, author).await?;
        Ok((!may).then(|| gate.cannot_stop()))
    }

    /// The run that the comment itself asked for before it was edited to this, which has ended it.
    async fn gave_up_by_edit(&self, lane: &Lane) -> Result<Option<String>, Failure> {
        let memory = lane.comments.get(&self.mention.comment);
        let before = memory.and_then(|memory| memory.run.as_ref());
        let Some(before) = before.filter(|run| **run != run_of(self.mention)) else {
            return Ok(None);
        };
        let record = self.builder.runs.get(&subject::run_key(before)).await?;
        Ok(record.filter(was_stopped).map(|_| format!("`{before}`")))
    }

    /// Ends runs and gives up their places; one without a record yet ends when that is written.
    async fn end_stopped(&self, runs: Vec<RunId>, author: &Person) -> Result<Vec<String>, Failure> {
        let mut stopped = Vec::new();
        for run in runs {
            let outcome = records::stopped_by(Some(&author.name));
            let ended = self.builder.end(&run, RunState::Cancelled, outcome).await?;
            let record = if ended {
                None
            } else {
                self.builder.runs.get(&subject::run_key(&run)).await?
            };
            if ended || record.is_some() {
                self.builder.finish(&self.lane, &run).await?;
            }
            // One that had ended by itself was not stopped; one that an earlier delivery of this has ended was.
            if record.is_none_or(|record| was_stopped(&record)) {
                stopped.push(format!("`{run}`"));
            }
        }
        Ok(stopped)
    }
}

fn was_stopped(record: &Run) -> bool {
    let failure = record
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.failure.as_ref());
    failure.is_some_and(|failure| failure.code == FailureCode::Stopped)
}
