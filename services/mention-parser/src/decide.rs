//! What an event means for us: a mention, a control or nothing, and why. Pure: it asks nobody.

use config::{Mention as Rules, Position};
use pipeline::decision::Verdict;
use pipeline::event::{Comment, Event, EventBody, Person, PullRequest};
use pipeline::ids::{CommentId, RunId};
use pipeline::mention::{Change, Closed, Command, Control, Mention, Origin};
use pipeline::message::VERSION;

use crate::detect::detect;

/// What to pass on, and the word on the delivery.
#[derive(Debug, PartialEq)]
pub struct Decided {
    /// The message for the next role; nothing when the event cannot concern us.
    pub output: Option<Output>,
    /// The comment the event is about.
    pub comment: Option<CommentId>,
    /// The run this mention would start; the next role may amend or refuse instead.
    pub run: Option<RunId>,
    /// Passed on or not.
    pub verdict: Verdict,
    /// Why, as a sentence.
    pub reason: String,
}

/// A message of this role.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// A comment version that mentions us, or that no longer does.
    Mention(Box<Mention>),
    /// Something ended or moved.
    Control(Box<Control>),
}

/// Whom a connection answers to and who it is.
#[derive(Debug, Clone, Copy)]
pub struct Listener<'a> {
    /// Names and position of mentions.
    pub rules: &'a Rules,
    /// The bot's user name, where it is configured; always one of the names.
    pub bot_user: Option<&'a str>,
}

/// Decides on an event. `sequence` is its place in `EVENTS`.
pub fn decide(event: &Event, sequence: u64, listener: Listener<'_>) -> Decided {
    let Some(pull_request) = &event.pull_request else {
        return ignored(None, "the event is about no pull request");
    };
    let scene = Scene {
        event,
        pull_request,
        sequence,
        listener,
    };
    match &event.body {
        EventBody::CommentAdded { comment } => scene.comment_added(comment),
        EventBody::CommentEdited {
            comment,
            previous_text,
        } => scene.comment_edited(comment, previous_text.as_deref()),
        EventBody::CommentDeleted { comment } => scene.comment_deleted(comment),
        EventBody::SourceBranchMoved { .. } => scene.control(
            None,
            Change::Moved {
                to: pull_request.from_ref.latest_commit.clone(),
            },
            "the source branch moved",
        ),
        EventBody::PullRequestMerged => scene.closed(Closed::Merged, "the pull request was merged"),
        EventBody::PullRequestDeclined => scene.closed(Closed::Declined, "the pull request was declined"),
        EventBody::PullRequestDeleted => scene.closed(Closed::Deleted, "the pull request was deleted"),
        EventBody::PullRequestOpened
        | EventBody::PullRequestModified
        | EventBody::ReviewersChanged { .. }
        | EventBody::RefsChanged { .. } => {
            ignored(None, &format!("nothing follows from {}", event.body.kind()))
        }
    }
}

/// An event that is not for us.
pub(crate) fn ignored(comment: Option<CommentId>, reason: &str) -> Decided {
    Decided {
        output: None,
        comment,
        run: None,
        verdict: Verdict::Ignored,
        reason: reason.to_owned(),
    }
}

struct Scene<'a> {
    event: &'a Event,
    pull_request: &'a PullRequest,
    sequence: u64,
    listener: Listener<'a>,
}

