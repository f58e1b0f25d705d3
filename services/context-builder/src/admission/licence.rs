//! Licence: whether a person may have a run, on this pull request, now, and what exactly it is to do.

use bitbucket::PullRequest;
use pipeline::event::Person;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::mention::{Closed, Command, Verb};
use pipeline::run::{FailureReport, Run};
use pipeline::subject;

use super::{Case, about, closed};
use crate::builder::lane_of_run;
use crate::context::framing;
use crate::permission::{Gate, Need, is_same};
use crate::records::Resolved;

/// Whether a run is new or has its place already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// It is new.
    ForTheFirstTime,
    /// It waits, and its comment was edited.
    ForOtherThings,
}

/// The answer for one mention.
pub(super) enum Licence {
    /// May, on this pull request.
    Granted(Box<Licensed>),
    /// May not, or not here, or there is nothing to do it to.
    Refused(FailureReport),
    /// Nothing is to be done or said, and why: the bot talks to itself, or the pull request is not the one that was meant.
    Ignored(&'static str),
}

/// What may be done.
pub(super) struct Licensed {
    /// The pull request as it is now.
    pub(super) pull_request: Box<PullRequest>,
    /// What the run is to do.
    pub(super) resolved: Resolved,
    /// Whether no build status is set: the repository asks for none, or there is no head that it would be about.
    pub(super) build_status_off: bool,
    /// How the pull request has ended; nothing where it is open.
    pub(super) after_end: Option<Closed>,
}

impl Case<'_> {
    /// Asks Bitbucket whether the pull request takes what is asked for and whether the author may.
    pub(super) async fn licence(&self, command: &Command, asks: Asks) -> Result<Licence, Failure> {
        let Some(author) = &self.mention.author else {
            return Ok(refused(FailureCode::RequesterUnknown));
        };
        let origin = &self.mention.origin;
        let (connection, client) = self.builder.connection(&origin.connection)?;
        let (bot, pull_request) = tokio::join!(
            client.bot(),
            client.pull_request(&origin.repository, origin.pull_request)
        );
        if bot?.is(author) {
            return Ok(Licence::Ignored("the bot's own comment"));
        }
        let pull_request = pull_request?;
        if pull_request.to_ref.repository.id != origin.repository.id {
            // To say so, there is no place: the pull request of this name is another one.
            return Ok(Licence::Ignored("another repository has this name now"));
        }
        let after_end = closed::how(&pull_request);
        if !pull_request.open && after_end.is_none() {
            return Ok(refused(FailureCode::PullRequestClosed));
        }
        if let Some(report) = closed::early_refusal(command, after_end) {
            return Ok(Licence::Refused(report));
        }
        let earlier = self.earlier(command, &pull_request).await?;
        let gate = Gate::of(&self.builder.files, (&connection, &client), &pull_request).await?;
        let needed = needed(
            command.verb,
            earlier.as_ref().ok().and_then(Option::as_ref),
            author,
        );
        if let Some(report) = gate.refusal(author, needed).await? {
            return Ok(Licence::Refused(report));
        }
        let resolved = earlier.and_then(|earlier| about::resolved(command, earlier.as_ref()));
        let mut resolved = match resolved {
            Ok(resolved) => resolved,
            Err(report) => return Ok(Licence::Refused(report)),
        };
        if let Some(report) = closed::refusal(&resolved.command, after_end) {
            return Ok(Licence::Refused(report));
        }
        // Also of an approval that is repeated: it may have been taken back.
        if resolved.command.verb == Verb::Approve
            && gate.plan_needs_second_person()
            && self.is_alone(&resolved, author).await?
        {
            return Ok(refused(FailureCode::SecondPersonNeeded));
        }
        if command.verb == Verb::Retry
            && resolved.command.text.is_empty()
            && !framing::needs_no_text(resolved.command.verb)
        {
            // It pointed at the comment above it, which is not above this one.
            return Ok(refused(FailureCode::NothingToResume));
        }
        if asks == Asks::ForTheFirstTime
            && let Some(report) = self.paused().await?
        {
            return Ok(Licence::Refused(report));
        }
        // What the first reply and the brief take; the other defaults count when the work begins.
        let file = &gate.target.file;
        let options = &mut resolved.command.options;
        options.quiet |= file.defaults.quiet;
        options.lang = options.lang.take().or_else(|| file.defaults.lang.clone());
        Ok(Licence::Granted(Box::new(Licensed {
            build_status_off: file.reply.build_status == Some(false) || after_end.is_some(),
            after_end,
            pull_request: Box::new(pull_request),
            resolved,
        })))
    }

    /// The earlier run that a command is about, or why there is none; nothing for a command that is about none.
    async fn earlier(
        &self,
        command: &Command,
        pull_request: &PullRequest,
    ) -> Result<Result<Option<Run>, FailureReport>, Failure> {
        if !command.verb.is_about_a_run() {
            return Ok(Ok(None));
        }
        let lane = self.builder.lanes.get(&self.lane).await?.unwrap_or_default();
        let instance = &self.mention.origin.instance;
        let mut history = self.builder.runs_of(&lane, instance).await?;
        // One that is named is found however long ago it was.
        let named = command.argument.as_deref().and_then(|name| RunId::new(name).ok());
        if let Some(named) = named.filter(|named| history.iter().all(|run| run.id != *named)) {
            let named = self.builder.runs.get(&subject::run_key(&named)).await?;
            history.extend(named.filter(|run| lane_of_run(run) == self.lane));
        }
        let head = &pull_request.from_ref.latest_commit;
        Ok(about::earlier(&history, command, self.mention.parent, head).map(|run| Some(run.clone())))
    }

    /// Whether nobody else than the author has looked at the plan that is to be carried out.
    async fn is_alone(&self, approval: &Resolved, author: &Person) -> Result<bool, Failure> {
        let Some(plan) = &approval.about else {
            return Ok(true);
        };
        let plan = self.builder.runs.get(&subject::run_key(plan)).await?;
        Ok(plan.is_none_or(|plan| plan.requester.is_none() || is_requester(&plan, author)))
    }
}

/// What a command takes. Whoever asked for a run may have it repeated, as far as they may still ask for it; what others
/// asked for takes the right to change.
fn needed(verb: Verb, earlier: Option<&Run>, author: &Person) -> (Verb, Need) {
    match earlier {
        Some(earlier) if verb == Verb::Retry && is_requester(earlier, author) => {
            (earlier.command.verb, Need::of(earlier.command.verb))
        }
        _ => (verb, Need::of(verb)),
    }
}

fn is_requester(run: &Run, author: &Person) -> bool {
    run.requester.as_ref().is_some_and(|who| is_same(who, author))
}

fn refused(code: FailureCode) -> Licence {
    Licence::Refused(FailureReport { code, detail: None })
}
