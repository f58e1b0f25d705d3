//! Prepare: the brief of the run whose turn has come, built now, so that it sees what the last run pushed.

use std::borrow::Cow;

use bitbucket::{Client, PullRequest};
use pipeline::effect::Described;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::job::{Artifact, Job};
use pipeline::mention::Verb;
use pipeline::message::VERSION;
use pipeline::run::{FailureReport, Fenced, Run, RunState};
use pipeline::subject;
use worker::{Error, Publication};

use crate::builder::{Builder, lane_of_run, not_yet};
use crate::context::brief;
use crate::context::gather::{Gathered, Told, gather};
use crate::context::material::Material;
use crate::context::{occasion, reopened};
use crate::earlier::Basis;
use crate::limits::{DIFF_BYTES_MAX, SLOT_RETRY};
use crate::records;

/// What is typed behind `review` to have only what is new reviewed.
const SINCE_LAST: &str = "since last";
/// The brief's name among a run's artifacts.
const BRIEF: &str = "brief.md";
/// The name of the list of what was left out, for the final reply.
const LEFT_OUT: &str = "left-out.json";

/// What became of preparing.
pub(crate) enum Prepared {
    /// The job is in `JOBS`.
    Published,
    /// The run has ended without one.
    Ended,
}

/// Puts what the run is built on into its brief. Returns where the source branch must be, where that matters.
fn build_on(basis: Basis, run: &Run, material: &mut Material) -> Option<String> {
    let asked = run.command.options.reference.clone();
    match basis {
        Basis::Request => asked,
        Basis::Work(earlier) => {
            material.earlier = Some(earlier);
            asked
        }
        Basis::Plan { text, base } => {
            material.request.text = text;
            material.request.pointed_at = None;
            Some(base.to_string())
        }
    }
}

/// A plan holds for its own commit alone, also where another one is named.
fn meant_for(basis: Basis, run: &Run) -> Result<Basis, FailureReport> {
    match (&basis, &run.command.options.reference) {
        (Basis::Plan { base, .. }, Some(asked)) if !base.as_str().starts_with(asked) => Err(FailureReport {
            code: FailureCode::BranchMoved,
            detail: Some(format!("the plan is for `{}`, not for `{asked}`", base.short())),
        }),
        _ => Ok(basis),
    }
}

/// What is answered where builds are to be repaired and none failed.
fn nothing_to_repair(run: &Run, material: &Material) -> Option<String> {
    let command = &run.command;
    if command.verb != Verb::FixCi || occasion::failed(command, &material.builds).next().is_some() {
        return None;
    }
    let which = match &command.argument {
        Some(key) => format!("no failed build `{}`", key.replace(['`', '\n'], "?")),
        None => "no failed build".to_owned(),
    };
    Some(format!(
        "Bitbucket has {which} for commit `{}`, so nothing was started. Logs of builds are not read yet: if a build that Bitbucket does not know fails, paste its failing lines behind `fix`.",
        material.head.short()
    ))
}

/// What is answered where threads are to be worked through and none is open.
fn nothing_to_address(run: &Run, material: &Material) -> Option<String> {
    let is_asked = run.command.verb == Verb::Address && material.open.is_empty();
    is_asked.then(|| "There is no open thread or task to address, so nothing was started.".to_owned())
}

