//! Takes what a document describes into the world, at once.

use std::collections::BTreeMap;

use anyhow::Context;

use super::document::{Document, ProjectDoc, PullRequestDoc, RepositoryDoc, UserDoc};
use super::load::{Staged, default_branch, key_of};
use crate::app::App;
use crate::effects;
use crate::json::{Json, object};
use crate::rest::pull_requests::{NewPullRequest, open};
use crate::state::ids::{ProjectId, PullRequestKey, RepositoryId, UserId};
use crate::state::permission::{Grants, Permission};
use crate::state::pull_request::RefEnd;
use crate::state::repository::{Project, Repository};
use crate::state::user::{Token, TokenScope, User, user_slug};
use crate::state::world::{World, next};

/// Takes everything into the world, at once.
pub(super) fn take(
    app: &App,
    document: &Document,
    staged: &Staged,
) -> anyhow::Result<(Json, Vec<PullRequestKey>)> {
    let now = app.now();
    let mut world = app.change();
    if let Some(server) = document.server {
        world.server = server;
    }
    let users: Vec<Json> = document
        .users
        .iter()
        .map(|doc| take_user(&mut world, doc, document, now))
        .collect();
    for group in &document.groups {
        let members: Vec<UserId> = group
            .members
            .iter()
            .filter_map(|name| Some(world.user_named(name)?.id))
            .collect();
        world
            .groups
            .entry(group.name.clone())
            .or_default()
            .extend(members);
    }
    let mut projects = Vec::new();
    for doc in &document.projects {
        let id = take_project(&mut world, doc);
        projects.push(object! { "key": &doc.key, "id": id });
    }
    let mut repositories = Vec::new();
    for doc in &document.repositories {
        let id = take_repository(&mut world, doc, staged)?;
        let render = app.render(&world);
        let repository = &world.repositories[&id];
        let short = |name: &String| name.strip_prefix("refs/heads/").map(str::to_owned);
        let branches = repository
            .refs
            .iter()
            .filter_map(|(name, id)| Some((short(name)?, Json::from(id))))
            .collect();
        repositories.push(object! {
            "project": &doc.project,
            "slug": &doc.slug,
            "id": id,
            "clone_url": render.clone_url(repository),
            "branches": Json::Object(branches),
        });
    }
    let mut keys = Vec::new();
    let mut pull_requests = Vec::new();
    for doc in &document.pull_requests {
        let key = take_pull_request(app, &mut world, doc, now)?;
        let pr = world
            .pull_request(key)
            .map_err(|_| anyhow::anyhow!("a new pull request is missing"))?;
        pull_requests.push(object! {
            "repository": &doc.repository,
            "id": key.id,
            "url": app.render(&world).pull_request_page(key),
            "from_commit": &pr.from.commit,
            "to_commit": &pr.to.commit,
        });
        keys.push(key);
    }
    let answer = object! {
        "users": users, "projects": projects, "repositories": repositories, "pull_requests": pull_requests,
    };
    Ok((answer, keys))
}

fn take_user(world: &mut World, doc: &UserDoc, document: &Document, now: i64) -> Json {
    let given = |id| document.users.iter().any(|other| other.id == Some(id));
    let known = world.user_named(&doc.name).cloned();
    let id = known
        .as_ref()
        .map(|user| user.id)
        .or(doc.id.map(UserId))
        .unwrap_or_else(|| {
            let mut id = next(&mut world.last.user);
            while world.users.contains_key(&UserId(id)) || given(id) {
                id = next(&mut world.last.user);
            }
            UserId(id)
        });
    let mut user = known.unwrap_or_else(|| User {
        id,
        name: doc.name.clone(),
        slug: user_slug(&doc.name),
        display_name: doc.name.clone(),
        email: None,
        password: None,
        admin: false,
        active: true,
        service: false,
        deleted: false,
    });
    user.slug = doc.slug.clone().unwrap_or(user.slug);
    user.display_name = doc.display_name.clone().unwrap_or(user.display_name);
    user.email = doc.email.clone().or(user.email);
    user.password = doc.password.clone().or(user.password);
    user.admin |= doc.admin;
    user.active = doc.active.unwrap_or(user.active);
    world.users.insert(id, user);
    for token in &doc.tokens {
        let number = next(&mut world.last.token);
        let name = token
            .name
            .clone()
            .unwrap_or_else(|| format!("{}-{number}", doc.name));
        world.tokens.retain(|known| known.secret != token.token);
        world.tokens.push(Token {
            id: number.to_string(),
            name,
            secret: token.token.clone(),
            owner: id,
            scope: TokenScope::User,
            permissions: vec![token.permission.clone()],
            created: now,
            expires: None,
        });
    }
    object! { "name": &doc.name, "id": id }
}

fn take_project(world: &mut World, doc: &ProjectDoc) -> ProjectId {
    let id = match world.project_by_key(&doc.key) {
        Some(project) => project.id,
        None => new_project(world, &doc.key, doc.id, doc.name.clone(), doc.description.clone()),
    };
    let grants = grants(world, &doc.permissions);
    if let Some(project) = world.projects.get_mut(&id) {
        project.permissions.users.extend(grants.users);
        project.permissions.groups.extend(grants.groups);
    }
    id
}

