//! Tasks: comments of severity `BLOCKER`.

use super::comments;
use crate::http::answer::{Answer, Reply};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::object;
use crate::state::comment::{Comment, CommentState};
use crate::state::permission::Level;

/// `GET {PR}/blocker-comments`; with `count=true` only how many are open and resolved.
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let key = call.pull_request(&world, Level::Read)?;
    let viewer = Some(call.caller()?.user);
    let pr = world.pull_request(key)?;
    if call.query.flag("count") {
        let count = |state| {
            pr.comments
                .values()
                .filter(|c| c.blocker && c.state == state)
                .count()
        };
        let (open, resolved) = (count(CommentState::Open), count(CommentState::Resolved));
        return Ok(Answer::ok(object! { "OPEN": open, "RESOLVED": resolved }));
    }
    let states: Vec<&str> = call.query.all("states").chain(call.query.all("state")).collect();
    let wanted = |comment: &&Comment| {
        comment.blocker
            && comment.visible_to(viewer)
            && (states.is_empty()
                || states
                    .iter()
                    .any(|state| state.eq_ignore_ascii_case(comment.state.name())))
    };
    let render = call.render(&world);
    let tasks = pr
        .comments
        .values()
        .filter(wanted)
        .map(|comment| render.comment(key, pr, comment))
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(tasks)))
}

/// `POST {PR}/blocker-comments`
pub(crate) async fn create(call: Call) -> Reply {
    comments::create_with(call, true).await
}
