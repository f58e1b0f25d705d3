//! The status reply: found, posted, edited in place, and the record of it kept.

use std::sync::Arc;

use bitbucket::{Client, Clients, Comment, ConflictWith, Error, Missing};
use config::ConnectionSource;
use pipeline::failure::Failure;
use pipeline::ids::{CommentId, InstanceId};
use pipeline::run::Run;
use worker::{Artifacts, Records};

use crate::again;
use crate::build::Builds;
use crate::effects;
use crate::finish;
use crate::marker::Marker;
use crate::next::Shown;
use crate::reaction;
use crate::render::{self, Scene};
use crate::sanitise::Policy;
use crate::three_byte::ThreeByte;

/// Lost races for one edit: each loser reads what the winner wrote, so more than a few means something else is wrong.
const EDIT_TRIES_MAX: usize = 5;
/// Why a run is told of nowhere.
const OTHERS_NAME: &str = "another repository has its repository's name";
/// Comments looked through for a reply of ours when the comment it belongs under is gone.
pub(crate) const ACTIVITIES_MAX: usize = 1_000;

/// Writes status replies and keeps their records.
pub(crate) struct Status {
    pub(crate) clients: Clients,
    pub(crate) three_byte: ThreeByte,
    pub(crate) builds: Builds,
    pub(crate) runs: Records<Run>,
    pub(crate) artifacts: Artifacts,
    /// By what name people mention the bot.
    pub(crate) connections: Arc<dyn ConnectionSource>,
    /// This process, in intents.
    pub(crate) poster: String,
    /// Whether every reply says that agents run unconfined.
    pub(crate) unsandboxed: bool,
    /// How people learn that a run has ended.
    pub(crate) finish: config::Finish,
}

impl Status {
    /// Posts the status reply, or finds the one that was posted before. `look`: somebody may have.
    pub(crate) async fn post(&self, seen: &Run, look: bool) -> Result<Option<Shown>, Failure> {
        let client = self.clients.of(&seen.credential.connection)?;
        let Some(mut run) = self.claim(seen).await? else {
            return Ok(None);
        };
        if look && let Some(found) = self.find(&client, &run).await? {
            // Whether 👀 was set before is not known; taking it away is harmless.
            return self.attach(&client, &run, &found, true, look).await;
        }
        let eyes = run.reply.eyes || (!run.state.is_terminal() && reaction::open(&client, &run).await);
        if run.reply.top_level && !is_home(&client, &run).await? {
            return self.give_up(&run, &OTHERS_NAME).await;
        }
        let mut text = self.text(&client, &run).await?;
        let mut written = client
            .add_comment(&run.repository, run.pull_request, &text, place_of(&run))
            .await;
        if !run.reply.top_level && written.as_ref().is_err_and(parent_is_gone) {
            if !is_home(&client, &run).await? {
                return self.give_up(&run, &OTHERS_NAME).await;
            }
            // The comment that asked was deleted: the answer stands at the top level and goes on saying so.
            run = self.change(&run, |run| run.reply.top_level = true).await?.0;
            text = self.text(&client, &run).await?;
            written = client
                .add_comment(&run.repository, run.pull_request, &text, place_of(&run))
                .await;
        }
        match written {
            Ok(comment) => {
                let shown = self.attach(&client, &run, &comment, eyes, look).await?;
                if shown.is_some() && !self.keeps(&client, &run, &comment, &text).await {
                    run.reply.comment = Some(comment.id);
                    run.reply.comment_version = comment.version;
                    return self.edit(&run).await;
                }
                Ok(shown)
            }
            Err(error) => self.not_written(&run, &text, error).await,
        }
    }

