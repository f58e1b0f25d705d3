//! Effects that are comments: answers in threads, with the tick of a task, and remarks on lines of the diff.

use bitbucket::{Client, Comment, ConflictWith, Error, Lines};
use pipeline::effect::{Progress, What};
use pipeline::failure::Failure;
use pipeline::ids::{CommentId, CommitId};
use pipeline::run::{Outcome, Run};

use super::marker::EffectMarker;
use super::{At, Made, NotDone, never, text};
use crate::status::{ACTIVITIES_MAX, Status};

/// Lost races for one tick: each loser reads what the winner wrote.
const TICK_TRIES_MAX: usize = 5;

impl Status {
    /// Answers in a thread, then ticks the task where that was asked for and the work is on the branch.
    pub(super) async fn answer(&self, at: At<'_>, thread: CommentId, look: bool) -> Result<Made, NotDone> {
        let At { client, run, .. } = at;
        let mut found = run.effects[at.index].written;
        if look && found.is_none() {
            let root = client.comment(&run.repository, run.pull_request, thread).await?;
            found = find(at, std::slice::from_ref(&root))
                .await?
                .map(|comment| comment.id);
        }
        let comment = match found {
            Some(found) => found,
            None => self.write(at, &Place::Thread(thread)).await?.id,
        };
        let is_there = run.outcome.as_ref().is_some_and(Outcome::is_on_source);
        if is_there && matches!(run.effects[at.index].what, What::Answer { tick: true, .. }) {
            // Noted first: an answer whose task is never ticked must not be taken for one too many.
            let note = |run: &mut Run| {
                if let Some(effect) = run.effects.get_mut(at.index) {
                    effect.written.get_or_insert(comment);
                }
            };
            self.change(run, note).await?;
            tick(client, run, thread).await.map_err(|error| match error {
                NotDone::Error(error) => match never(&error) {
                    Some(why) => NotDone::Refused(format!("it was answered, but not ticked: {why}")),
                    None => NotDone::Error(error),
                },
                other => other,
            })?;
        }
        Ok(Made {
            comment: Some(comment),
            ..Made::default()
        })
    }

    /// Comments on lines of the diff.
    pub(super) async fn remark(&self, at: At<'_>, look: bool) -> Result<Made, NotDone> {
        let At { client, run, .. } = at;
        let What::Finding {
            path,
            first_line,
            last_line,
            first_is_added,
            last_is_added,
            ..
        } = &run.effects[at.index].what
        else {
            return Err(NotDone::Refused("it is no remark".to_owned()));
        };
        if look {
            let activities = client
                .activities(&run.repository, run.pull_request, ACTIVITIES_MAX)
                .await?;
            let threads: Vec<Comment> = activities
                .threads
                .into_iter()
                .map(|thread| thread.comment)
                .collect();
            if let Some(found) = find(at, &threads).await? {
                return self.if_it_stands(at, found).await;
            }
        }
        let lines = Lines {
            path: path.clone(),
            first: *first_line,
            last: *last_line,
            first_is_added: *first_is_added,
            last_is_added: *last_is_added,
        };
        // The lines are those of one commit: on another one the same numbers are other lines.
        let now = client.pull_request(&run.repository, run.pull_request).await?;
        still_at(run, &now.from_ref.latest_commit)?;
        match self.write(at, &Place::Lines(lines)).await {
            Ok(comment) => self.if_it_stands(at, &comment).await,
            Err(NotDone::Error(Error::Invalid { message })) => {
                tracing::info!(run.id = %run.id, message, "a remark has no place in the diff");
                Err(NotDone::Refused(
                    "the line is not part of the diff any more".to_owned(),
                ))
            }
            Err(other) => Err(other),
        }
    }

    /// A remark that was written for the commit it was made for. One that stands on another one's lines is deleted; should
    /// that fail, it is looked for again when the run has ended.
    async fn if_it_stands(&self, at: At<'_>, comment: &Comment) -> Result<Made, NotDone> {
        let At { client, run, .. } = at;
        let stands_at = comment.anchor.as_ref().and_then(|anchor| anchor.to_hash.as_ref());
        if let Some(Err(moved)) = stands_at.map(|head| still_at(run, head)) {
            if !self.delete(client, run, comment).await {
                self.change(run, |run| run.reply.effects_unsure = true).await?;
            }
            return Err(moved);
        }
        Ok(Made {
            comment: Some(comment.id),
            ..Made::default()
        })
    }

