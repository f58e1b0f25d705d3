//! Mentions that start no run: refusals of the grammar, what is not built yet, queries and controls. Each is a run
//! record that has ended when it is created; it never waits behind a run.

use bitbucket::Client;
use config::{Connection, Shown};
use jiff::Timestamp;
use pipeline::decision::Verdict;
use pipeline::event::Person;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::mention::{Class, Command, Verb};
use pipeline::run::{FailureReport, Outcome as Ended, RunState};
use pipeline::{reference, subject};
use worker::Created;

use super::{Case, OVERTAKEN, Outcome, plain, run_of};
use crate::builder::not_yet;
use crate::lane::Lane;
use crate::limits::OVERTAKEN_RETRY;
use crate::permission::{Gate, Need, key_of};
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
        let said = self.said(command)?;
        let need = match said {
            Some(_) => Need::Nothing,
            None => Need::of(command.verb),
        };
        let gate = self.gate((&connection, &client), need).await?;
        if let Some(report) = gate.refusal(author, (command.verb, need)).await? {
            return self.refuse(run, report).await;
        }
        // What controls runs always counts, and takes the right to where it does more than end one's own.
        if command.refused.is_some() || command.verb.class() != Class::Control {
            let (now, person) = (Timestamp::now(), key_of(Some(author)));
            let count = |lane: &mut Lane| lane.may_answer(&person, now);
            let (lane, may) = self.builder.change_or_begin_lane(&self.lane, count).await?;
            if !may {
                let report = FailureReport {
                    code: FailureCode::TooManyRuns,
                    detail: Some(lane.answers_fuse(&person, now)),
                };
                return self.refuse(run, report).await;
            }
        }
        let answer = match said {
            Some(answer) => answer,
            None => match self.act((&connection, &client), author, command, &gate).await? {
                Ok(text) => answered(text),
                Err(report) => return self.refuse(run, report).await,
            },
        };
        self.speak(run, answer).await
    }

    /// Who may have this answered. Closed pull requests answer, too.
    async fn gate(&self, (connection, client): (&Connection, &Client), need: Need) -> Result<Gate, Failure> {
        let origin = &self.mention.origin;
        if need == Need::Nothing {
            return Ok(Gate::of_operator(client, connection, &origin.repository));
        }
        let pull_request = client
            .pull_request(&origin.repository, origin.pull_request)
            .await?;
        let gate = Gate::of(&self.builder.files, (connection, client), &pull_request).await?;
        Ok(gate)
    }

    /// What is answered without asking or doing anything; nothing for a verb that looks or acts.
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
            Verb::Help => Ok(Some(answered(reference::help(&self.name()?)))),
            _ => Ok(None),
        }
    }

    /// Looks or acts, and says what was found or done.
    async fn act(
        &self,
        (connection, client): (&Connection, &Client),
        author: &Person,
        command: &Command,
        gate: &Gate,
    ) -> Result<Result<String, FailureReport>, Failure> {
        Ok(Ok(match command.verb {
            Verb::Stop => return self.stop((connection, client), author, command).await,
            Verb::Pause => self.pause(author).await?,
            Verb::Resume => self.resume().await?,
            Verb::Status => self.status().await?,
            Verb::Why => self.why(command).await?,
            Verb::Config => config::shown(&Shown {
                config: &self.builder.settings,
                connection,
                file: &gate.target.file,
                branch: &gate.target.branch,
                at: gate.target.at.as_ref(),
            }),
            Verb::Ping => self.ping(connection, client).await?,
            // Every other verb starts a run or is answered by `said`.
            _ => reference::help(&self.name()?),
        }))
    }

    /// Writes the ended record, once.
    async fn speak(&self, run: RunId, answer: Answer) -> Result<Outcome, Failure> {
        let (_, is_ours) = self
            .builder
            .change_or_begin_lane(&self.lane, |lane| lane.answered(self.mention, &run))
            .await?;
        if !is_ours {
            return Err(not_yet(OVERTAKEN_RETRY, OVERTAKEN));
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
            None if command.stops() => records::because(FailureCode::Stopped),
            None => withdrawn,
        })
    }

    /// What an edit asks for instead of `run`, where that looks or acts: the end of the run does not say it.
    pub(super) fn gave_up(&self, run: &RunId) -> Result<Option<&Command>, Failure> {
        let Some(command) = &self.mention.command else {
            return Ok(None);
        };
        let is_edit = *run != run_of(self.mention) && !command.starts_a_run();
        Ok((is_edit && self.said(command)?.is_none()).then_some(command))
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
