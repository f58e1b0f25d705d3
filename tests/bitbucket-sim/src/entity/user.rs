//! Users and access tokens.

use super::{Render, self_link};
use crate::json::{Json, object};
use crate::state::ids::UserId;
use crate::state::user::{Token, User};

impl Render<'_> {
    /// A user entity; null for a deleted one.
    pub(crate) fn user(&self, id: UserId) -> Json {
        match self.world.users.get(&id) {
            Some(user) if !user.deleted => self.user_entity(user),
            _ => Json::Null,
        }
    }

    /// A user entity; a missing e-mail is left out.
    pub(crate) fn user_entity(&self, user: &User) -> Json {
        object! { "name": &user.name }
            .with_some("emailAddress", user.email.as_ref())
            .with("active", user.active)
            .with("displayName", &user.display_name)
            .with("id", user.id)
            .with("slug", &user.slug)
            .with("type", if user.service { "SERVICE" } else { "NORMAL" })
            .with(
                "links",
                self_link(format!("{}/users/{}", self.base_url, user.slug)),
            )
    }
}

/// An access token; its secret is shown once, when it is made.
pub(crate) fn token(render: Render<'_>, token: &Token, secret: bool) -> Json {
    object! {
        "id": &token.id,
        "createdDate": Json::Time(token.created),
        "name": &token.name,
        "permissions": token.permissions.clone(),
        "user": render.user(token.owner),
    }
    .with_some("expiryDate", token.expires)
    .with_some("token", secret.then_some(&token.secret))
}
