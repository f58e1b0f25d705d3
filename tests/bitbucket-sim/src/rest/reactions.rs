//! Reactions (bitbucket-dc.md 3.7). No webhook tells of them.

use super::comments::find;
use crate::entity::Render;
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::json::{Json, object};
use crate::state::comment::Comment;
use crate::state::ids::PullRequestKey;
use crate::state::permission::Level;

/// The longest shortcut there is is shorter than this.
const SHORTCUT_CHARS_MAX: usize = 64;

/// `PUT …/reactions/{emoticon}`: again is the same as once.
pub(crate) async fn add(call: Call) -> Reply {
    let mut world = call.app.change();
    let key = call.pull_request(&world, Level::Read)?;
    let user = call.caller()?.user;
    let id = find(&call, &world, key)?.id;
    let shortcut = shortcut(&call)?;
    if let Some(comment) = world.pull_request_mut(key)?.comments.get_mut(&id) {
        comment
            .reactions
            .entry(shortcut.clone())
            .or_default()
            .insert(user);
    }
    let comment = find(&call, &world, key)?;
    Ok(Answer::ok(entity(
        call.render(&world),
        key,
        comment,
        &shortcut,
        user,
    )))
}

/// `DELETE …/reactions/{emoticon}`
pub(crate) async fn remove(call: Call) -> Reply {
    let mut world = call.app.change();
    let key = call.pull_request(&world, Level::Read)?;
    let user = call.caller()?.user;
    let id = find(&call, &world, key)?.id;
    let shortcut = shortcut(&call)?;
    if let Some(comment) = world.pull_request_mut(key)?.comments.get_mut(&id) {
        if let Some(users) = comment.reactions.get_mut(&shortcut) {
            users.remove(&user);
        }
        comment.reactions.retain(|_, users| !users.is_empty());
    }
    Ok(Answer::no_content())
}

fn shortcut(call: &Call) -> Result<String, RestError> {
    let text = call.param("emoticon");
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+');
    if text.is_empty() || text.chars().count() > SHORTCUT_CHARS_MAX || !text.chars().all(known) {
        return Err(RestError::invalid("emoticon", format!("{text} is no emoticon")));
    }
    Ok(text.to_owned())
}

fn entity(
    render: Render<'_>,
    key: PullRequestKey,
    comment: &Comment,
    shortcut: &str,
    user: crate::state::ids::UserId,
) -> Json {
    // The comment is shown as it was made, without its reactions.
    let comment = Comment {
        reactions: std::collections::BTreeMap::new(),
        ..comment.clone()
    };
    object! {
        "comment": render.bare_comment(key, &comment),
        "emoticon": crate::entity::emoticon(shortcut),
        "user": render.user(user),
    }
}
