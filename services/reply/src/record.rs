//! What the run record says about the status reply. Never its `n`: people see nothing of this bookkeeping.

use std::convert::Infallible;

use bitbucket::{Client, Comment, Error};
use jiff::Timestamp;
use pipeline::failure::Failure;
use pipeline::ids::{CommentId, RunId};
use pipeline::run::{PostIntent, Run};
use pipeline::subject;

use crate::marker::Marker;
use crate::next::Shown;
use crate::status::Status;

impl Status {
    /// Says in the record that this process is about to post. `None` when someone else was faster.
    pub(crate) async fn claim(&self, seen: &Run) -> Result<Option<Run>, Failure> {
        let at = Timestamp::now();
        let (run, ours) = self
            .change(seen, |run| {
                let ours = run.reply.comment.is_none() && run.reply.intent == seen.reply.intent;
                // An intent of this process stays as it is: a write would replace the message that is being worked
                // on, and with it the pause before the next try.
                let known = run
                    .reply
                    .intent
                    .as_ref()
                    .is_some_and(|intent| intent.poster == self.poster);
                if ours && !known {
                    run.reply.intent = Some(PostIntent {
                        poster: self.poster.clone(),
                        at,
                    });
                }
                ours
            })
            .await?;
        Ok(ours.then_some(run))
    }

    /// Notes the status reply in the record. If there is one already, this one is surplus. `unsure`: an earlier post may
    /// still arrive.
    pub(crate) async fn attach(
        &self,
        client: &Client,
        run: &Run,
        comment: &Comment,
        eyes: bool,
        unsure: bool,
    ) -> Result<Option<Shown>, Failure> {
        // What was found may be older than what would be written now; what was written is what was rendered.
        let shows = Marker::of(&comment.text).map_or(run.n, |marker| marker.n);
        let (_, kept) = self
            .change(run, |run| {
                run.reply.eyes |= eyes;
                let kept = run.reply.comment.is_none_or(|known| known == comment.id);
                if kept {
                    run.reply.comment = Some(comment.id);
                    run.reply.comment_version = comment.version;
                    run.reply.shows_n = Some(shows);
                    run.reply.intent.take_if(|_| !unsure);
                }
                kept
            })
            .await?;
        if !kept {
            self.delete(client, run, comment).await;
        }
        Ok((kept && shows == run.n).then(|| shown(run)))
    }

    /// Notes which state the status reply shows.
    pub(crate) async fn shows(
        &self,
        run: &Run,
        id: CommentId,
        version: u32,
        n: u64,
    ) -> Result<Option<Shown>, Failure> {
        self.change(run, |run| {
            if run.reply.comment == Some(id) && run.reply.shows_n.is_none_or(|shows| shows < n) {
                run.reply.comment_version = version;
                run.reply.shows_n = Some(n);
            }
        })
        .await?;
        Ok((n == run.n).then(|| shown(run)))
    }

    /// A person deleted the status reply: it stays away until the end, which is told in a new one.
    pub(crate) async fn deleted(&self, run: &Run) -> Result<Option<Shown>, Failure> {
        let gone = run.reply.comment;
        self.change(run, |run| {
            if run.reply.comment == gone {
                run.reply.comment = None;
                run.reply.comment_version = 0;
                run.reply.shows_n = None;
                run.reply.intent = None;
                run.reply.deleted_by_person = true;
            }
        })
        .await?;
        Ok(None)
    }

    /// The pull request or its repository is gone, and with it everyone who could read a reply.
    pub(crate) async fn give_up(
        &self,
        run: &Run,
        why: &(dyn std::fmt::Display + Sync),
    ) -> Result<Option<Shown>, Failure> {
        tracing::info!(run.id = %run.id, %why, "there is no place for a status reply any more");
        self.change(run, |run| {
            run.reply.comment = None;
            run.reply.deleted_by_person = true;
            run.reply.closing_reaction = run.state.is_terminal();
        })
        .await?;
        Ok(None)
    }

    /// Notes what the repository is called now, where a write was sent elsewhere because it was renamed or moved: only reads
    /// follow. Another one that has got the name is left alone.
    pub(crate) async fn follow_name(&self, run: &RunId, failure: &Failure) -> Result<(), Failure> {
        let Failure::Retry { cause, .. } = failure else {
            return Ok(());
        };
        let Some(Error::Redirected { .. }) = cause.downcast_ref() else {
            return Ok(());
        };
        let Some(run) = self.runs.get(&subject::run_key(run)).await? else {
            return Ok(());
        };
        let client = self.clients.of(&run.credential.connection)?;
        let pull_request = client.pull_request(&run.repository, run.pull_request).await?;
        let now = pull_request.to_ref.repository;
        if now.id == run.repository.id && now != run.repository {
            tracing::info!(run.id = %run.id, project = %now.project, slug = %now.slug, "the repository was renamed");
            self.change(&run, |run| run.repository = now.clone()).await?;
        }
        Ok(())
    }

    /// Changes what the record says about the reply. Never its `n`: people see nothing of it.
    pub(crate) async fn change<R>(
        &self,
        run: &Run,
        mut change: impl FnMut(&mut Run) -> R,
    ) -> Result<(Run, R), Failure> {
        let key = subject::run_key(&run.id);
        match self
            .runs
            .update(&key, |run| Ok::<_, Infallible>(change(run)))
            .await?
        {
            Ok(changed) => Ok(changed),
        }
    }
}

fn shown(run: &Run) -> Shown {
    Shown {
        state: run.state,
        at: Timestamp::now(),
    }
}
