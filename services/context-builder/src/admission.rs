//! Admission: a mention becomes a queued run, changes one, ends one, or is refused. Every step may be repeated.

mod answer;

use std::sync::Arc;

use bitbucket::PullRequest;
use jiff::Timestamp;
use pipeline::decision::Verdict;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::mention::{Mention, Verb};
use pipeline::reference;
use pipeline::run::{FailureReport, Run, RunState};
use pipeline::subject;
use worker::{Created, Delivery, FailedRun, Handler, Publication};

use crate::builder::{Builder, Decided, lane_of, not_yet};
use crate::lane::{Course, Lane};
use crate::limits::{COMMENT_AGE_MAX, QUEUE_FULL_RETRY, QUEUE_MAX};
use crate::permission::{self, Verdict as Permission};
use crate::records;

/// The hop from mention to queue, and on to a job where nothing else runs.
pub(crate) struct Admission(pub(crate) Arc<Builder>);

impl Handler for Admission {
    type Input = Mention;

    async fn handle(&self, mention: Mention, delivery: &Delivery) -> Result<Vec<Publication>, Failure> {
        let case = Case {
            builder: &self.0,
            mention: &mention,
            delivery,
            lane: lane_of(&mention.origin),
        };
        let (decided, pull_request) = case.decide().await?;
        // A redelivery that finds everything done has nothing to add to what the first one recorded.
        let is_news = decided.verdict != Verdict::Duplicate || delivery.delivered == 1;
        let told = async {
            if is_news {
                self.0
                    .decide(&mention.origin, Some(mention.comment), decided)
                    .await;
            }
        };
        let ((), dispatched) = tokio::join!(told, self.0.dispatch(&case.lane, pull_request.as_deref()));
        dispatched?;
        Ok(Vec::new())
    }

    fn run_of(&self, mention: &Mention) -> Option<FailedRun> {
        mention.command.as_ref()?;
        let id = run_of(mention);
        Some(FailedRun::Create(Box::new(records::queued(
            mention,
            &id,
            None,
            Timestamp::now(),
        ))))
    }
}

/// One delivery of one mention.
struct Case<'a> {
    builder: &'a Builder,
    mention: &'a Mention,
    delivery: &'a Delivery,
    lane: String,
}

/// A decision, and the pull request where it was just read.
type Outcome = (Decided, Option<Box<PullRequest>>);

