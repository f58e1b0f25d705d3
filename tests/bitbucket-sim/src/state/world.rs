//! Everything the instance knows, and how things are found in it.

use std::collections::{BTreeMap, BTreeSet};

use super::activity::{Action, Activity};
use super::ids::{CommentId, ProjectId, PullRequestKey, RepositoryId, UserId};
use super::pull_request::PullRequest;
use super::repository::{Project, Repository};
use super::user::{Token, User};
use crate::http::answer::RestError;

/// The whole state.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) users: BTreeMap<UserId, User>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) groups: BTreeMap<String, BTreeSet<UserId>>,
    pub(crate) projects: BTreeMap<ProjectId, Project>,
    pub(crate) repositories: BTreeMap<RepositoryId, Repository>,
    /// Old project key and slug (lower case) of a renamed repository.
    pub(crate) former_names: BTreeMap<(String, String), RepositoryId>,
    pub(crate) server: ServerSwitches,
    pub(crate) rate_limit: RateLimitSettings,
    pub(crate) last: LastIds,
}

/// How this instance differs from the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerSwitches {
    /// Status of a created webhook: 201, or 200 as the specification has it.
    pub(crate) webhook_create_status: u16,
    /// Whether the database stores characters of four bytes; MySQL-backed instances may not.
    pub(crate) four_byte_characters: bool,
    /// Whether a database that does not store them puts `?` in their place instead of failing, a byte each.
    pub(crate) four_byte_replaced: bool,
}

impl Default for ServerSwitches {
    fn default() -> ServerSwitches {
        ServerSwitches {
            webhook_create_status: 201,
            four_byte_characters: true,
            four_byte_replaced: false,
        }
    }
}

/// The admin's rate limit settings (bitbucket-dc.md 3.3).
#[derive(Clone, Debug)]
pub(crate) struct RateLimitSettings {
    pub(crate) enabled: bool,
    pub(crate) capacity: u32,
    pub(crate) fill_rate: u32,
    /// Users with their own settings; `None` is exempt.
    pub(crate) users: BTreeMap<UserId, Option<(u32, u32)>>,
}

impl Default for RateLimitSettings {
    fn default() -> RateLimitSettings {
        RateLimitSettings {
            enabled: false,
            capacity: 60,
            fill_rate: 5,
            users: BTreeMap::new(),
        }
    }
}

/// The last number given out, per kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastIds {
    pub(crate) user: u64,
    pub(crate) project: u64,
    pub(crate) repository: u64,
    pub(crate) comment: u64,
    pub(crate) activity: u64,
    pub(crate) webhook: u64,
    pub(crate) token: u64,
}

/// The next number after `last`, remembered.
pub(crate) fn next(last: &mut u64) -> u64 {
    *last += 1;
    *last
}

impl World {
    /// The user with this name, ignoring case as Bitbucket does.
    pub(crate) fn user_named(&self, name: &str) -> Option<&User> {
        self.users
            .values()
            .find(|user| !user.deleted && user.name.eq_ignore_ascii_case(name))
    }

    /// The user a REST path names; paths carry the slug, not the name.
    pub(crate) fn user_by_slug(&self, slug: &str) -> Result<&User, RestError> {
        self.users
            .values()
            .find(|user| !user.deleted && user.slug.eq_ignore_ascii_case(slug))
            .ok_or_else(|| RestError::no_such_user(slug))
    }

    /// The project with this key, ignoring case.
    pub(crate) fn project_by_key(&self, key: &str) -> Option<&Project> {
        self.projects
            .values()
            .find(|project| project.key.eq_ignore_ascii_case(key))
    }

    /// The repository with this key and slug, ignoring case.
    pub(crate) fn repository_by_slug(&self, key: &str, slug: &str) -> Option<&Repository> {
        let project = self.project_by_key(key)?.id;
        self.repositories
            .values()
            .find(|r| r.project == project && r.slug.eq_ignore_ascii_case(slug))
    }

    /// The repository with this id; the error is for one deleted meanwhile.
    pub(crate) fn repository(&self, id: RepositoryId) -> Result<&Repository, RestError> {
        self.repositories
            .get(&id)
            .ok_or_else(|| RestError::no_such_repository("?", &id.to_string()))
    }

    /// As [`World::repository`], to change it.
    pub(crate) fn repository_mut(&mut self, id: RepositoryId) -> Result<&mut Repository, RestError> {
        self.repositories
            .get_mut(&id)
            .ok_or_else(|| RestError::no_such_repository("?", &id.to_string()))
    }

    /// The project a repository is in.
    pub(crate) fn project_of(&self, repository: &Repository) -> Result<&Project, RestError> {
        self.projects
            .get(&repository.project)
            .ok_or_else(|| RestError::no_such_project(&repository.project.to_string()))
    }

    /// `KEY/slug`, as Bitbucket's messages name a repository.
    pub(crate) fn full_name(&self, id: RepositoryId) -> String {
        let name = |repository: &Repository| {
            let project = self.projects.get(&repository.project)?;
            Some(format!("{}/{}", project.key, repository.slug))
        };
        self.repositories
            .get(&id)
            .and_then(name)
            .unwrap_or_else(|| id.to_string())
    }

    /// The pull request at this place.
    pub(crate) fn pull_request(&self, key: PullRequestKey) -> Result<&PullRequest, RestError> {
        let found = self
            .repositories
            .get(&key.repository)
            .and_then(|r| r.pull_requests.get(&key.id));
        found.ok_or_else(|| RestError::no_such_pull_request(key.id, &self.full_name(key.repository)))
    }

    /// As [`World::pull_request`], to change it.
    pub(crate) fn pull_request_mut(&mut self, key: PullRequestKey) -> Result<&mut PullRequest, RestError> {
        let name = self.full_name(key.repository);
        self.repositories
            .get_mut(&key.repository)
            .and_then(|r| r.pull_requests.get_mut(&key.id))
            .ok_or_else(|| RestError::no_such_pull_request(key.id, &name))
    }

    /// Adds to a pull request's history.
    pub(crate) fn record(
        &mut self,
        key: PullRequestKey,
        user: UserId,
        at: i64,
        action: Action,
    ) -> Result<(), RestError> {
        let id = next(&mut self.last.activity);
        let activity = Activity {
            id,
            created: at,
            user,
            action,
        };
        self.pull_request_mut(key)?.activities.push(activity);
        Ok(())
    }

    /// A new comment number.
    pub(crate) fn next_comment(&mut self) -> CommentId {
        CommentId(next(&mut self.last.comment))
    }

    /// Open pull requests with this branch as source or target.
    pub(crate) fn open_pull_requests_on(&self, repository: RepositoryId, name: &str) -> Vec<PullRequestKey> {
        let touches = |pr: &&PullRequest| {
            let is = |end: &super::pull_request::RefEnd| end.repository == repository && end.name == name;
            pr.is_open() && (is(&pr.from) || is(&pr.to))
        };
        self.repositories
            .values()
            .flat_map(|r| {
                r.pull_requests.values().filter(touches).map(|pr| PullRequestKey {
                    repository: r.id,
                    id: pr.id,
                })
            })
            .collect()
    }
}