impl Builder {
    /// Gathers, writes the brief, publishes the job. `known` is the pull request where it was read a moment ago.
    pub(crate) async fn prepare(&self, run: &Run, known: Option<&PullRequest>) -> Result<Prepared, Failure> {
        let client = self.clients.of(&run.credential.connection)?;
        let pull_request = match known {
            Some(known) if known.id == run.pull_request => Cow::Borrowed(known),
            _ => Cow::Owned(client.pull_request(&run.repository, run.pull_request).await?),
        };
        if pull_request.to_ref.repository.id != run.repository.id {
            // The name is another repository's now, whose pull request of this number nobody asked about.
            let outcome = records::because(FailureCode::BitbucketNotFound);
            self.end(&run.id, RunState::Cancelled, outcome).await?;
            return Ok(Prepared::Ended);
        }
        if !pull_request.open && run.after_end.is_none() {
            let outcome = records::because(FailureCode::PullRequestClosed);
            self.end(&run.id, RunState::Cancelled, outcome).await?;
            return Ok(Prepared::Ended);
        }
        // An archived fork is passed by: the work then goes to a branch of the target repository.
        if pull_request.target_archived && run.command.verb.may_push() {
            let outcome = records::because(FailureCode::RepositoryArchived);
            self.end(&run.id, RunState::Refused, outcome).await?;
            return Ok(Prepared::Ended);
        }
        let basis = self.basis(run).await?.and_then(|basis| meant_for(basis, run));
        let basis = match basis {
            Ok(basis) => basis,
            Err(report) => {
                self.end(&run.id, RunState::Refused, records::failure(report))
                    .await?;
                return Ok(Prepared::Ended);
            }
        };
        let mut material = match gather(&client, run, &pull_request, &self.told(run).await?).await? {
            Gathered::Material(material) => material,
            Gathered::NoRequest => {
                self.end(&run.id, RunState::NeedsInput, records::ask_back())
                    .await?;
                return Ok(Prepared::Ended);
            }
        };
        let nothing = nothing_to_repair(run, &material).or_else(|| nothing_to_address(run, &material));
        let nothing = match nothing {
            None => {
                self.since_last(run, &client, &pull_request, &mut material)
                    .await?
            }
            nothing => nothing,
        };
        if let Some(answer) = nothing {
            self.end(&run.id, RunState::Answered, records::answer(answer))
                .await?;
            return Ok(Prepared::Ended);
        }
        let expect_head = build_on(basis, run, &mut material);
        let brief = brief::render(&material, self.settings.context.bytes_max)
            .map_err(|cause| Failure::abandon(FailureCode::Internal, None, cause.into()))?;
        let artifact = self.store(run, &brief).await?;
        self.keep_described(run, &pull_request).await?;
        self.publish(run, &pull_request, (artifact, expect_head), &material)
            .await
    }

    /// What was only told on the pull request: help, refusals, answers to queries; and what is to be worked on again.
    async fn told(&self, run: &Run) -> Result<Told, Failure> {
        let lane = self.lanes.get(&lane_of_run(run)).await?.unwrap_or_default();
        let mut told = Told::default();
        for earlier in self.history(&lane).await? {
            let answered = earlier
                .outcome
                .as_ref()
                .is_some_and(|outcome| outcome.answer.is_some());
            if earlier.id != run.id && (answered || earlier.state == RunState::Refused) {
                told.asked.insert(earlier.comment);
                told.answers.extend(earlier.reply.comment);
            }
        }
        if run.command.verb == Verb::Address {
            let earlier = self.runs_of(&lane, &run.instance).await?;
            told.reopened = reopened::reopened(run, &earlier);
        }
        Ok(told)
    }

    /// Keeps what the pull request is called, where the run may change that: an edit must not undo somebody's, and can be
    /// undone.
    async fn keep_described(&self, run: &Run, pull_request: &PullRequest) -> Result<(), Failure> {
        if run.command.verb != Verb::Describe || !run.command.options.apply {
            return Ok(());
        }
        let described = Described {
            title: pull_request.title.clone(),
            description: pull_request.description.clone(),
        };
        let bytes = serde_json::to_vec(&described)
            .map_err(|cause| Failure::abandon(FailureCode::Internal, None, cause.into()))?;
        let key = subject::artifact(&run.id, subject::DESCRIBED);
        self.nats.artifacts().put(&key, &bytes).await?;
        Ok(())
    }