/// Adds a project; `~name` belongs to that user.
pub(crate) fn new_project(
    world: &mut World,
    key: &str,
    id: Option<u64>,
    name: Option<String>,
    description: Option<String>,
) -> ProjectId {
    let id = ProjectId(
        id.filter(|id| !world.projects.contains_key(&ProjectId(*id)))
            .unwrap_or_else(|| {
                let mut id = next(&mut world.last.project);
                while world.projects.contains_key(&ProjectId(id)) {
                    id = next(&mut world.last.project);
                }
                id
            }),
    );
    let owner = key.strip_prefix('~').and_then(|name| world.user_named(name));
    let name = name
        .or_else(|| owner.map(|owner| owner.display_name.clone()))
        .unwrap_or_else(|| key.to_owned());
    let project = Project {
        id,
        key: key.to_ascii_uppercase(),
        name,
        description,
        owner: owner.map(|owner| owner.id),
        permissions: Grants::default(),
        webhooks: Vec::new(),
    };
    world.projects.insert(id, project);
    id
}

fn grants(world: &World, permissions: &BTreeMap<String, String>) -> Grants {
    let mut grants = Grants::default();
    for (who, permission) in permissions {
        let Some(permission) = Permission::parse(permission) else {
            continue;
        };
        match who.strip_prefix('@') {
            Some(group) => {
                grants.groups.insert(group.to_owned(), permission.level);
            }
            None => {
                grants
                    .users
                    .extend(world.user_named(who).map(|user| (user.id, permission.level)));
            }
        }
    }
    grants
}

fn take_repository(world: &mut World, doc: &RepositoryDoc, staged: &Staged) -> anyhow::Result<RepositoryId> {
    let id = *staged
        .ids
        .get(&key_of(&doc.project, &doc.slug))
        .context("a repository was not built")?;
    let project = match world.project_by_key(&doc.project) {
        Some(project) => project.id,
        None => new_project(world, &doc.project, None, None, None),
    };
    let fork_of = doc.fork_of.as_ref().and_then(|origin| {
        let (key, slug) = origin.split_once('/')?;
        Some(world.repository_by_slug(key, slug)?.id)
    });
    let refs = staged.refs.get(&id).cloned().unwrap_or_default();
    let grants = grants(world, &doc.permissions);
    let repository = world.repositories.entry(id).or_insert_with(|| Repository {
        id,
        project,
        slug: doc.slug.to_ascii_lowercase(),
        name: doc.name.clone().unwrap_or_else(|| doc.slug.clone()),
        description: doc.description.clone(),
        fork_of,
        public: doc.public,
        archived: doc.archived,
        http_clone: doc.http_clone,
        default_branch: default_branch(doc),
        refs: BTreeMap::new(),
        permissions: Grants::default(),
        webhooks: Vec::new(),
        pull_requests: BTreeMap::new(),
        last_pull_request: 0,
        builds: Vec::new(),
        reports: Vec::new(),
    });
    repository.refs = refs;
    repository.permissions.users.extend(grants.users);
    repository.permissions.groups.extend(grants.groups);
    Ok(id)
}

fn take_pull_request(
    app: &App,
    world: &mut World,
    doc: &PullRequestDoc,
    now: i64,
) -> anyhow::Result<PullRequestKey> {
    let end = |world: &World, name: &str, branch: &str| {
        let (key, slug) = name.split_once('/')?;
        let repository = world.repository_by_slug(key, slug)?;
        let name = format!("refs/heads/{branch}");
        let commit = repository.refs.get(&name)?.clone();
        Some(RefEnd {
            repository: repository.id,
            name,
            commit,
        })
    };
    let source = doc.from_repository.as_ref().unwrap_or(&doc.repository);
    let from = end(world, source, &doc.from).context("the source branch is missing")?;
    let to = end(world, &doc.repository, &doc.to).context("the target branch is missing")?;
    let user = |world: &World, name: &str| {
        world
            .user_named(name)
            .map(|user| user.id)
            .context("a user is missing")
    };
    let new = NewPullRequest {
        id: doc.id,
        title: doc.title.clone(),
        description: doc.description.clone(),
        draft: doc.draft,
        from,
        to,
        author: user(world, &doc.author)?,
        reviewers: doc
            .reviewers
            .iter()
            .map(|name| user(world, name))
            .collect::<anyhow::Result<_>>()?,
    };
    open(app, world, new, now)
        .map_err(|_| anyhow::anyhow!("the pull request {:?} cannot be opened", doc.title))
}

/// The refs a new pull request has in git.
pub(crate) async fn settle(app: &App, key: PullRequestKey) -> anyhow::Result<()> {
    let source = {
        let world = app.world();
        world
            .pull_request(key)
            .ok()
            .map(|pr| (pr.from.repository, pr.from.commit.clone()))
    };
    if let Some((repository, commit)) = source {
        app.store().set_from_ref(key, repository, &commit).await?;
        effects::refresh_merge_ref(app, key).await?;
    }
    Ok(())
}
