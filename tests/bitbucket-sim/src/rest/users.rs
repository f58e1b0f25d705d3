//! Users, who may do what (bitbucket-dc.md 3.4), and the server's own description.

use http::StatusCode;

use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::object;
use crate::state::ids::{ProjectId, RepositoryId};
use crate::state::permission::Permission;
use crate::state::user::User;
use crate::state::world::World;

/// `GET /rest/api/latest/application-properties`: anonymous callers too.
pub(crate) async fn application_properties(_call: Call) -> Reply {
    Ok(Answer::ok(object! {
        "version": "10.2.7",
        "buildNumber": "10002007",
        "buildDate": "1767225600000",
        "displayName": "Bitbucket",
    }))
}

/// A condition of `permission.N`.
enum Needed {
    OnRepository(RepositoryId, Permission),
    OnProject(ProjectId, Permission),
    Administrator,
    Nothing,
}

/// `GET /rest/api/latest/users`: a contains-match, and permission conditions numbered from 1 without gaps.
/// A misspelt parameter is ignored, so the answer is then everybody.
pub(crate) async fn list(call: Call) -> Reply {
    call.caller()?;
    let world = call.app.world();
    let filter = call.query.get("filter").unwrap_or_default().to_lowercase();
    let mut needed = Vec::new();
    if let Some(name) = call.query.get("permission") {
        needed.push(condition(&call, &world, "permission", name)?);
    }
    for number in 1.. {
        let parameter = format!("permission.{number}");
        let Some(name) = call.query.get(&parameter) else {
            break;
        };
        needed.push(condition(&call, &world, &parameter, name)?);
    }
    let group = call.query.get("group");
    let wanted = |user: &&User| {
        let contains = |text: &str| text.to_lowercase().contains(&filter);
        let in_group = |name| {
            world
                .groups
                .get(name)
                .is_some_and(|members| members.contains(&user.id))
        };
        !user.deleted
            && !user.service
            && user.active
            && (contains(&user.name)
                || contains(&user.display_name)
                || user.email.as_deref().is_some_and(contains))
            && group.is_none_or(in_group)
            && needed.iter().all(|condition| meets(&world, user, condition))
    };
    let render = call.render(&world);
    let users = world
        .users
        .values()
        .filter(wanted)
        .map(|user| render.user_entity(user))
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(users)))
}

fn condition(call: &Call, world: &World, parameter: &str, name: &str) -> Result<Needed, RestError> {
    match name {
        "LICENSED_USER" => return Ok(Needed::Nothing),
        "ADMIN" | "SYS_ADMIN" | "PROJECT_CREATE" => return Ok(Needed::Administrator),
        _ => {}
    }
    let Some(permission) = Permission::parse(name) else {
        return Err(RestError::invalid(
            parameter,
            format!("'{name}' is not a permission."),
        ));
    };
    let argument = |suffix: &str| {
        call.query
            .get(&format!("{parameter}.{suffix}"))
            .map(str::to_owned)
    };
    let number = |suffix: &str| argument(suffix).and_then(|id| id.parse::<u64>().ok());
    let unknown = || {
        RestError::invalid(
            parameter,
            format!("There is no such project or repository for {name}."),
        )
    };
    if permission.on_project {
        let by_key = argument("projectKey").and_then(|key| Some(world.project_by_key(&key)?.id));
        let project = by_key.or(number("projectId").map(ProjectId));
        let project = project
            .filter(|id| world.projects.contains_key(id))
            .ok_or_else(unknown)?;
        return Ok(Needed::OnProject(project, permission));
    }
    let named = argument("projectKey").zip(argument("repositorySlug"));
    let by_name = named.and_then(|(key, slug)| Some(world.repository_by_slug(&key, &slug)?.id));
    let repository = by_name.or(number("repositoryId").map(RepositoryId));
    let repository = repository
        .filter(|id| world.repositories.contains_key(id))
        .ok_or_else(unknown)?;
    Ok(Needed::OnRepository(repository, permission))
}

fn meets(world: &World, user: &User, needed: &Needed) -> bool {
    match needed {
        Needed::OnRepository(id, permission) => world.user_on_repository(user, *id) >= Some(permission.level),
        Needed::OnProject(id, permission) => world.user_on_project(user, *id) >= Some(permission.level),
        Needed::Administrator => user.admin,
        Needed::Nothing => true,
    }
}

/// `GET /rest/api/latest/users/{userSlug}`: the slug, not the name.
pub(crate) async fn get(call: Call) -> Reply {
    call.caller()?;
    let world = call.app.world();
    let user = world.user_by_slug(call.param("user"))?;
    Ok(Answer::ok(call.render(&world).user_entity(user)))
}

/// `DELETE /rest/api/latest/admin/users?name=`: what the user wrote stays, without an author.
pub(crate) async fn delete(call: Call) -> Reply {
    let mut world = call.app.change();
    if !world.is_administrator(call.caller()?) {
        return Err(RestError::not_permitted());
    }
    let name = call.query.get("name").unwrap_or_default();
    let id = world
        .user_named(name)
        .map(|user| user.id)
        .ok_or_else(|| RestError::no_such_user(name))?;
    let entity = call.render(&world).user(id);
    if let Some(user) = world.users.get_mut(&id) {
        user.deleted = true;
    }
    world.tokens.retain(|token| token.owner != id);
    Ok(Answer::with_status(StatusCode::OK, entity))
}
