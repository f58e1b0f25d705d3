//! Mentions that start no run: refusals of the grammar, what is not built yet, `help`, and `stop`, which acts. Each is a
//! run record that has ended when it is created; it never waits behind a run.

use bitbucket::{Client, PullRequest};
use config::Connection;
use jiff::Timestamp;
use pipeline::decision::Verdict;
use pipeline::event::Person;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::mention::{Command, Verb};
use pipeline::run::{FailureReport, Outcome as Ended, Run, RunState};
use pipeline::{reference, subject};
use worker::Created;

use super::{Case, Outcome, plain};
use crate::permission;
use crate::records;

/// What is said, and how the record ends.
struct Answer {
    state: RunState,
    text: String,
}

impl Case<'_> {
    /// Answers a command that starts no run.
    pub(super) async fn answer(&self, run: RunId, command: &Command) -> Result<Outcome, Failure> {
        let origin = &self.mention.origin;
        let refused = |code| FailureReport { code, detail: None };
        let Some(author) = &self.mention.author else {
            return self.refuse(run, refused(FailureCode::RequesterUnknown)).await;
        };
        let _seat = self.builder.seats.take(&origin.connection).await?;
        let (connection, client) = self.builder.connection(&origin.connection)?;
        if client.bot().await?.is(author) {
            return Ok(plain(Verdict::Ignored, None, "the bot's own comment"));
        }
        if permission::is_denied(&connection, author) {
            return self.refuse(run, refused(FailureCode::PersonExcluded)).await;
        }
        let answer = match self.said(command)? {
            Some(answer) => answer,
            None => match self.stop(&connection, &client, author, command).await? {
                Ok(text) => answered(text),
                Err(report) => return self.refuse(run, report).await,
            },
        };
        self.speak(run, answer).await
    }

    /// What is answered without asking or doing anything; nothing for a verb that acts.
    fn said(&self, command: &Command) -> Result<Option<Answer>, Failure> {
        if let Some(refusal) = &command.refused {
            return Ok(Some(Answer {
                state: RunState::Refused,
                text: refusal.sentence(),
            }));
        }
        if let Some(text) = reference::not_yet(command) {
            return Ok(Some(answered(text)));
        }
        match command.verb {
            Verb::Stop => Ok(None),
            // The only other verb that is built and starts no run.
            _ => Ok(Some(answered(reference::help(&self.name()?)))),
        }
    }

    /// Writes the ended record, once.
    async fn speak(&self, run: RunId, answer: Answer) -> Result<Outcome, Failure> {
        let (_, is_ours) = self
            .builder
            .change_or_begin_lane(&self.lane, |lane| lane.answered(self.mention, &run))
            .await?;
        if !is_ours {
            let reason = "another delivery about this comment came first";
            return Ok(plain(Verdict::Ignored, None, reason));
        }
        let (verdict, reason) = match answer.state {
            RunState::Refused => (
                Verdict::Refused,
                "the request is not one: said what is wrong with it",
            ),
            _ => (Verdict::Accepted, "answered at once"),
        };
        let now = Timestamp::now();
        let record = records::queued(self.mention, &run, self.traceparent(), now);
        let record = records::ended(record, answer.state, records::answer(answer.text), now);
        match self.builder.runs.create(&subject::run_key(&run), &record).await? {
            Created::New => {
                telemetry::metrics::runs_ended(record.state.as_str(), "-").inc();
                Ok(plain(verdict, Some(run), reason))
            }
            Created::Exists(_) => Ok(plain(Verdict::Duplicate, Some(run), "the run exists")),
        }
    }

    /// Ends what waits and runs, or what is named of it, as far as the person may: all of it for who may change the
    /// repository and for the pull request's author, their own for everybody else. Says what was ended.
    async fn stop(
        &self,
        connection: &Connection,
        client: &Client,
        author: &Person,
        command: &Command,
    ) -> Result<Result<String, FailureReport>, Failure> {
        let origin = &self.mention.origin;
        let lane = self.builder.lanes.get(&self.lane).await?.unwrap_or_default();
        // A redelivery must not end what was asked for after the first delivery was written.
        let mut runs = lane.asked_before(origin.event_sequence);
        let named = command.argument.as_deref().filter(|argument| *argument != "all");
        if let Some(named) = named {
            runs.retain(|run| run.as_str() == named);
        }
        if runs.is_empty() {
            return Ok(Ok(match named {
                Some(named) => format!("`{named}` neither waits nor runs on this pull request."),
                None => "Nothing waits or runs on this pull request.".to_owned(),
            }));
        }
        let records = self.records(&runs).await?;
        let own = |record: &Run| record.requester.as_ref().is_some_and(|who| is_same(who, author));
        let mut runs: Vec<RunId> = records
            .iter()
            .filter(|record| own(record))
            .map(|record| record.id.clone())
            .collect();
        if runs.len() < records.len() {
            let pull_request = client
                .pull_request(&origin.repository, origin.pull_request)
                .await?;
            if may_stop_all(connection, client, &pull_request, author).await? {
                runs = records.into_iter().map(|record| record.id).collect();
            } else if runs.is_empty() {
                let repository = &pull_request.to_ref.repository;
                let needed = &connection.permission.change;
                let detail = format!(
                    "{needed} on {}/{} is needed to stop what others asked for",
                    repository.project, repository.slug
                );
                return Ok(Err(FailureReport {
                    code: FailureCode::PermissionDenied,
                    detail: Some(detail),
                }));
            }
        }
        let mut stopped = Vec::new();
        for run in runs {
            let detail = Some(format!("Asked for by {}", author.name));
            let outcome = records::failure(FailureReport {
                code: FailureCode::Stopped,
                detail,
            });
            if self.builder.end(&run, RunState::Cancelled, outcome).await? {
                self.builder.finish(&self.lane, &run).await?;
            }
            stopped.push(format!("`{run}`"));
        }
        Ok(Ok(format!("Stopped {}.", stopped.join(", "))))
    }

    async fn records(&self, runs: &[RunId]) -> Result<Vec<Run>, Failure> {
        let mut records = Vec::new();
        for run in runs {
            records.extend(self.builder.runs.get(&subject::run_key(run)).await?);
        }
        Ok(records)
    }

    /// The end of a run whose comment was edited to ask for something else, which is said with it.
    pub(super) fn withdrawn(&self) -> Result<Ended, Failure> {
        let withdrawn = records::because(FailureCode::RequestWithdrawn);
        let Some(command) = &self.mention.command else {
            return Ok(withdrawn);
        };
        Ok(match self.said(command)? {
            Some(answer) => Ended {
                answer: Some(answer.text),
                ..withdrawn
            },
            None => records::because(FailureCode::Stopped),
        })
    }

    /// The name the bot is mentioned by.
    pub(super) fn name(&self) -> Result<String, Failure> {
        let (connection, _) = self.builder.connection(&self.mention.origin.connection)?;
        let names = connection.mention.names.first().or(connection.bot_user.as_ref());
        Ok(names.cloned().unwrap_or_else(|| "openhands".to_owned()))
    }
}

fn answered(text: String) -> Answer {
    Answer {
        state: RunState::Answered,
        text,
    }
}

async fn may_stop_all(
    connection: &Connection,
    client: &Client,
    pull_request: &PullRequest,
    author: &Person,
) -> Result<bool, Failure> {
    if pull_request
        .author
        .as_ref()
        .is_some_and(|who| is_same(who, author))
    {
        return Ok(true);
    }
    let repository = &pull_request.to_ref.repository;
    Ok(client
        .may(repository, author, &connection.permission.change)
        .await?)
}

fn is_same(one: &Person, other: &Person) -> bool {
    match (one.id, other.id) {
        (Some(one), Some(other)) => one == other,
        _ => one.name == other.name,
    }
}
