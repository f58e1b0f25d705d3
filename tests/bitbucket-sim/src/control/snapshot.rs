//! The world as a document: what `GET /sim/v1/world` returns.

use std::collections::BTreeMap;

use super::document::{
    BranchDoc, Document, GroupDoc, ProjectDoc, PullRequestDoc, RepositoryDoc, TokenDoc, UserDoc,
};
use crate::state::permission::Grants;
use crate::state::pull_request::PullRequest;
use crate::state::repository::Repository;
use crate::state::user::{TokenScope, User};
use crate::state::world::World;

/// The document that describes the world; branches have their commit instead of files.
pub(crate) fn document(world: &World) -> Document {
    let group = |(name, members): (&String, &std::collections::BTreeSet<_>)| GroupDoc {
        name: name.clone(),
        members: members
            .iter()
            .filter_map(|id| Some(world.users.get(id)?.name.clone()))
            .collect(),
    };
    Document {
        users: world
            .users
            .values()
            .filter(|user| !user.deleted && !user.service)
            .map(|u| user(world, u))
            .collect(),
        groups: world.groups.iter().map(group).collect(),
        projects: world
            .projects
            .values()
            .map(|project| ProjectDoc {
                key: project.key.clone(),
                id: Some(project.id.0),
                name: Some(project.name.clone()),
                description: project.description.clone(),
                permissions: grants(world, &project.permissions, true),
            })
            .collect(),
        repositories: world
            .repositories
            .values()
            .map(|r| repository(world, r))
            .collect(),
        pull_requests: world
            .repositories
            .values()
            .flat_map(|r| r.pull_requests.values().map(|pr| pull_request(world, r, pr)))
            .collect(),
        server: Some(world.server),
    }
}

fn user(world: &World, user: &User) -> UserDoc {
    let own = world
        .tokens
        .iter()
        .filter(|token| token.owner == user.id && token.scope == TokenScope::User);
    UserDoc {
        name: user.name.clone(),
        id: Some(user.id.0),
        slug: Some(user.slug.clone()),
        display_name: Some(user.display_name.clone()),
        email: user.email.clone(),
        password: user.password.clone(),
        admin: user.admin,
        active: Some(user.active),
        tokens: own
            .map(|token| TokenDoc {
                token: token.secret.clone(),
                permission: token.permissions.first().cloned().unwrap_or_default(),
                name: Some(token.name.clone()),
            })
            .collect(),
    }
}

fn grants(world: &World, grants: &Grants, on_project: bool) -> BTreeMap<String, String> {
    let name = |level: crate::state::permission::Level| {
        if on_project {
            level.on_project()
        } else {
            level.on_repository()
        }
        .to_owned()
    };
    let users = grants
        .users
        .iter()
        .filter_map(|(id, level)| Some((world.users.get(id)?.name.clone(), name(*level))));
    let groups = grants
        .groups
        .iter()
        .map(|(group, level)| (format!("@{group}"), name(*level)));
    users.chain(groups).collect()
}

fn repository(world: &World, repository: &Repository) -> RepositoryDoc {
    let branch = |(name, commit): (&String, &String)| {
        let short = name.strip_prefix("refs/heads/")?;
        Some((
            short.to_owned(),
            BranchDoc {
                commit: Some(commit.clone()),
                ..BranchDoc::default()
            },
        ))
    };
    RepositoryDoc {
        project: world
            .projects
            .get(&repository.project)
            .map(|p| p.key.clone())
            .unwrap_or_default(),
        slug: repository.slug.clone(),
        id: Some(repository.id.0),
        name: Some(repository.name.clone()),
        description: repository.description.clone(),
        default_branch: Some(repository.default_branch.clone()),
        branches: repository.refs.iter().filter_map(branch).collect(),
        fork_of: repository.fork_of.map(|origin| world.full_name(origin)),
        public: repository.public,
        archived: repository.archived,
        http_clone: repository.http_clone,
        permissions: grants(world, &repository.permissions, false),
        ..RepositoryDoc::default()
    }
}

fn pull_request(world: &World, repository: &Repository, pr: &PullRequest) -> PullRequestDoc {
    let name = |id| {
        world
            .users
            .get(&id)
            .map(|user| user.name.clone())
            .unwrap_or_default()
    };
    PullRequestDoc {
        repository: world.full_name(repository.id),
        id: Some(pr.id.0),
        from: pr.from.display_id().to_owned(),
        to: pr.to.display_id().to_owned(),
        from_repository: (pr.from.repository != repository.id).then(|| world.full_name(pr.from.repository)),
        author: name(pr.author),
        title: pr.title.clone(),
        description: pr.description.clone(),
        reviewers: pr.reviewers.iter().map(|reviewer| name(reviewer.user)).collect(),
        draft: pr.draft,
        state: Some(pr.state.name().to_owned()),
    }
}
