//! How things look in JSON; keys, nesting and order as in the fixtures.

mod activity;
mod comment;
mod commit;
mod diff;
mod pull_request;
mod repository;
mod user;
mod webhook;

use crate::state::ids::UserId;
use crate::state::world::World;

pub(crate) use comment::{anchor, emoticon};
pub(crate) use commit::commit;
pub(crate) use diff::{change, diff, path};
pub(crate) use repository::branch;
pub(crate) use user::token;
pub(crate) use webhook::webhook;

/// Renders parts of a world for one viewer.
#[derive(Clone, Copy)]
pub(crate) struct Render<'w> {
    pub(crate) world: &'w World,
    pub(crate) base_url: &'w str,
    /// Whose permissions and clone links are shown; nobody in webhooks.
    pub(crate) viewer: Option<UserId>,
}

/// `links` with only `self`.
pub(crate) fn self_link(href: String) -> crate::json::Json {
    use crate::json::object;
    object! { "self": vec![object! { "href": href }] }
}
