//! Projects.

use serde::Deserialize;

use crate::control::take::new_project;
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::Json;
use crate::state::permission::{Level, Permission};
use crate::state::repository::Project;

/// `GET /rest/api/latest/projects?name=&permission=`: those the caller can see.
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let caller = call.caller()?;
    let need = call
        .query
        .get("permission")
        .and_then(Permission::parse)
        .map_or(Level::Read, |p| p.level);
    let name = call.query.get("name").unwrap_or_default().to_lowercase();
    let seen = |project: &&Project| {
        world.caller_on_project(caller, project.id) >= Some(need)
            && project.name.to_lowercase().contains(&name)
    };
    let render = call.render(&world);
    let found = world
        .projects
        .values()
        .filter(seen)
        .map(|project| render.project(project))
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

/// `GET /rest/api/latest/projects/{key}`: whoever can see one of its repositories sees it too.
pub(crate) async fn get(call: Call) -> Reply {
    let world = call.app.world();
    let caller = call.caller()?;
    let key = call.param("key");
    let project = world
        .project_by_key(key)
        .ok_or_else(|| RestError::no_such_project(key))?;
    let inside = world
        .repositories
        .values()
        .filter(|repository| repository.project == project.id);
    let sees_one = inside
        .into_iter()
        .any(|repository| world.caller_on_repository(caller, repository.id).is_some());
    if !sees_one && world.caller_on_project(caller, project.id).is_none() {
        return Err(RestError::not_permitted());
    }
    Ok(Answer::ok(call.render(&world).project(project)))
}

#[derive(Deserialize)]
struct ProjectBody {
    key: Option<String>,
    name: Option<String>,
    description: Option<String>,
}

/// `POST /rest/api/latest/projects`: administrators (the permission `PROJECT_CREATE` is not modelled).
pub(crate) async fn create(call: Call) -> Reply {
    let body: ProjectBody = call.json()?;
    let mut world = call.app.change();
    let caller = call.caller()?;
    let admin = world.users.get(&caller.user).is_some_and(|user| user.admin);
    let enough = caller
        .token
        .as_ref()
        .is_none_or(|token| token.on_project() >= Some(Level::Admin));
    if !admin || !enough {
        return Err(RestError::not_permitted());
    }
    let key = body
        .key
        .filter(|key| !key.is_empty())
        .ok_or_else(|| RestError::invalid("key", "A key is required"))?;
    if world.project_by_key(&key).is_some() {
        let message = "This project key is already in use.";
        return Err(RestError::conflict(
            "project.ProjectKeyAlreadyExistsException",
            message,
        ));
    }
    let id = new_project(&mut world, &key, None, body.name, body.description);
    let render = call.render(&world);
    let entity = world
        .projects
        .get(&id)
        .map_or(Json::Null, |project| render.project(project));
    Ok(Answer::created(entity))
}

/// `PUT /rest/api/latest/projects/{key}`: name and description.
pub(crate) async fn update(call: Call) -> Reply {
    let body: ProjectBody = call.json()?;
    let mut world = call.app.change();
    let id = call.project(&world, Level::Admin)?;
    if let Some(project) = world.projects.get_mut(&id) {
        project.name = body.name.unwrap_or_else(|| project.name.clone());
        project.description = body.description.or_else(|| project.description.clone());
    }
    let render = call.render(&world);
    let entity = world
        .projects
        .get(&id)
        .map_or(Json::Null, |project| render.project(project));
    Ok(Answer::ok(entity))
}

/// `DELETE /rest/api/latest/projects/{key}`: only an empty one.
pub(crate) async fn delete(call: Call) -> Reply {
    let mut world = call.app.change();
    let id = call.project(&world, Level::Admin)?;
    if world
        .repositories
        .values()
        .any(|repository| repository.project == id)
    {
        let message = "The project has repositories and cannot be deleted.";
        return Err(RestError::conflict("IntegrityException", message));
    }
    world.projects.remove(&id);
    Ok(Answer::no_content())
}
