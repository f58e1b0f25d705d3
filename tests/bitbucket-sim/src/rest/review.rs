//! A review: pending comments, published together (bitbucket-dc.md 3.6).

use serde::Deserialize;

use super::comment_effects::{New, checked_text, insert, publish};
use super::comments;
use super::participants::give_opinion;
use crate::http::answer::{Answer, Reply};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::state::comment::CommentState;
use crate::state::ids::CommentId;
use crate::state::permission::Level;
use crate::state::pull_request::ReviewStatus;

/// `GET {PR}/review`: the caller's pending comments.
pub(crate) async fn pending(call: Call) -> Reply {
    let world = call.app.world();
    let key = call.pull_request(&world, Level::Read)?;
    Ok(Answer::ok(
        call.page(LIMIT_MAX).cut(comments::pending(&call, &world, key)?),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewBody {
    comment_text: Option<String>,
    participant_status: Option<String>,
    last_reviewed_commit: Option<String>,
}

/// `PUT {PR}/review`: publishes them, with a last word and an opinion if given.
pub(crate) async fn finish(call: Call) -> Reply {
    let body: ReviewBody = call.json()?;
    let text = body.comment_text.filter(|text| !text.trim().is_empty());
    let text = match text {
        Some(text) => Some(checked_text(&call.app, Some(&text))?),
        None => None,
    };
    {
        let mut world = call.app.change();
        let key = call.pull_request(&world, Level::Read)?;
        let author = call.caller()?.user;
        let own: Vec<CommentId> = world
            .pull_request(key)?
            .comments
            .values()
            .filter(|comment| comment.state == CommentState::Pending && comment.author == author)
            .map(|comment| comment.id)
            .collect();
        for id in own {
            if let Some(comment) = world.pull_request_mut(key)?.comments.get_mut(&id) {
                comment.state = CommentState::Open;
                comment.version += 1;
            }
            publish(&call.app, &mut world, key, id)?;
        }
        if let Some(text) = text {
            let state = CommentState::Open;
            let new = New {
                text,
                author,
                parent: None,
                blocker: false,
                state,
                anchored: None,
            };
            insert(&call.app, &mut world, key, new)?;
        }
    }
    if let Some(status) = body.participant_status.as_deref().and_then(ReviewStatus::parse) {
        give_opinion(&call, status, body.last_reviewed_commit)
    } else {
        let world = call.app.world();
        let key = call.pull_request(&world, Level::Read)?;
        Ok(Answer::ok(call.render(&world).pull_request(key)))
    }
}

/// `DELETE {PR}/review`: throws the caller's pending comments away.
pub(crate) async fn discard(call: Call) -> Reply {
    let mut world = call.app.change();
    let key = call.pull_request(&world, Level::Read)?;
    let author = call.caller()?.user;
    let pr = world.pull_request_mut(key)?;
    pr.comments
        .retain(|_, comment| comment.state != CommentState::Pending || comment.author != author);
    Ok(Answer::no_content())
}
