//! What a comment sets off: its activity, its event, a new participant; and what a text must be.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;

use super::anchors::Anchored;
use super::pull_requests::check_text;
use crate::app::App;
use crate::http::answer::RestError;
use crate::state::activity::{Action, Commented};
use crate::state::comment::{Comment, CommentState};
use crate::state::ids::{CommentId, PullRequestKey, UserId};
use crate::state::world::World;
use crate::webhook::payload::Event;

/// A comment about to be added.
pub(crate) struct New {
    pub(crate) text: String,
    pub(crate) author: UserId,
    pub(crate) parent: Option<CommentId>,
    pub(crate) blocker: bool,
    pub(crate) state: CommentState,
    pub(crate) anchored: Option<Anchored>,
}

/// Adds a comment, its activity, and (unless pending) its event.
pub(crate) fn insert(
    app: &App,
    world: &mut World,
    key: PullRequestKey,
    new: New,
) -> Result<CommentId, RestError> {
    let (id, now) = (world.next_comment(), app.now());
    let (anchor, diff) = new
        .anchored
        .map(|anchored| (anchored.anchor, anchored.diff))
        .unzip();
    let comment = Comment {
        id,
        version: 0,
        text: new.text,
        author: new.author,
        created: now,
        updated: now,
        parent: new.parent,
        blocker: new.blocker,
        state: new.state,
        resolved: None,
        thread_resolved: None,
        anchor: anchor.clone(),
        reactions: BTreeMap::new(),
        applied_suggestions: BTreeSet::new(),
    };
    let pr = world.pull_request_mut(key)?;
    pr.comments.insert(id, comment);
    pr.updated = now;
    let comment_action = if new.parent.is_some() { "REPLIED" } else { "ADDED" };
    let commented = Commented {
        comment_action,
        comment: id,
        deleted: None,
        anchor,
        diff: diff.flatten(),
    };
    world.record(key, new.author, now, Action::Commented(Box::new(commented)))?;
    if new.state != CommentState::Pending {
        publish(app, world, key, id)?;
    }
    Ok(id)
}

/// Lets others know of a comment: its author takes part, the webhooks hear of it.
pub(crate) fn publish(
    app: &App,
    world: &mut World,
    key: PullRequestKey,
    id: CommentId,
) -> Result<(), RestError> {
    let pr = world.pull_request_mut(key)?;
    let Some(author) = pr.comments.get(&id).map(|comment| comment.author) else {
        return Ok(());
    };
    pr.take_part(author);
    tell(app, world, key, id, "pr:comment:added", author, None)
}

pub(super) fn tell(
    app: &App,
    world: &World,
    key: PullRequestKey,
    id: CommentId,
    event_key: &'static str,
    actor: UserId,
    previous: Option<String>,
) -> Result<(), RestError> {
    if let Some(comment) = world.pull_request(key)?.comments.get(&id) {
        let event = Event::of_comment(event_key, actor, app.render(world), key, comment);
        let event = match previous {
            Some(previous) => event.with("previousComment", previous),
            None => event,
        };
        app.emit(world, key.repository, event);
    }
    Ok(())
}

/// Comments of an archived repository cannot change.
pub(crate) fn refuse_archived(world: &World, key: PullRequestKey) -> Result<(), RestError> {
    if world.repository(key.repository)?.archived {
        let message = "The repository is archived and cannot be modified.";
        return Err(RestError::conflict(
            "repository.RepositoryArchivedException",
            message,
        ));
    }
    Ok(())
}

/// A comment's text as it is stored: not empty, not over the limit, and nothing the database cannot store.
pub(crate) fn checked_text(app: &App, text: Option<&str>) -> Result<String, RestError> {
    let text = text.filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| RestError::invalid("text", "A comment must have text."))?;
    check_text("text", text)?;
    let server = app.world().server;
    let is_long = |c: char| c.len_utf8() == 4;
    if server.four_byte_characters || !text.contains(is_long) {
        return Ok(text.to_owned());
    }
    if server.four_byte_replaced {
        return Ok(text.replace(is_long, "????"));
    }
    let message = "A database error has occurred.";
    Err(RestError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "server.DataStoreException",
        message,
    ))
}
