//! Comments: list, create, read, edit, delete (bitbucket-dc.md 3.6).

use serde::Deserialize;

use super::anchors::{self, AnchorBody};
use super::comment_effects::{New, checked_text, insert, publish, refuse_archived, tell};
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::Json;
use crate::state::activity::{Action, Commented};
use crate::state::comment::{Comment, CommentState, Stamp};
use crate::state::ids::{CommentId, PullRequestKey};
use crate::state::permission::Level;
use crate::state::world::World;

#[derive(Deserialize)]
struct ParentBody {
    id: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommentBody {
    text: Option<String>,
    parent: Option<ParentBody>,
    anchor: Option<AnchorBody>,
    severity: Option<String>,
    state: Option<String>,
    thread_resolved: Option<bool>,
}

/// `GET {PR}/comments?path=`: the threads anchored in a file. Without `path` it is 400.
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let key = call.pull_request(&world, Level::Read)?;
    let path = call.query.get("path").filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| RestError::invalid("path", "The path query parameter is required."))?;
    let (viewer, render) = (Some(call.caller()?.user), call.render(&world));
    let pr = world.pull_request(key)?;
    let in_file = |comment: &&Comment| {
        comment.anchor.as_ref().is_some_and(|anchor| anchor.path == path) && comment.visible_to(viewer)
    };
    let threads = pr
        .comments
        .values()
        .filter(in_file)
        .map(|comment| render.comment(key, pr, comment))
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(threads)))
}

/// `GET {PR}/comments/{id}`
pub(crate) async fn get(call: Call) -> Reply {
    let world = call.app.world();
    let key = call.pull_request(&world, Level::Read)?;
    let pr = world.pull_request(key)?;
    let comment = find(&call, &world, key)?;
    Ok(Answer::ok(call.render(&world).comment(key, pr, comment)))
}

/// The comment in the path, if the caller can see it.
pub(crate) fn find<'w>(call: &Call, world: &'w World, key: PullRequestKey) -> Result<&'w Comment, RestError> {
    let viewer = Some(call.caller()?.user);
    let id = call.comment_id()?;
    let found = world
        .pull_request(key)?
        .comments
        .get(&id)
        .filter(|comment| comment.visible_to(viewer));
    found.ok_or_else(|| RestError::no_such_comment(&id.to_string()))
}

/// `POST {PR}/comments`: general, inline, on a file, a reply, a task, pending.
pub(crate) async fn create(call: Call) -> Reply {
    create_with(call, false).await
}

/// As [`create`]; `blocker` makes it a task whatever the body says.
pub(crate) async fn create_with(call: Call, blocker: bool) -> Reply {
    let body: CommentBody = call.json()?;
    let key = {
        let world = call.app.world();
        let key = call.pull_request(&world, Level::Read)?;
        refuse_archived(&world, key)?;
        key
    };
    let text = checked_text(&call.app, body.text.as_deref())?;
    // A reply has no place of its own: it is where its thread is.
    let anchored = match (&body.parent, &body.anchor) {
        (None, Some(anchor)) => Some(anchors::check(&call.app, key, anchor).await?),
        _ => None,
    };
    let mut world = call.app.change();
    let author = call.caller()?.user;
    let parent = body.parent.map(|parent| CommentId(parent.id));
    if let Some(parent) = parent
        && !world.pull_request(key)?.comments.contains_key(&parent)
    {
        return Err(RestError::no_such_comment(&parent.to_string()));
    }
    let state = match body.state.as_deref() {
        Some("PENDING") => CommentState::Pending,
        _ => CommentState::Open,
    };
    let blocker = blocker || body.severity.as_deref() == Some("BLOCKER");
    let new = New {
        text,
        author,
        parent,
        blocker,
        state,
        anchored,
    };
    let id = insert(&call.app, &mut world, key, new)?;
    let comment = &world.pull_request(key)?.comments[&id];
    Ok(Answer::created(call.render(&world).created_comment(key, comment)))
}

