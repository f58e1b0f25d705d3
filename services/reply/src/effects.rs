//! What a run does to the pull request beside its commit and its status reply, each exactly once: said in the record
//! before it is done, looked for before it is repeated, recorded before the end is told.

mod comments;
mod marker;
mod pull_request;
mod text;

use std::time::Duration;

use bitbucket::{Client, Error, Missing};
use jiff::Timestamp;
use pipeline::effect::{Effect, Progress, What};
use pipeline::failure::Failure;
use pipeline::ids::{CommentId, PullRequestId};
use pipeline::run::{Run, RunState};

use crate::again;
use crate::next::{INTENT_STALE, left};
use crate::status::Status;

/// How long an effect is tried that Bitbucket answers with errors of its own. The end of the run is told after its
/// effects, and must not wait for ever for one that breaks something.
const PATIENCE: Duration = Duration::from_mins(10);

/// An effect that is being done: the record as it is, and which one.
#[derive(Clone, Copy)]
struct At<'a> {
    client: &'a Client,
    run: &'a Run,
    index: usize,
}

/// What came of an effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Made {
    comment: Option<CommentId>,
    pull_request: Option<PullRequestId>,
}

/// Why an effect was not done.
enum NotDone {
    /// It never will be; why, in words of ours.
    Refused(String),
    /// Bitbucket did not do it, or nobody knows whether it did.
    Error(Error),
    /// Something else is away.
    Away(Failure),
}

impl From<Error> for NotDone {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Failure> for NotDone {
    fn from(failure: Failure) -> Self {
        Self::Away(failure)
    }
}

/// Whether the effects of a run are done. One that was ended, or that did not do its work, has planned them in vain.
pub(crate) fn are_due(run: &Run) -> bool {
    matches!(
        run.state,
        RunState::Done | RunState::NoChange | RunState::Answered | RunState::NeedsInput
    )
}

/// The first effect that is still to be done.
pub(crate) fn first_open(run: &Run) -> Option<(usize, &Effect)> {
    let open = |(_, effect): &(usize, &Effect)| !effect.is_settled();
    run.effects.iter().enumerate().find(open).filter(|_| are_due(run))
}

/// Whether the run has changed what the pull request is called.
pub(crate) fn has_described(run: &Run) -> bool {
    run.effects.iter().any(|effect| {
        matches!(effect.what, What::Describe { .. }) && matches!(effect.progress, Progress::Done { .. })
    })
}

/// Whether the first open effect is for `poster` to do: nobody began it, or whoever did has died or lost an answer.
pub(crate) fn is_ours(run: &Run, poster: &str, now: Timestamp) -> bool {
    first_open(run).is_some_and(|(_, effect)| match &effect.progress {
        Progress::Begun { poster: theirs, at } => theirs == poster || left(INTENT_STALE, *at, now).is_none(),
        _ => true,
    })
}

impl Status {
    /// Does the first effect that is open, or finds out that it was done. Nothing where another process has it.
    pub(crate) async fn do_effect(&self, seen: &Run) -> Result<(), Failure> {
        let Some((index, effect)) = first_open(seen) else {
            return Ok(());
        };
        let client = self.clients.of(&seen.credential.connection)?;
        let look = matches!(effect.progress, Progress::Begun { .. });
        let Some(run) = self.begin(seen, index, look).await? else {
            return Ok(());
        };
        let at = At {
            client: &client,
            run: &run,
            index,
        };
        match self.act(at, look).await {
            Ok(made) => {
                self.settle(
                    at,
                    Progress::Done {
                        comment: made.comment,
                        pull_request: made.pull_request,
                    },
                )
                .await
            }
            Err(NotDone::Refused(why)) => self.refuse(at, why).await,
            Err(NotDone::Away(failure)) => Err(failure),
            Err(NotDone::Error(error)) => self.not_done(at, error).await,
        }
    }

