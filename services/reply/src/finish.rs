//! The short comment that tells the end of a run beside the edited status reply, where that is configured. Done once:
//! said in the record before it is written, looked for before it is repeated.

use bitbucket::{Bot, Comment, Error};
use config::Finish;
use jiff::Timestamp;
use pipeline::effect::Progress;
use pipeline::failure::Failure;
use pipeline::run::Run;

use crate::again;
use crate::render;
use crate::status::Status;

/// Whether the end of a run is told in a comment: where it is configured, for what took a while and was not to be quiet.
pub(crate) fn is_due(run: &Run, finish: Finish) -> bool {
    finish == Finish::EditAndComment && run.started_at.is_some() && !run.command.options.quiet
}

/// The hidden last line of the comment. As in a status reply, it counts only where the bot is the author.
fn marker(run: &Run) -> String {
    format!("[//]: # (openhands-resolver run={} end)", run.id)
}

impl Status {
    /// Writes the comment, or finds out that it was written. Nothing where another process has it.
    pub(crate) async fn tell_end(&self, seen: &Run) -> Result<(), Failure> {
        let client = self.clients.of(&seen.credential.connection)?;
        let Some(reply) = seen.reply.comment else {
            return Ok(());
        };
        let look = matches!(seen.reply.finish, Progress::Begun { .. });
        let now = Timestamp::now();
        let (run, ours) = self
            .change(seen, |run| {
                let ours = run.reply.finish == seen.reply.finish;
                if ours {
                    run.reply.finish = Progress::Begun {
                        poster: self.poster.clone(),
                        at: now,
                    };
                }
                ours
            })
            .await?;
        if !ours {
            return Ok(());
        }
        let (repository, id, marker) = (&run.repository, run.pull_request, marker(&run));
        if look {
            let bot = client.bot().await?;
            match client.comment(repository, id, reply).await {
                Ok(thread) => {
                    if let Some(found) = thread.flatten().find(|comment| is_ours(comment, &marker, &bot)) {
                        return self.end_told(&run, Ok(found.clone())).await;
                    }
                }
                Err(error) => return self.end_told(&run, Err(error)).await,
            }
        }
        let written = client
            .add_comment(repository, id, &render::finish(&run, &marker), Some(reply))
            .await;
        self.end_told(&run, written).await
    }

    /// Notes what came of it. What Bitbucket refuses is not tried again: the status reply says the end already.
    async fn end_told(&self, run: &Run, written: Result<Comment, Error>) -> Result<(), Failure> {
        let progress = match written {
            Ok(comment) => Progress::Done {
                comment: Some(comment.id),
                pull_request: None,
            },
            Err(error) => {
                let why = error.to_string();
                match again::failure_of(error) {
                    failure @ Failure::Retry { .. } => return Err(failure),
                    Failure::Refuse { .. } | Failure::Abandon { .. } => {
                        tracing::info!(run.id = %run.id, why, "the end is not told in a comment");
                        Progress::failed(why)
                    }
                }
            }
        };
        self.change(run, |run| run.reply.finish = progress.clone())
            .await?;
        Ok(())
    }
}

fn is_ours(comment: &Comment, marker: &str, bot: &Bot) -> bool {
    let is_marked = comment.text.trim_end().lines().next_back() == Some(marker);
    is_marked && comment.author.as_ref().is_some_and(|author| bot.is(author))
}