impl Scene<'_> {
    fn comment_added(&self, comment: &Comment) -> Decided {
        if let Some(reason) = self.listener.own(comment.author.as_ref()) {
            return ignored(Some(comment.id), reason);
        }
        match self.listener.command(&comment.text) {
            Some(command) => self.mention(comment, Some(command), "the comment mentions the bot"),
            None => ignored(Some(comment.id), "no mention"),
        }
    }

    /// An edit counts only if what is asked for changed; resolving a thread arrives as an edit, too
    /// (bitbucket-dc.md 2.5, 4). Without the previous text the next role, which remembers, has to compare.
    fn comment_edited(&self, comment: &Comment, previous_text: Option<&str>) -> Decided {
        if let Some(reason) = self.listener.own(comment.author.as_ref()) {
            return ignored(Some(comment.id), reason);
        }
        let command = self.listener.command(&comment.text);
        let Some(previous_text) = previous_text else {
            return self.mention(
                comment,
                command,
                "the comment was edited and its previous text is not known",
            );
        };
        match (self.listener.command(previous_text), &command) {
            (None, None) => ignored(Some(comment.id), "no mention, neither before nor after the edit"),
            (Some(before), Some(now)) if before.digest() == now.digest() => {
                ignored(Some(comment.id), "the edit did not change what is asked for")
            }
            (Some(_), Some(_)) => self.mention(comment, command, "the edit changed what is asked for"),
            (None, Some(_)) => self.mention(comment, command, "the edit added a mention"),
            (Some(_), None) => self.mention(comment, None, "the edit took the mention away"),
        }
    }

    fn comment_deleted(&self, comment: &Comment) -> Decided {
        if let Some(reason) = self.listener.own(comment.author.as_ref()) {
            return ignored(Some(comment.id), reason);
        }
        self.control(
            Some(comment.id),
            Change::CommentDeleted { comment: comment.id },
            "the comment was deleted",
        )
    }

    fn closed(&self, how: Closed, reason: &str) -> Decided {
        self.control(
            None,
            Change::Closed {
                version: self.pull_request.version,
                how,
            },
            reason,
        )
    }

    fn mention(&self, comment: &Comment, command: Option<Command>, reason: &str) -> Decided {
        let run = RunId::derive(&self.event.instance, comment.id, comment.version);
        let mention = Mention {
            v: VERSION,
            origin: self.origin(),
            comment: comment.id,
            comment_version: comment.version,
            parent: comment.parent,
            author: comment.author.clone(),
            written_at: comment.updated_at.or(comment.created_at),
            command,
        };
        Decided {
            run: mention.command.is_some().then_some(run),
            output: Some(Output::Mention(Box::new(mention))),
            comment: Some(comment.id),
            verdict: Verdict::Accepted,
            reason: reason.to_owned(),
        }
    }

    fn control(&self, comment: Option<CommentId>, change: Change, reason: &str) -> Decided {
        let control = Control {
            v: VERSION,
            origin: self.origin(),
            actor: self.event.actor.clone(),
            change,
        };
        Decided {
            output: Some(Output::Control(Box::new(control))),
            comment,
            run: None,
            verdict: Verdict::Accepted,
            reason: reason.to_owned(),
        }
    }

    fn origin(&self) -> Origin {
        Origin {
            delivery: self.event.delivery.clone(),
            event_sequence: self.sequence,
            connection: self.event.connection.clone(),
            instance: self.event.instance.clone(),
            repository: self.event.repository.clone(),
            pull_request: self.pull_request.id,
        }
    }
}

impl Listener<'_> {
    fn command(&self, text: &str) -> Option<Command> {
        let mut names = self.rules.names.clone();
        names.extend(self.bot_user.map(str::to_owned));
        let position: Position = self.rules.position;
        detect(text, &names, position).map(|found| found.command)
    }

    /// Why a comment by `author` never triggers: it is the bot's own, or its author bears a name people call the
    /// bot by, which is the bot where `bot_user` is not configured.
    fn own(&self, author: Option<&Person>) -> Option<&'static str> {
        let author = author?;
        let is = |name: &str| {
            author.name.eq_ignore_ascii_case(name)
                || author
                    .slug
                    .as_deref()
                    .is_some_and(|slug| slug.eq_ignore_ascii_case(name))
        };
        if self.bot_user.is_some_and(is) {
            Some("the bot's own comment")
        } else if self.rules.names.iter().any(|name| is(name)) {
            Some("the comment's author bears one of the bot's names")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