    /// Makes the status reply say what the record says.
    pub(crate) async fn edit(&self, run: &Run) -> Result<Option<Shown>, Failure> {
        let Some(id) = run.reply.comment else {
            return Ok(None);
        };
        let client = self.clients.of(&run.credential.connection)?;
        let mut text = self.text(&client, run).await?;
        let mut version = run.reply.comment_version;
        for _ in 0..EDIT_TRIES_MAX {
            match client
                .edit_comment(&run.repository, run.pull_request, id, version, &text)
                .await
            {
                Ok(comment) if self.keeps(&client, run, &comment, &text).await => {
                    return self.shows(run, id, comment.version, run.n).await;
                }
                Ok(comment) => {
                    version = comment.version;
                    text = self.text(&client, run).await?;
                    continue;
                }
                Err(Error::Conflict {
                    with: ConflictWith::CommentVersion,
                    ..
                }) => {}
                Err(Error::NotFound {
                    what: Missing::Comment | Missing::Other,
                    ..
                }) => return self.deleted(run).await,
                Err(error) => return self.not_written(run, &text, error).await,
            }
            match client.comment(&run.repository, run.pull_request, id).await {
                Ok(comment) => match Marker::of(&comment.text).filter(|marker| marker.run == run.id) {
                    Some(marker) if marker.n >= run.n => {
                        return self.shows(run, id, comment.version, marker.n).await;
                    }
                    _ => version = comment.version,
                },
                Err(Error::NotFound {
                    what: Missing::Comment | Missing::Other,
                    ..
                }) => return self.deleted(run).await,
                Err(error) => return Err(error.into()),
            }
        }
        let message = "the status reply kept changing".to_owned();
        Err(Error::Conflict {
            with: ConflictWith::CommentVersion,
            current_version: None,
            message,
        }
        .into())
    }

    /// Sets 👀 and notes it, where there are reactions.
    pub(crate) async fn open(&self, run: &Run) -> Result<(), Failure> {
        let client = self.clients.of(&run.credential.connection)?;
        if reaction::open(&client, run).await {
            self.change(run, |run| run.reply.eyes = true).await?;
        }
        Ok(())
    }

    /// Replaces 👀 by the closing reaction and notes it.
    pub(crate) async fn close(&self, run: &Run) -> Result<(), Failure> {
        let client = self.clients.of(&run.credential.connection)?;
        reaction::close(&client, run).await?;
        self.change(run, |run| run.reply.closing_reaction = true).await?;
        Ok(())
    }

    /// Deletes what arrived beside the status reply: a post that was under way for longer than it was waited for.
    pub(crate) async fn delete_surplus(&self, run: &Run) -> Result<(), Failure> {
        let client = self.clients.of(&run.credential.connection)?;
        for ours in self.ours(&client, run).await? {
            if run.reply.comment.is_some_and(|known| known != ours.id) {
                self.delete(&client, run, &ours).await;
            }
        }
        self.change(run, |run| run.reply.intent = None).await?;
        Ok(())
    }

    /// The status reply that an earlier attempt posted. Surplus ones, of attempts whose answers were lost, are deleted.
    async fn find(&self, client: &Client, run: &Run) -> Result<Option<Comment>, Failure> {
        let mut ours = self.ours(client, run).await?.into_iter();
        let first = ours.next();
        for surplus in ours {
            self.delete(client, run, &surplus).await;
        }
        Ok(first)
    }

    /// Every status reply of the run, oldest first.
    async fn ours(&self, client: &Client, run: &Run) -> Result<Vec<Comment>, Failure> {
        let bot = client.bot().await?;
        let threads = match client
            .comment(&run.repository, run.pull_request, run.comment)
            .await
        {
            Ok(comment) => vec![comment],
            Err(Error::NotFound {
                what: Missing::Comment | Missing::Other,
                ..
            }) => {
                let activities = client
                    .activities(&run.repository, run.pull_request, ACTIVITIES_MAX)
                    .await?;
                activities
                    .threads
                    .into_iter()
                    .map(|thread| thread.comment)
                    .collect()
            }
            Err(error) if is_gone(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut ours: Vec<Comment> = threads
            .iter()
            .flat_map(Comment::flatten)
            .filter(|comment| comment.author.as_ref().is_some_and(|author| bot.is(author)))
            .filter(|comment| Marker::of(&comment.text).is_some_and(|marker| marker.run == run.id))
            .cloned()
            .collect();
        ours.sort_by_key(|comment| comment.id);
        Ok(ours)
    }

    /// Deletes a status reply that is one too many. One that people answered stays: Bitbucket refuses to delete it.
    pub(crate) async fn delete(&self, client: &Client, run: &Run, comment: &Comment) -> bool {
        let deleted = client
            .delete_comment(&run.repository, run.pull_request, comment.id, comment.version)
            .await;
        match &deleted {
            Ok(()) => {
                tracing::info!(run.id = %run.id, comment.id = %comment.id, "a surplus comment was deleted");
            }
            Err(error) => {
                tracing::warn!(run.id = %run.id, comment.id = %comment.id, %error, "a surplus comment stays");
            }
        }
        deleted.is_ok()
    }

    /// The text was not written, or it is not known whether it was.
    async fn not_written(&self, run: &Run, text: &str, error: Error) -> Result<Option<Shown>, Failure> {
        if is_gone(&error) {
            return self.give_up(run, &error).await;
        }
        let refused = matches!(error, Error::Invalid { .. });
        let broke =
            matches!(&error, Error::Ambiguous { cause } if matches!(**cause, Error::Server { status: 500 }));
        if (refused || broke) && self.three_byte.learn(&run.instance, text) {
            // The next step writes it without them; after a broken answer not before a look.
            if refused {
                return Ok(None);
            }
        }
        Err(again::failure_of(error))
    }

    /// Whether Bitbucket has the text as it was written. Read back once for each instance, for the characters that not
    /// every database keeps; where that fails the next text tells.
    async fn keeps(&self, client: &Client, run: &Run, written: &Comment, text: &str) -> bool {
        if !self.three_byte.is_worth_reading_back(&run.instance, text) {
            return true;
        }
        match client
            .comment(&run.repository, run.pull_request, written.id)
            .await
        {
            Ok(stored) if stored.version == written.version => {
                self.three_byte.compare(&run.instance, text, &stored.text)
            }
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "the reply was not read back");
                true
            }
        }
    }

