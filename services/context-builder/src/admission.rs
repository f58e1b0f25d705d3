//! Admission: a mention becomes a queued run, changes one, ends one, or is refused. Every step may be repeated.

mod about;
mod answer;
mod closed;
mod late;
mod licence;
mod merge;
mod mute;
mod refuse;
mod say;
mod status;
mod stop;
mod why;

use std::sync::Arc;

use bitbucket::PullRequest;
use jiff::Timestamp;
use pipeline::decision::Verdict;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::mention::{Command, Mention, Verb};
use pipeline::reference;
use pipeline::run::{FailureReport, Run, RunState, Waited};
use pipeline::subject;
use worker::{Created, Delivery, FailedRun, Handler, Publication};

use self::licence::{Asks, Licence, Licensed};
use crate::builder::{Builder, Decided, lane_of, not_yet};
use crate::context::framing;
use crate::lane::{Course, Lane};
use crate::limits::{COMMENT_AGE_MAX, OVERTAKEN_RETRY, QUEUE_FULL_RETRY, QUEUE_MAX};
use crate::records;

/// Why a mention is heard again: another one about its comment, or the end of its run, came in between.
const OVERTAKEN: &str = "another delivery about this comment came first";

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
        if self
            .mention
            .author
            .as_ref()
            .is_some_and(|author| author.is_service)
        {
            return Ok(plain(
                Verdict::Ignored,
                None,
                "a program's comment starts nothing",
            ));
        }
        // Most mentions are new and change nothing before it is known that they may.
        let known = self.lane_as_it_is().await?;
        if known.adds_no_more(self.mention) {
            self.builder.take_back(&self.lane, self.mention.comment).await?;
        }
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
            Course::Start(run) => self.begin(run, &known).await,
            Course::Resume(run) | Course::Amend(run) => self.bring_up_to_date(run, &known).await,
            Course::TooLate(run) => self.too_late(run).await,
            Course::Withdraw(run) => {
                let outcome = self.withdrawn()?;
                self.builder.end(&run, RunState::Cancelled, outcome).await?;
                self.builder.finish(&self.lane, &run).await?;
                if let Some(command) = self.gave_up(&run)? {
                    return self.answer(run_of(self.mention), command).await;
                }
                Ok(plain(
                    Verdict::Cancelled,
                    Some(run),
                    "the comment no longer asks for a run",
                ))
            }
            Course::Barred(run, code) => self.refuse(run, FailureReport { code, detail: None }).await,
            Course::Merge { run, into } => self.merge(run, &into).await,
        }
    }

    /// A mention that nothing is known of: what starts no run is answered.
    async fn begin(&self, run: RunId, known: &Lane) -> Result<Outcome, Failure> {
        match &self.mention.command {
            Some(command) if command.starts_a_run() => self.admit(run, command, known).await,
            Some(command) => self.answer(run, command).await,
            None => Ok(plain(Verdict::Ignored, None, "the comment asks for nothing")),
        }
    }

    /// The lane knows this version. Its run's record may still be missing or be that of an older version.
    async fn bring_up_to_date(&self, run: RunId, known: &Lane) -> Result<Outcome, Failure> {
        let Some(record) = self.builder.runs.get(&subject::run_key(&run)).await? else {
            return self.begin(run, known).await;
        };
        if record.state.is_terminal() {
            self.builder.finish(&self.lane, &run).await?;
            if let Some(command) = self.gave_up(&run)? {
                return self.answer(run_of(self.mention), command).await;
            }
            return Ok(plain(Verdict::Duplicate, Some(run), "the run has already ended"));
        }
        let Some(command) = &self.mention.command else {
            return Ok(plain(Verdict::Duplicate, Some(run), "the run exists"));
        };
        // What is asked for now may take more than what was asked for before.
        let (resolved, after_end) = if records::is_behind(&record, self.mention) {
            let _seat = self.builder.seats.take(&self.mention.origin.connection).await?;
            match self.licence(command, Asks::ForOtherThings).await? {
                Licence::Granted(licensed) => (licensed.resolved, licensed.after_end),
                Licence::Ignored(why) => return Ok(plain(Verdict::Ignored, None, why)),
                Licence::Refused(report) => return self.end_refused(run, report).await,
            }
        } else {
            let resolved = records::Resolved {
                command: record.command,
                about: record.about,
            };
            (resolved, record.after_end)
        };
        let mut amended = false;
        let change = |record: &mut Run| {
            let before = record.n;
            records::amend(record, self.mention, &resolved);
            amended = record.n != before;
            if amended {
                record.after_end = after_end;
            }
        };
        self.builder.change_run(&run, change).await?;
        if amended {
            let reason = "the waiting run got the new request";
            return Ok(plain(Verdict::Amended, Some(run), reason));
        }
        Ok(plain(Verdict::Duplicate, Some(run), "the run exists"))
    }

    /// Asks whether the person may, then gives the run a place and a record.
    async fn admit(&self, run: RunId, command: &Command, known: &Lane) -> Result<Outcome, Failure> {
        let origin = &self.mention.origin;
        // A run that has its place gets its record: without one it would hold up those behind it.
        if known.queue.len() >= QUEUE_MAX && !known.holds(&run) {
            return Err(not_yet(
                QUEUE_FULL_RETRY,
                "too many runs wait on this pull request",
            ));
        }
        let _seat = self.builder.seats.take(&origin.connection).await?;
        let licensed = match self.licence(command, Asks::ForTheFirstTime).await? {
            Licence::Ignored(why) => return Ok(plain(Verdict::Ignored, None, why)),
            Licence::Refused(report) => return self.refuse(run, report).await,
            Licence::Granted(licensed) => licensed,
        };
        let is_stopped = origin.event_sequence <= known.stopped_through;
        if is_stopped && licensed.after_end.is_none() {
            // Asked for before an end that was taken back since.
            let code = FailureCode::PullRequestClosed;
            return self.refuse(run, FailureReport { code, detail: None }).await;
        }
        let now = Timestamp::now();
        let rules = self.builder.rules(licensed.resolved.command.verb);
        let (lane, course) = self
            .builder
            .change_or_begin_lane(&self.lane, |lane| {
                let course = lane.admit(self.mention, rules, now);
                if licensed.after_end.is_some() {
                    lane.outlives_the_end(&run);
                }
                course
            })
            .await?;
        match course {
            Course::Barred(run, code) => {
                let detail = (code == FailureCode::TooManyRuns).then(|| lane.fuse(rules, now));
                return self.refuse(run, FailureReport { code, detail }).await;
            }
            Course::Merge { run, into } => return self.merge(run, &into).await,
            // Nothing follows however often it is heard.
            Course::Nothing(reason) => return Ok(plain(Verdict::Ignored, None, reason)),
            // A record without a place would wait for ever.
            Course::Start(_) | Course::Resume(_) | Course::Amend(_) if lane.holds(&run) => {}
            // Heard again, what it changes is found in the lane; nothing else would do it.
            _ => return Err(not_yet(OVERTAKEN_RETRY, OVERTAKEN)),
        }
        let decided = self.create(run, &lane, &licensed, now).await?;
        // What goes first moves the others back.
        self.builder.tell_places(&lane).await?;
        Ok((decided, Some(licensed.pull_request)))
    }

    /// Writes the record of a run that has its place in the queue.
    async fn create(
        &self,
        run: RunId,
        lane: &Lane,
        licensed: &Licensed,
        now: Timestamp,
    ) -> Result<Decided, Failure> {
        let mut record = records::queued(self.mention, &run, self.traceparent(), now);
        records::resolve(&mut record, &licensed.resolved);
        record.build_status_off = licensed.build_status_off;
        record.after_end = licensed.after_end;
        record.waited = self.delivery.waited;
        Waited::end(&mut record.waited, now);
        record.branch = Some(licensed.pull_request.from_ref.display_id.clone());
        record.ahead = lane
            .ahead()
            .into_iter()
            .find(|(id, _)| *id == run)
            .map_or(0, |(_, ahead)| ahead);
        let asks_for_nothing = record.command.text.is_empty() && self.mention.parent.is_none();
        if asks_for_nothing && record.command.verb == Verb::Request {
            let outcome = records::answer(reference::help(&self.name()?));
            record = records::ended(record, RunState::Answered, outcome, now);
        } else if asks_for_nothing && !framing::needs_no_text(record.command.verb) {
            record = records::ended(record, RunState::NeedsInput, records::ask_back(), now);
        }
        let (verdict, reason) = match self.builder.runs.create(&subject::run_key(&run), &record).await? {
            Created::New if record.state.is_terminal() => (
                Verdict::Accepted,
                "the mention stands alone: told what may be asked",
            ),
            Created::New if record.after_end.is_some() => (
                Verdict::Queued,
                "the requester may, and what is asked for needs no open pull request",
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
