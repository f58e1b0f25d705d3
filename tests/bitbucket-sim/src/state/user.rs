//! Users, their access tokens, and who is calling.

use super::ids::{ProjectId, RepositoryId, UserId};
use super::permission::{Level, Permission};

/// A user of the instance; project and repository tokens act as one of type `SERVICE`.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a user")]
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) display_name: String,
    pub(crate) email: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) admin: bool,
    pub(crate) active: bool,
    pub(crate) service: bool,
    /// Deleted users stay as authors that answers show as null.
    pub(crate) deleted: bool,
}

/// The slug Bitbucket makes of a user name: lower case, everything unusual becomes `_`.
pub(crate) fn user_slug(name: &str) -> String {
    name.chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') => c,
            _ => '_',
        })
        .collect()
}

/// What a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenScope {
    User,
    Project(ProjectId),
    Repository(RepositoryId),
}

/// An HTTP access token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) owner: UserId,
    pub(crate) scope: TokenScope,
    pub(crate) permissions: Vec<String>,
    pub(crate) created: i64,
    pub(crate) expires: Option<i64>,
}

impl Token {
    /// The most it allows on a repository; a project permission includes the repository one.
    pub(crate) fn on_repository(&self) -> Option<Level> {
        self.permissions
            .iter()
            .filter_map(|name| Permission::parse(name))
            .map(|p| p.level)
            .max()
    }

    /// The most it allows on a project. Repository permissions let a project only be seen.
    pub(crate) fn on_project(&self) -> Option<Level> {
        let level = |name: &String| {
            let permission = Permission::parse(name)?;
            Some(if permission.on_project {
                permission.level
            } else {
                Level::Read
            })
        };
        self.permissions.iter().filter_map(level).max()
    }
}

/// Who sent a request, and how they proved it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user: UserId,
    pub(crate) name: String,
    /// `Bearer` or `Basic`.
    pub(crate) scheme: &'static str,
    /// The token used; `None` for a password.
    pub(crate) token: Option<Token>,
}