    async fn act(&self, at: At<'_>, look: bool) -> Result<Made, NotDone> {
        match &at.run.effects[at.index].what {
            What::Answer { thread, .. } => self.answer(at, *thread, look).await,
            What::Finding { .. } => self.remark(at, look).await,
            What::Describe { title, description } => {
                self.describe(at, title.as_deref(), description.as_deref()).await
            }
            What::PullRequest { .. } => self.open_pull_request(at, look).await,
        }
    }

    /// Says in the record that this process is about to do it. `None` when someone else was faster.
    async fn begin(&self, seen: &Run, index: usize, look: bool) -> Result<Option<Run>, Failure> {
        let at = Timestamp::now();
        let (run, ours) = self
            .change(seen, |run| {
                let ours = run.effects.get(index) == seen.effects.get(index);
                if let Some(effect) = run.effects.get_mut(index).filter(|_| ours) {
                    effect.progress = Progress::Begun {
                        poster: self.poster.clone(),
                        at,
                    };
                    // What was under way when somebody died may still arrive.
                    run.reply.effects_unsure |= look;
                }
                ours
            })
            .await?;
        Ok(ours.then_some(run))
    }

    /// Notes how it ended. What another process wrote meanwhile stays, and what this one wrote is surplus then. A comment
    /// that was noted as written stays that of an effect which failed after it.
    async fn settle(&self, at: At<'_>, progress: Progress) -> Result<(), Failure> {
        let note = |run: &mut Run| {
            let Some(effect) = run.effects.get_mut(at.index) else {
                return;
            };
            let mut made = progress.clone();
            if let Progress::Failed { comment, .. } = &mut made {
                *comment = effect.written;
            }
            if effect.is_settled() {
                run.reply.effects_unsure |= effect.progress != made;
            } else {
                effect.progress = made;
            }
        };
        self.change(at.run, note).await?;
        Ok(())
    }

    async fn refuse(&self, at: At<'_>, why: String) -> Result<(), Failure> {
        tracing::info!(run.id = %at.run.id, effect = at.index, why, "an effect cannot be done");
        self.settle(at, Progress::failed(why)).await
    }

    /// What an error means: never, or later. What is under way must have arrived before anyone looks for it.
    async fn not_done(&self, at: At<'_>, error: Error) -> Result<(), Failure> {
        if let Some(why) = never(&error) {
            return self.refuse(at, why.to_owned()).await;
        }
        let tried_for = at
            .run
            .ended_at
            .and_then(|ended| Duration::try_from(Timestamp::now().duration_since(ended)).ok());
        if is_broken(&error) && tried_for.is_some_and(|tried| tried > PATIENCE) {
            tracing::warn!(run.id = %at.run.id, effect = at.index, %error, "an effect is given up");
            return self
                .refuse(at, "Bitbucket kept answering with an error".to_owned())
                .await;
        }
        match again::failure_of(error) {
            Failure::Refuse { .. } | Failure::Abandon { .. } => {
                self.refuse(at, "Bitbucket refused it".to_owned()).await
            }
            failure @ Failure::Retry { .. } => Err(failure),
        }
    }
}

/// Why Bitbucket will never do it.
fn never(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NotFound { what, .. } => match what {
            Missing::Comment | Missing::Other => "the comment was deleted",
            Missing::PullRequest => "the pull request was deleted",
            Missing::Repository | Missing::Project => "the repository is gone",
            Missing::Commit | Missing::User => "what it is about is gone",
            Missing::Route => return None,
        },
        Error::Forbidden { .. } => "the bot may not do that",
        Error::Conflict { .. } => "Bitbucket says that it conflicts with the state of the pull request",
        Error::Invalid { .. } => "Bitbucket refused the request as wrong",
        _ => return None,
    })
}

/// Errors that are Bitbucket's own and say nothing about how long they last.
fn is_broken(error: &Error) -> bool {
    match error {
        Error::Server { status } => !(502..=504).contains(status),
        Error::NotJson { .. } | Error::Garbled { .. } | Error::TooLong { .. } | Error::Unexpected { .. } => {
            true
        }
        Error::Ambiguous { cause } => is_broken(cause),
        _ => false,
    }
}
