//! Repositories: list, create, fork, rename, archive, delete.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::git::import;
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::state::ids::{ProjectId, RepositoryId};
use crate::state::permission::{Grants, Level, Permission};
use crate::state::repository::{HttpClone, Repository};
use crate::state::user::user_slug;
use crate::state::world::{World, next};

/// `GET /rest/api/latest/repos?projectkey=&name=&permission=&archived=`
pub(crate) async fn search(call: Call) -> Reply {
    let world = call.app.world();
    let caller = call.caller()?;
    let need = call
        .query
        .get("permission")
        .and_then(Permission::parse)
        .map_or(Level::Read, |p| p.level);
    let name = call.query.get("name").unwrap_or_default().to_lowercase();
    let key = call.query.get("projectkey");
    let project_name = call.query.get("projectname").map(str::to_lowercase);
    let archived = call
        .query
        .get("archived")
        .unwrap_or("ACTIVE")
        .to_ascii_uppercase();
    let wanted = |repository: &&Repository| {
        let project = world.projects.get(&repository.project);
        let of_key =
            key.is_none_or(|key| project.is_some_and(|project| project.key.eq_ignore_ascii_case(key)));
        let of_name = project_name
            .as_ref()
            .is_none_or(|name| project.is_some_and(|project| project.name.to_lowercase().contains(name)));
        let kept = match archived.as_str() {
            "ALL" => true,
            "ARCHIVED" => repository.archived,
            _ => !repository.archived,
        };
        world.caller_on_repository(caller, repository.id) >= Some(need)
            && repository.name.to_lowercase().contains(&name)
            && of_key
            && of_name
            && kept
    };
    let render = call.render(&world);
    let found = world
        .repositories
        .values()
        .filter(wanted)
        .map(|repository| render.repository(repository))
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

/// `GET /rest/api/latest/projects/{key}/repos`
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let caller = call.caller()?;
    let key = call.param("key");
    let project = world
        .project_by_key(key)
        .ok_or_else(|| RestError::no_such_project(key))?;
    let seen = |repository: &&Repository| {
        repository.project == project.id && world.caller_on_repository(caller, repository.id).is_some()
    };
    let render = call.render(&world);
    let found: Vec<_> = world
        .repositories
        .values()
        .filter(seen)
        .map(|r| render.repository(r))
        .collect();
    if found.is_empty() && world.caller_on_project(caller, project.id).is_none() {
        return Err(RestError::not_permitted());
    }
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

/// `GET {R}`
pub(crate) async fn get(call: Call) -> Reply {
    let world = call.app.world();
    let id = call.repository(&world, Level::Read)?;
    Ok(Answer::ok(call.render(&world).repository_by_id(id)))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RepositoryBody {
    name: Option<String>,
    slug: Option<String>,
    description: Option<String>,
    default_branch: Option<String>,
    archived: Option<bool>,
    public: Option<bool>,
    project: Option<ProjectBody>,
}

#[derive(Deserialize)]
struct ProjectBody {
    key: String,
}

fn free_slug(world: &World, project: ProjectId, slug: &str) -> Result<(), RestError> {
    let taken = world
        .repositories
        .values()
        .any(|r| r.project == project && r.slug.eq_ignore_ascii_case(slug));
    if taken {
        let message = "This repository URL is already taken.";
        return Err(RestError::conflict("DuplicateRepositoryException", message).about("name"));
    }
    Ok(())
}

fn new_repository(world: &mut World, project: ProjectId, name: &str, slug: String) -> Repository {
    let mut id = RepositoryId(next(&mut world.last.repository));
    while world.repositories.contains_key(&id) {
        id = RepositoryId(next(&mut world.last.repository));
    }
    Repository {
        id,
        project,
        slug,
        name: name.to_owned(),
        description: None,
        fork_of: None,
        public: false,
        archived: false,
        http_clone: HttpClone::Plain,
        default_branch: "main".to_owned(),
        refs: BTreeMap::new(),
        permissions: Grants::default(),
        webhooks: Vec::new(),
        pull_requests: BTreeMap::new(),
        last_pull_request: 0,
        builds: Vec::new(),
        reports: Vec::new(),
    }
}

/// `POST /rest/api/latest/projects/{key}/repos`: an empty repository.
pub(crate) async fn create(call: Call) -> Reply {
    let body: RepositoryBody = call.json()?;
    let name = body
        .name
        .filter(|n| !n.is_empty())
        .ok_or_else(|| RestError::invalid("name", "A name is required"))?;
    let new = {
        let mut world = call.app.world();
        let project = call.project(&world, Level::Admin)?;
        let slug = body.slug.unwrap_or_else(|| user_slug(&name));
        free_slug(&world, project, &slug)?;
        let new = new_repository(&mut world, project, &name, slug);
        let default_branch = body.default_branch.unwrap_or_else(|| new.default_branch.clone());
        Repository {
            default_branch,
            description: body.description,
            public: body.public.unwrap_or(false),
            ..new
        }
    };
    call.app.store().init(new.id, &new.default_branch).await?;
    let mut world = call.app.change();
    let id = new.id;
    world.repositories.insert(id, new);
    Ok(Answer::created(call.render(&world).repository_by_id(id)))
}

/// `POST {R}`: a fork, in the caller's personal project unless the body names another.
pub(crate) async fn fork(call: Call) -> Reply {
    let body: RepositoryBody = call.json()?;
    let (origin, new) = {
        let mut world = call.app.world();
        let origin = call.repository(&world, Level::Read)?;
        let source = world.repository(origin)?.clone();
        let key = match &body.project {
            Some(project) => project.key.clone(),
            None => format!("~{}", call.caller()?.name),
        };
        let project = match world.project_by_key(&key) {
            Some(project) => project.id,
            None if body.project.is_none() => {
                crate::control::take::new_project(&mut world, &key, None, None, None)
            }
            None => return Err(RestError::no_such_project(&key)),
        };
        if world.caller_on_project(call.caller()?, project) < Some(Level::Admin) && body.project.is_some() {
            return Err(RestError::not_permitted());
        }
        let name = body.name.clone().unwrap_or_else(|| source.name.clone());
        let slug = body.slug.clone().unwrap_or_else(|| user_slug(&name));
        free_slug(&world, project, &slug)?;
        let new = new_repository(&mut world, project, &name, slug);
        (
            origin,
            Repository {
                fork_of: Some(origin),
                default_branch: source.default_branch,
                ..new
            },
        )
    };
    let store = call.app.store();
    let dir = store.init(new.id, &new.default_branch).await?;
    import::fork(&dir, &store.dir(origin)).await?;
    let refs = store.refs(new.id).await?;
    let mut world = call.app.change();
    let id = new.id;
    world.repositories.insert(id, Repository { refs, ..new });
    let user = call.caller()?.user;
    let event = crate::webhook::payload::Event {
        key: "repo:forked",
        actor: user,
        fields: Vec::new(),
    }
    .with("repository", call.app.render(&world).repository_by_id(id));
    call.app.emit(&world, origin, event);
    Ok(Answer::created(call.render(&world).repository_by_id(id)))
}

/// `PUT {R}`: a new name moves it; the old path then redirects with 307.
pub(crate) async fn update(call: Call) -> Reply {
    let body: RepositoryBody = call.json()?;
    let mut world = call.app.change();
    let id = call.repository(&world, Level::Admin)?;
    let before = world.repository(id)?.clone();
    let slug = body
        .slug
        .or_else(|| body.name.as_deref().map(user_slug))
        .unwrap_or_else(|| before.slug.clone());
    let project = match &body.project {
        Some(project) => {
            world
                .project_by_key(&project.key)
                .ok_or_else(|| RestError::no_such_project(&project.key))?
                .id
        }
        None => before.project,
    };
    if slug != before.slug || project != before.project {
        free_slug(&world, project, &slug)?;
        let key = world.project_of(&before)?.key.to_ascii_lowercase();
        world
            .former_names
            .insert((key, before.slug.to_ascii_lowercase()), id);
    }
    let old = call.app.render(&world).repository_by_id(id);
    let repository = world.repository_mut(id)?;
    repository.name = body.name.unwrap_or_else(|| before.name.clone());
    (repository.slug, repository.project) = (slug, project);
    repository.description = body.description.or(before.description);
    repository.archived = body.archived.unwrap_or(before.archived);
    repository.public = body.public.unwrap_or(before.public);
    repository.default_branch = body.default_branch.unwrap_or(before.default_branch);
    let actor = call.caller()?.user;
    let new = call.app.render(&world).repository_by_id(id);
    let event = crate::webhook::payload::Event {
        key: "repo:modified",
        actor,
        fields: Vec::new(),
    };
    call.app.emit(&world, id, event.with("old", old).with("new", new));
    Ok(Answer::created(call.render(&world).repository_by_id(id)))
}

/// `DELETE {R}`
pub(crate) async fn delete(call: Call) -> Reply {
    let mut world = call.app.change();
    let id = call.repository(&world, Level::Admin)?;
    world.repositories.remove(&id);
    world.former_names.retain(|_, named| *named != id);
    drop(world);
    call.app.store().remove(id)?;
    let answer = crate::json::object! { "context": crate::json::Json::Null, "message": "Repository scheduled for deletion." };
    Ok(Answer::with_status(http::StatusCode::ACCEPTED, answer))
}