    async fn text(&self, client: &Client, run: &Run) -> Result<String, Failure> {
        let policy = self.policy(client, &run.instance);
        let page = client.web_url_pull_request(&run.repository, run.pull_request);
        let pushed = run.outcome.as_ref().and_then(|outcome| outcome.pushed.as_ref());
        let scene = Scene {
            policy,
            name: self.name(run),
            // Through the pull request, because the commit of a fork is not in its target repository.
            commit_url: pushed.map(|pushed| format!("{page}/commits/{}", pushed.commit)),
            diff_url: pushed.map(|_| client.web_url_diff(&run.repository, run.pull_request)),
            pull_request_url: Some(page),
            repository_url: Some(client.web_url_repository(&run.repository)),
            described: if effects::has_described(run) {
                self.described(run).await?
            } else {
                None
            },
            patch: if pushed.is_none() {
                self.patch(run, policy).await?
            } else {
                None
            },
            unsandboxed: self.unsandboxed,
            alone: run.reply.top_level,
            mentions: !finish::is_due(run, self.finish),
        };
        Ok(render::status_reply(run, &scene))
    }

    /// What foreign text may do on this instance.
    pub(crate) fn policy<'c>(&self, client: &'c Client, instance: &InstanceId) -> Policy<'c> {
        Policy {
            base_url: client.base_url(),
            beyond_bmp: self.three_byte.allows(instance),
        }
    }

    /// The first of the names the bot is mentioned by, where the connection is still configured.
    fn name(&self, run: &Run) -> Option<String> {
        let connection = self.connections.get(&run.credential.connection)?;
        connection
            .mention
            .names
            .first()
            .or(connection.bot_user.as_ref())
            .cloned()
    }

    async fn patch(&self, run: &Run, policy: Policy<'_>) -> Result<Option<String>, Failure> {
        let Some(patch) = &run.patch else { return Ok(None) };
        if !run.state.is_terminal() {
            return Ok(None);
        }
        Ok(self
            .artifacts
            .get(&patch.key)
            .await?
            .and_then(|bytes| render::showable(bytes, run, policy)))
    }
}

/// The comment that the status reply stands under.
fn place_of(run: &Run) -> Option<CommentId> {
    (!run.reply.top_level).then_some(run.comment)
}

/// Whether the pull request of this name is the one that was asked on: names of repositories are given again, and what stands
/// under no comment would be read by other people there.
async fn is_home(client: &Client, run: &Run) -> Result<bool, Failure> {
    match client.pull_request(&run.repository, run.pull_request).await {
        Ok(now) => Ok(now.to_ref.repository.id == run.repository.id),
        // The next call finds out.
        Err(error) if is_gone(&error) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Whether a reply was refused because what it replies to is not there.
fn parent_is_gone(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound {
            what: Missing::Comment | Missing::Other,
            ..
        } | Error::Conflict {
            with: ConflictWith::CommentVersion | ConflictWith::State,
            ..
        }
    )
}

/// Whether there is no pull request to speak on.
fn is_gone(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound {
            what: Missing::PullRequest | Missing::Repository | Missing::Project,
            ..
        }
    )
}
