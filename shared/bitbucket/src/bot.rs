//! Who the token belongs to (bitbucket-dc.md 3.4): there is no endpoint, but every answer says it in a header.

use std::ops::ControlFlow;

use percent_encoding::percent_decode_str;
use pipeline::event::Person;

use crate::answer::X_AUSERNAME;
use crate::client::Client;
use crate::error::Error;
use crate::reading;
use crate::route;

/// Users per page when looking for the bot.
const USERS_PER_PAGE: u32 = 100;

/// The user behind the token. Tokens of projects and repositories act as service users, which have neither e-mail nor
/// a page (bitbucket-dc.md 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bot {
    /// The name that mentions use.
    pub name: String,
    /// The slug that REST paths use.
    pub slug: Option<String>,
    /// Numeric id; stays when the user is renamed.
    pub id: Option<u64>,
    /// What people see; the name where there is nothing else.
    pub display_name: String,
    /// Where it is not hidden.
    pub email: Option<String>,
}

impl Bot {
    /// Whether a comment's author or an event's actor is the bot: by id, or by name where an id is missing.
    pub fn is(&self, person: &Person) -> bool {
        match (self.id, person.id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.name == person.name,
        }
    }

    fn from_person(person: Person) -> Self {
        Self {
            display_name: person.display_name.unwrap_or_else(|| person.name.clone()),
            name: person.name,
            slug: person.slug,
            id: person.id,
            email: person.email,
        }
    }
}

impl Client {
    /// The bot; asked for at most once an hour.
    pub async fn bot(&self) -> Result<Bot, Error> {
        self.inner.bot.get_or_learn(|_| true, self.learn_bot()).await
    }

    /// Asks Bitbucket now whether the connection can be used: whether it is reached and trusted, and takes the token.
    pub async fn check(&self) -> Result<(), Error> {
        self.whose_token().await.map(drop)
    }

    /// Name and id of the user whom Bitbucket takes us for.
    async fn whose_token(&self) -> Result<(String, Option<u64>), Error> {
        let (headers, _) = self
            .get_with_headers(route::APPLICATION_PROPERTIES, &[], &[])
            .await?;
        let header = |name| {
            headers
                .get(name)
                .and_then(|value: &http::HeaderValue| value.to_str().ok())
        };
        // The path is open to everyone, so an answer without the header is one to nobody.
        let Some(name) = header(X_AUSERNAME).filter(|name| !name.is_empty()) else {
            return Err(Error::Unauthorized {
                message: "the answer names no user".to_owned(),
            });
        };
        let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
        let id = header("x-auserid").and_then(|id| id.trim().parse().ok());
        Ok((name, id))
    }

    async fn learn_bot(&self) -> Result<Bot, Error> {
        let (name, id) = self.whose_token().await?;
        if let Some(expected) = self
            .inner
            .bot_user
            .as_ref()
            .filter(|user| !user.eq_ignore_ascii_case(&name))
        {
            tracing::warn!(configured = %expected, actual = %name, "the token belongs to another user than `bot_user`");
        }
        let user = self.find_user(&name).await?;
        Ok(user.map_or_else(
            || Bot {
                display_name: name.clone(),
                name,
                slug: None,
                id,
                email: None,
            },
            Bot::from_person,
        ))
    }

    /// The user of exactly this name. Its slug is not known, so it is looked for (the filter finds names that only
    /// contain it, too). `None` for service users and where the bot may not list users.
    async fn find_user(&self, name: &str) -> Result<Option<Person>, Error> {
        let mut found = None;
        let looked = self
            .pages(route::USERS, &[], &[("filter", name)], USERS_PER_PAGE, |users| {
                found = users
                    .iter()
                    .filter_map(reading::person)
                    .find(|user| user.name == name);
                Ok(if found.is_some() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })
            .await;
        match looked {
            Ok(_) => Ok(found),
            Err(Error::Forbidden { .. } | Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
