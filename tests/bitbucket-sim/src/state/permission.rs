//! Who may do what: grants, levels, and the effective permission (bitbucket-dc.md 3.4).

use std::collections::BTreeMap;

use super::ids::{ProjectId, RepositoryId, UserId};
use super::user::{Caller, TokenScope, User};
use super::world::World;

/// Read, write or administer; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Read,
    Write,
    Admin,
}

/// A permission by Bitbucket's name, such as `REPO_WRITE` or `PROJECT_ADMIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permission {
    pub(crate) on_project: bool,
    pub(crate) level: Level,
}

impl Permission {
    /// Parses Bitbucket's name; `None` for any other word.
    pub(crate) fn parse(name: &str) -> Option<Permission> {
        let (on_project, level) = match name.strip_prefix("PROJECT_") {
            Some(level) => (true, level),
            None => (false, name.strip_prefix("REPO_")?),
        };
        let level = match level {
            "READ" => Level::Read,
            "WRITE" => Level::Write,
            "ADMIN" => Level::Admin,
            _ => return None,
        };
        Some(Permission { on_project, level })
    }
}

impl Level {
    /// `REPO_…` as Bitbucket spells it.
    pub(crate) fn on_repository(self) -> &'static str {
        match self {
            Level::Read => "REPO_READ",
            Level::Write => "REPO_WRITE",
            Level::Admin => "REPO_ADMIN",
        }
    }

    /// `PROJECT_…` as Bitbucket spells it.
    pub(crate) fn on_project(self) -> &'static str {
        match self {
            Level::Read => "PROJECT_READ",
            Level::Write => "PROJECT_WRITE",
            Level::Admin => "PROJECT_ADMIN",
        }
    }
}

/// Direct grants on one project or repository.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants {
    pub(crate) users: BTreeMap<UserId, Level>,
    pub(crate) groups: BTreeMap<String, Level>,
}

impl Grants {
    /// The highest grant for this user, directly or through a group.
    fn level(&self, world: &World, user: UserId) -> Option<Level> {
        let through_groups = self
            .groups
            .iter()
            .filter(|(name, _)| {
                world
                    .groups
                    .get(*name)
                    .is_some_and(|members| members.contains(&user))
            })
            .map(|(_, level)| *level);
        self.users
            .get(&user)
            .copied()
            .into_iter()
            .chain(through_groups)
            .max()
    }
}

impl World {
    /// What this user may do in the project: direct, group, ownership, admin.
    pub(crate) fn user_on_project(&self, user: &User, project: ProjectId) -> Option<Level> {
        let project = self.projects.get(&project)?;
        if user.admin || project.owner == Some(user.id) {
            return Some(Level::Admin);
        }
        project.permissions.level(self, user.id)
    }

    /// What this user may do in the repository: the maximum of all grants.
    pub(crate) fn user_on_repository(&self, user: &User, repository: RepositoryId) -> Option<Level> {
        let repository = self.repositories.get(&repository)?;
        let public = repository.public.then_some(Level::Read);
        self.user_on_project(user, repository.project)
            .max(repository.permissions.level(self, user.id))
            .max(public)
    }

    /// What this caller may do in the project, bounded by the token.
    pub(crate) fn caller_on_project(&self, caller: &Caller, project: ProjectId) -> Option<Level> {
        let user = self.users.get(&caller.user)?;
        let Some(token) = &caller.token else {
            return self.user_on_project(user, project);
        };
        match token.scope {
            TokenScope::User => self.user_on_project(user, project).min(token.on_project()),
            TokenScope::Project(own) if own == project => token.on_project(),
            TokenScope::Project(_) | TokenScope::Repository(_) => None,
        }
    }

    /// What this caller may do in the repository, bounded by the token.
    pub(crate) fn caller_on_repository(&self, caller: &Caller, repository: RepositoryId) -> Option<Level> {
        let user = self.users.get(&caller.user)?;
        let Some(token) = &caller.token else {
            return self.user_on_repository(user, repository);
        };
        let project = self.repositories.get(&repository)?.project;
        match token.scope {
            TokenScope::User => self
                .user_on_repository(user, repository)
                .min(token.on_repository()),
            TokenScope::Project(own) if own == project => token.on_repository(),
            TokenScope::Repository(own) if own == repository => token.on_repository(),
            TokenScope::Project(_) | TokenScope::Repository(_) => None,
        }
    }

    /// Whether the caller administers the instance; a token never does (bitbucket-dc.md 4.1).
    pub(crate) fn is_administrator(&self, caller: &Caller) -> bool {
        caller.token.is_none() && self.users.get(&caller.user).is_some_and(|user| user.admin)
    }
}