impl Case<'_> {
    async fn decide(&self) -> Result<Outcome, Failure> {
        if self.is_too_old() {
            return Ok(plain(
                Verdict::Ignored,
                None,
                "the comment is older than seven days",
            ));
        }
        // Most mentions are new and change nothing before it is known that they may.
        let known = self.builder.lanes.get(&self.lane).await?.unwrap_or_default();
        let mut heard = known.clone();
        let mut course = heard.hear(self.mention);
        if heard != known {
            course = self
                .builder
                .change_or_begin_lane(&self.lane, |lane| lane.hear(self.mention))
                .await?
                .1;
        }
        match course {
            Course::Nothing(reason) => Ok(plain(Verdict::Ignored, None, reason)),
            Course::Start(run) => self.admit(run, &known).await,
            Course::Resume(run) | Course::Amend(run) => self.bring_up_to_date(run, &known).await,
            Course::TooLate(run) => {
                self.builder
                    .change_run(&run, |run| records::note(run, records::EDIT_TOO_LATE))
                    .await?;
                Ok(plain(
                    Verdict::Ignored,
                    Some(run),
                    "the edit came after work had begun",
                ))
            }
            Course::Withdraw(run) => {
                let outcome = self.withdrawn()?;
                self.builder.end(&run, RunState::Cancelled, outcome).await?;
                self.builder.finish(&self.lane, &run).await?;
                Ok(plain(
                    Verdict::Cancelled,
                    Some(run),
                    "the comment no longer asks for a run",
                ))
            }
        }
    }

    /// The lane knows this version. Its run's record may still be missing or be that of an older version.
    async fn bring_up_to_date(&self, run: RunId, known: &Lane) -> Result<Outcome, Failure> {
        let mut amended = false;
        let change = |record: &mut Run| {
            let before = record.n;
            records::amend(record, self.mention);
            amended = record.n != before;
            record.state
        };
        match self.builder.change_run(&run, change).await? {
            None => self.admit(run, known).await,
            Some(state) if state.is_terminal() => {
                self.builder.finish(&self.lane, &run).await?;
                Ok(plain(Verdict::Duplicate, Some(run), "the run has already ended"))
            }
            Some(_) if amended => Ok(plain(
                Verdict::Amended,
                Some(run),
                "the waiting run got the new request",
            )),
            Some(_) => Ok(plain(Verdict::Duplicate, Some(run), "the run exists")),
        }
    }

    /// Asks whether the person may, then gives the run a place and a record. What starts no run is answered.
    async fn admit(&self, run: RunId, known: &Lane) -> Result<Outcome, Failure> {
        if let Some(command) = self
            .mention
            .command
            .as_ref()
            .filter(|command| !command.starts_a_run())
        {
            return self.answer(run, command).await;
        }
        let origin = &self.mention.origin;
        // A run that has its place gets its record: without one it would hold up those behind it.
        if known.queue.len() >= QUEUE_MAX && !known.holds(&run) {
            return Err(not_yet(
                QUEUE_FULL_RETRY,
                "too many runs wait on this pull request",
            ));
        }
        if origin.event_sequence <= known.stopped_through {
            return self
                .refuse(
                    run,
                    FailureReport {
                        code: FailureCode::PullRequestClosed,
                        detail: None,
                    },
                )
                .await;
        }
        let _seat = self.builder.seats.take(&origin.connection).await?;
        let (connection, client) = self.builder.connection(&origin.connection)?;
        let pull_request = match permission::check(&client, &connection, self.mention).await? {
            Permission::Own => return Ok(plain(Verdict::Ignored, None, "the bot's own comment")),
            Permission::Refused(report) => return self.refuse(run, report).await,
            Permission::Allowed(pull_request) => pull_request,
        };
        let now = Timestamp::now();
        let (lane, course) = self
            .builder
            .change_or_begin_lane(&self.lane, |lane| lane.enter(self.mention, now))
            .await?;
        // A record without a place would wait for ever.
        if !matches!(&course, Course::Start(_) | Course::Resume(_) | Course::Amend(_)) || !lane.holds(&run) {
            return Ok(plain(
                Verdict::Ignored,
                None,
                "another delivery about this comment came first",
            ));
        }
        let decided = self.create(run, &lane, &pull_request, now).await?;
        Ok((decided, Some(pull_request)))
    }

    /// Writes the record of a run that has its place in the queue.
    async fn create(
        &self,
        run: RunId,
        lane: &Lane,
        pull_request: &PullRequest,
        now: Timestamp,
    ) -> Result<Decided, Failure> {
        let mut record = records::queued(self.mention, &run, self.traceparent(), now);
        record.branch = Some(pull_request.from_ref.display_id.clone());
        record.ahead = lane
            .ahead()
            .into_iter()
            .find(|(id, _)| *id == run)
            .map_or(0, |(_, ahead)| ahead);
        let asks_for_nothing = record.command.text.is_empty() && self.mention.parent.is_none();
        if asks_for_nothing && record.command.verb == Verb::Request {
            let outcome = records::answer(reference::help(&self.name()?));
            record = records::ended(record, RunState::Answered, outcome, now);
        } else if asks_for_nothing {
            record = records::ended(record, RunState::NeedsInput, records::ask_back(), now);
        }
        let (verdict, reason) = match self.builder.runs.create(&subject::run_key(&run), &record).await? {
            Created::New if asks_for_nothing => (
                Verdict::Accepted,
                "the mention stands alone: told what may be asked",
            ),
            Created::New => (Verdict::Queued, "the requester may, the pull request is open"),
            Created::Exists(found) => {
                record = found;
                (Verdict::Duplicate, "the run exists")
            }
        };
        if record.state.is_terminal() {
            self.builder.finish(&self.lane, &run).await?;
        } else if self.lost_its_place(&run).await? {
            // Whoever took the place found no record to end.
            let outcome = records::because(FailureCode::RequestWithdrawn);
            self.builder.end(&run, RunState::Cancelled, outcome).await?;
        }
        Ok(Decided {
            verdict,
            run: Some(run),
            reason: reason.to_owned(),
        })
    }

    /// Whether the run was taken out of the lane while its record was written: it was withdrawn meanwhile.
    async fn lost_its_place(&self, run: &RunId) -> Result<bool, Failure> {
        let lane = self.builder.lanes.get(&self.lane).await?;
        Ok(!lane.is_some_and(|lane| lane.holds(run)))
    }

    /// A refusal is a run that has ended; the person reads it once an hour.
    async fn refuse(&self, run: RunId, report: FailureReport) -> Result<Outcome, Failure> {
        let now = Timestamp::now();
        let person = self
            .mention
            .author
            .as_ref()
            .map_or("", |author| author.name.as_str());
        let change = |lane: &mut Lane| lane.refuse(self.mention, &run, person, now);
        let (_, speak) = self.builder.change_or_begin_lane(&self.lane, change).await?;
        let reason = report.code.sentence();
        if !speak {
            let reason = format!("{reason} Not said again within the hour.");
            return Ok((
                Decided {
                    verdict: Verdict::Refused,
                    run: None,
                    reason,
                },
                None,
            ));
        }
        let record = records::queued(self.mention, &run, self.traceparent(), now);
        let code = report.code;
        let record = records::ended(record, RunState::Refused, records::failure(report), now);
        if self.builder.runs.create(&subject::run_key(&run), &record).await? == Created::New {
            telemetry::metrics::runs_ended(RunState::Refused.as_str(), code.as_str()).inc();
        }
        Ok(plain(Verdict::Refused, Some(run), reason))
    }

    fn is_too_old(&self) -> bool {
        self.mention
            .written_at
            .is_some_and(|at| Timestamp::now().duration_since(at) > COMMENT_AGE_MAX)
    }

    fn traceparent(&self) -> Option<String> {
        telemetry::trace::current_traceparent().or_else(|| self.delivery.traceparent.clone())
    }
}

fn plain(verdict: Verdict, run: Option<RunId>, reason: &str) -> Outcome {
    (
        Decided {
            verdict,
            run,
            reason: reason.to_owned(),
        },
        None,
    )
}

fn run_of(mention: &Mention) -> RunId {
    RunId::derive(&mention.origin.instance, mention.comment, mention.comment_version)
}