    /// Writes the effect's text; once more without characters that the instance turned out not to store.
    async fn write(&self, at: At<'_>, place: &Place) -> Result<Comment, NotDone> {
        let instance = &at.run.instance;
        let text = text::of(at, self.policy(at.client, instance));
        let error = match send(at, place, &text).await {
            Ok(comment) => return Ok(comment),
            Err(error) => error,
        };
        let is_refused = matches!(error, Error::Invalid { .. });
        let broke =
            matches!(&error, Error::Ambiguous { cause } if matches!(**cause, Error::Server { status: 500 }));
        let is_learnt = (is_refused || broke) && self.three_byte.learn(instance, &text);
        if is_learnt && is_refused {
            let plain = text::of(at, self.policy(at.client, instance));
            return Ok(send(at, place, &plain).await?);
        }
        // After a broken answer the next try writes it without them, after a look.
        Err(error.into())
    }

    /// Deletes what arrived beside the effects: a post that was under way for longer than it was waited for.
    pub(crate) async fn delete_surplus_effects(&self, run: &Run) -> Result<(), Failure> {
        let client = self.clients.of(&run.credential.connection)?;
        let bot = client.bot().await?;
        let activities = client
            .activities(&run.repository, run.pull_request, ACTIVITIES_MAX)
            .await?;
        let ours = activities
            .threads
            .iter()
            .flat_map(|thread| thread.comment.flatten());
        for comment in ours {
            let Some(marker) = EffectMarker::of(&comment.text).filter(|marker| marker.run == run.id) else {
                continue;
            };
            let known = run.effects.get(marker.index).map(|effect| &effect.progress);
            let is_surplus = known.and_then(Progress::comment) != Some(comment.id);
            if is_surplus && marker.is_on(comment, &bot) {
                self.delete(&client, run, comment).await;
            }
        }
        self.change(run, |run| run.reply.effects_unsure = false).await?;
        Ok(())
    }
}

/// Where an effect writes.
enum Place {
    /// Under the first comment of a thread.
    Thread(CommentId),
    /// On lines of the diff.
    Lines(Lines),
}

async fn send(at: At<'_>, place: &Place, text: &str) -> Result<Comment, Error> {
    let (repository, id) = (&at.run.repository, at.run.pull_request);
    match place {
        Place::Thread(root) => at.client.add_comment(repository, id, text, Some(*root)).await,
        Place::Lines(lines) => at.client.add_comment_on(repository, id, text, lines).await,
    }
}

/// Whether the source branch is where the run's remarks were made for.
fn still_at(run: &Run, head: &CommitId) -> Result<(), NotDone> {
    match &run.base {
        Some(base) if base != head => Err(NotDone::Refused(format!(
            "the branch moved from {} to {} meanwhile",
            base.short(),
            head.short()
        ))),
        _ => Ok(()),
    }
}

/// The comment that this effect wrote before, the oldest where there are several.
async fn find<'a>(at: At<'_>, threads: &'a [Comment]) -> Result<Option<&'a Comment>, Error> {
    let bot = at.client.bot().await?;
    let marker = EffectMarker {
        run: at.run.id.clone(),
        index: at.index,
        settled: false,
    };
    let ours = threads.iter().flat_map(Comment::flatten);
    Ok(ours
        .filter(|comment| marker.is_on(comment, &bot))
        .min_by_key(|comment| comment.id))
}

/// Ticks a task; one that a person has ticked stays as it is.
async fn tick(client: &Client, run: &Run, task: CommentId) -> Result<(), NotDone> {
    for _ in 0..TICK_TRIES_MAX {
        let now = client.comment(&run.repository, run.pull_request, task).await?;
        if now.state == "RESOLVED" || !now.is_task() {
            return Ok(());
        }
        match client
            .tick_task(&run.repository, run.pull_request, task, now.version)
            .await
        {
            Ok(_) => return Ok(()),
            Err(Error::Conflict {
                with: ConflictWith::CommentVersion,
                ..
            }) => {}
            Err(error @ (Error::Forbidden { .. } | Error::Invalid { .. } | Error::Conflict { .. })) => {
                tracing::info!(run.id = %run.id, %error, "a task is not ticked");
                return Err(NotDone::Refused(
                    "it was answered, but Bitbucket did not let the task be ticked".to_owned(),
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(NotDone::Refused(
        "it was answered, but the task kept changing and was not ticked".to_owned(),
    ))
}
