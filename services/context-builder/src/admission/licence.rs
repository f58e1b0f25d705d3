//! Licence: whether a person may have a run, on this pull request, now, and what exactly it is to do.

use bitbucket::PullRequest;
use pipeline::event::Person;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::mention::{Command, Verb};
use pipeline::run::{FailureReport, Run};

use super::{Case, about};
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
    /// May, on this open pull request.
    Granted(Box<Licensed>),
    /// May not, or not here, or there is nothing to do it to.
    Refused(FailureReport),
    /// The bot talks to itself.
    Own,
}

/// What may be done.
pub(super) struct Licensed {
    /// The pull request as it is now.
    pub(super) pull_request: Box<PullRequest>,
    /// What the run is to do.
    pub(super) resolved: Resolved,
    /// Whether the repository asks for no build status.
    pub(super) build_status_off: bool,
}

impl Case<'_> {
    /// Asks Bitbucket whether the pull request is open and whether the author may.
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
            return Ok(Licence::Own);
        }
        let pull_request = pull_request?;
        if !pull_request.open {
            return Ok(refused(FailureCode::PullRequestClosed));
        }
        let earlier = self.earlier(command).await?;
        let gate = Gate::of(&self.builder.files, (&connection, &client), &pull_request).await?;
        let needed = needed(
            command.verb,
            earlier.as_ref().ok().and_then(Option::as_ref),
            author,
        );
        if let Some(report) = gate.refusal(author, needed).await? {
            return Ok(Licence::Refused(report));
        }
        let mut resolved = match earlier {
            Err(code) => return Ok(refused(code)),
            Ok(Some(plan)) if command.verb == Verb::Approve && is_alone(&plan, author) => {
                if gate.plan_needs_second_person() {
                    return Ok(refused(FailureCode::SecondPersonNeeded));
                }
                about::resolved(command, Some(&plan))
            }
            Ok(earlier) => about::resolved(command, earlier.as_ref()),
        };
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
            build_status_off: file.reply.build_status == Some(false),
            pull_request: Box::new(pull_request),
            resolved,
        })))
    }

    /// The earlier run that a command is about, or why there is none; nothing for a command that is about none.
    async fn earlier(&self, command: &Command) -> Result<Result<Option<Run>, FailureCode>, Failure> {
        if !command.verb.is_about_a_run() {
            return Ok(Ok(None));
        }
        let lane = self.builder.lanes.get(&self.lane).await?.unwrap_or_default();
        let history = self.builder.history(&lane).await?;
        Ok(about::earlier(&history, command, self.mention.parent).map(|run| Some(run.clone())))
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

/// Whether nobody else than the author has looked at a plan.
fn is_alone(plan: &Run, author: &Person) -> bool {
    plan.requester.is_none() || is_requester(plan, author)
}

fn is_requester(run: &Run, author: &Person) -> bool {
    run.requester.as_ref().is_some_and(|who| is_same(who, author))
}

fn refused(code: FailureCode) -> Licence {
    Licence::Refused(FailureReport { code, detail: None })
}