/// `PUT {PR}/comments/{id}`: text by its author, thread and task state by everybody who can read.
pub(crate) async fn edit(call: Call) -> Reply {
    let body: CommentBody = call.json()?;
    let text = match &body.text {
        Some(text) => Some(checked_text(&call.app, Some(text))?),
        None => None,
    };
    let mut world = call.app.change();
    let key = call.pull_request(&world, Level::Read)?;
    refuse_archived(&world, key)?;
    let editor = call.caller()?.user;
    let before = find(&call, &world, key)?.clone();
    if call.version() != Some(before.version) {
        return Err(RestError::out_of_date("comment", before.version, call.version()));
    }
    let now = call.app.now();
    let after = edited(
        &before,
        &body,
        text,
        Stamp {
            user: editor,
            at: now,
        },
    )?;
    let id = before.id;
    let heard = after.text != before.text
        || after.thread_resolved.is_some() != before.thread_resolved.is_some()
        || after.blocker != before.blocker;
    let pending = after.state == CommentState::Pending;
    let published = before.state == CommentState::Pending && !pending;
    let pr = world.pull_request_mut(key)?;
    pr.comments.insert(id, after);
    pr.updated = now;
    if published {
        publish(&call.app, &mut world, key, id)?;
    } else if heard && !pending {
        let anchor = before.anchor.clone();
        let commented = Commented {
            comment_action: "EDITED",
            comment: id,
            deleted: None,
            anchor,
            diff: None,
        };
        world.record(key, editor, now, Action::Commented(Box::new(commented)))?;
        tell(
            &call.app,
            &world,
            key,
            id,
            "pr:comment:edited",
            editor,
            Some(before.text),
        )?;
    }
    let pr = world.pull_request(key)?;
    Ok(Answer::ok(call.render(&world).comment(
        key,
        pr,
        &pr.comments[&id],
    )))
}

fn edited(
    before: &Comment,
    body: &CommentBody,
    text: Option<String>,
    by: Stamp,
) -> Result<Comment, RestError> {
    let mut after = before.clone();
    if let Some(text) = text.filter(|text| *text != before.text) {
        if before.author != by.user {
            return Err(RestError::not_permitted());
        }
        after.text = text;
    }
    match body.severity.as_deref() {
        None => {}
        Some("BLOCKER") => after.blocker = true,
        Some("NORMAL") => after.blocker = false,
        Some(other) => return Err(RestError::invalid("severity", format!("{other} is no severity"))),
    }
    if let Some(state) = body.state.as_deref() {
        let state = CommentState::parse(state)
            .ok_or_else(|| RestError::invalid("state", format!("{state} is no state of a comment")))?;
        if state == CommentState::Pending && before.state != CommentState::Pending {
            return Err(RestError::conflict(
                "comment.IllegalCommentStateException",
                "A published comment cannot be pending again.",
            ));
        }
        after.state = state;
        after.resolved = (state == CommentState::Resolved).then(|| before.resolved.unwrap_or(by));
    }
    if let Some(resolved) = body.thread_resolved {
        if before.parent.is_some() {
            return Err(RestError::conflict(
                "comment.IllegalCommentStateException",
                "Only the root comment of a thread can be resolved.",
            ));
        }
        after.thread_resolved = resolved.then(|| before.thread_resolved.unwrap_or(by));
    }
    after.version += 1;
    after.updated = by.at;
    Ok(after)
}

/// `DELETE {PR}/comments/{id}?version=`: its author or a repository admin; not if it has replies.
pub(crate) async fn delete(call: Call) -> Reply {
    let mut world = call.app.change();
    let key = call.pull_request(&world, Level::Read)?;
    refuse_archived(&world, key)?;
    let by = call.caller()?.user;
    let comment = find(&call, &world, key)?.clone();
    if comment.author != by {
        call.pull_request(&world, Level::Admin)?;
    }
    if call.version() != Some(comment.version) {
        return Err(RestError::out_of_date("comment", comment.version, call.version()));
    }
    if world.pull_request(key)?.replies(comment.id).next().is_some() {
        let message = "The comment has replies which must be deleted first.";
        return Err(RestError::conflict("comment.CommentDeletionException", message));
    }
    if comment.state != CommentState::Pending {
        tell(&call.app, &world, key, comment.id, "pr:comment:deleted", by, None)?;
    }
    let now = call.app.now();
    let pr = world.pull_request_mut(key)?;
    pr.comments.remove(&comment.id);
    pr.updated = now;
    if comment.state != CommentState::Pending {
        let anchor = comment.anchor.clone();
        let (id, deleted) = (comment.id, Some(comment));
        let commented = Commented {
            comment_action: "DELETED",
            comment: id,
            deleted,
            anchor,
            diff: None,
        };
        world.record(key, by, now, Action::Commented(Box::new(commented)))?;
    }
    Ok(Answer::no_content())
}

/// Comments of the caller that only the caller sees, oldest first.
pub(crate) fn pending(call: &Call, world: &World, key: PullRequestKey) -> Result<Vec<Json>, RestError> {
    let viewer = call.caller()?.user;
    let pr = world.pull_request(key)?;
    let own = |comment: &&Comment| comment.state == CommentState::Pending && comment.author == viewer;
    Ok(pr
        .comments
        .values()
        .filter(own)
        .map(|comment| call.render(world).comment(key, pr, comment))
        .collect())
}