    /// Of a review since the last one only what changed since then is shown. Returns what is answered where that is
    /// nothing.
    async fn since_last(
        &self,
        run: &Run,
        client: &Client,
        pull_request: &PullRequest,
        material: &mut Material,
    ) -> Result<Option<String>, Failure> {
        let text = run.command.text.trim();
        if run.command.verb != Verb::Review || !text.eq_ignore_ascii_case(SINCE_LAST) {
            return Ok(None);
        }
        let lane = self.lanes.get(&lane_of_run(run)).await?.unwrap_or_default();
        let history = self.runs_of(&lane, &run.instance).await?;
        let is_review = |earlier: &&Run| {
            earlier.id != run.id
                && earlier.command.verb == Verb::Review
                && earlier.state == RunState::Answered
                && earlier.base.is_some()
        };
        let last = history.iter().find(is_review);
        let head = &pull_request.from_ref.latest_commit;
        let Some(reviewed) = last.and_then(|last| last.base.clone()) else {
            "Review everything: nothing was reviewed before.".clone_into(&mut material.request.text);
            return Ok(None);
        };
        if reviewed == *head {
            return Ok(Some(format!(
                "Nothing was pushed since the last review, which was of commit `{}`.",
                head.short()
            )));
        }
        let source = &pull_request.from_ref.repository;
        let diff = client
            .diff_between(source, &reviewed, head, DIFF_BYTES_MAX)
            .await?;
        material.request.text = format!(
            "Review only what changed since commit {}, up to which everything was reviewed before; the section about the diff shows that.",
            reviewed.short()
        );
        material.diff = diff.text;
        material.files.clear();
        material.diff_unread = diff
            .truncated
            .then(|| format!("the end of the diff: everything behind the first {DIFF_BYTES_MAX} bytes"));
        Ok(None)
    }

    async fn store(&self, run: &Run, brief: &brief::Brief) -> Result<Artifact, Failure> {
        let artifacts = self.nats.artifacts();
        if !brief.left_out.is_empty() {
            let list = serde_json::to_vec(&brief.left_out)
                .map_err(|cause| Failure::abandon(FailureCode::Internal, None, cause.into()))?;
            artifacts
                .put(&subject::artifact(&run.id, LEFT_OUT), &list)
                .await?;
        }
        Ok(artifacts
            .put(&subject::artifact(&run.id, BRIEF), brief.text.as_bytes())
            .await?)
    }

    /// The record first: a run that was ended meanwhile gets no job.
    async fn publish(
        &self,
        run: &Run,
        pull_request: &PullRequest,
        (brief, expect_head): (Artifact, Option<String>),
        material: &Material,
    ) -> Result<Prepared, Failure> {
        let job = Job {
            v: VERSION,
            run: run.id.clone(),
            instance: run.instance.clone(),
            repository: pull_request.to_ref.repository.clone(),
            pull_request: run.pull_request,
            lane: run.lane.clone(),
            credential: run.credential.clone(),
            from_ref: pull_request.from_ref.clone(),
            to_ref: pull_request.to_ref.clone(),
            near: material.place.as_ref().map(|place| place.anchor.path.clone()),
            title: pull_request.title.clone(),
            expect_head,
            threads: material.open.iter().map(|open| open.thread.clone()).collect(),
            brief: brief.clone(),
        };
        let change = |record: &mut Run| {
            if record.state.is_terminal() {
                return Err(Fenced::Ended(record.state));
            }
            record.brief = Some(brief.clone());
            record.branch = Some(pull_request.from_ref.display_id.clone());
            records::set_ahead(record, 0);
            if material.request.pointed_at.is_some() {
                records::note(record, records::POINTED_AT);
            }
            Ok(())
        };
        match self.runs.update(&subject::run_key(&run.id), change).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(Error::NotFound { .. }) => return Ok(Prepared::Ended),
            Err(error) => return Err(error.into()),
        }
        match self
            .nats
            .publish(Publication::repeatable(subject::job(&job), &job))
            .await
        {
            Ok(_) => Ok(Prepared::Published),
            // The next try finds out whose job it is.
            Err(Error::SlotTaken { .. }) => Err(not_yet(SLOT_RETRY, "the lane's job slot is not free yet")),
            Err(Error::TooLarge { .. }) => {
                let report = FailureReport {
                    code: FailureCode::Internal,
                    detail: None,
                };
                Err(Failure::Abandon {
                    report,
                    cause: anyhow::anyhow!("the job is larger than a message may be"),
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}
