//! Direct grants on projects and repositories.

use std::collections::BTreeMap;

use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::{Json, object};
use crate::state::ids::UserId;
use crate::state::permission::{Grants, Level, Permission};
use crate::state::world::World;

/// The path's grants, if the caller administers them.
fn grants<'w>(call: &Call, world: &'w World) -> Result<&'w Grants, RestError> {
    if call.param("slug").is_empty() {
        let id = call.project(world, Level::Admin)?;
        return world
            .projects
            .get(&id)
            .map(|project| &project.permissions)
            .ok_or_else(|| RestError::no_such_project(call.param("key")));
    }
    let id = call.repository(world, Level::Admin)?;
    Ok(&world.repository(id)?.permissions)
}

fn change(call: &Call, change: impl FnOnce(&mut Grants)) -> Reply {
    let mut world = call.app.change();
    grants(call, &world)?;
    let found = if call.param("slug").is_empty() {
        let id = call.project(&world, Level::Admin)?;
        world
            .projects
            .get_mut(&id)
            .map(|project| &mut project.permissions)
    } else {
        let id = call.repository(&world, Level::Admin)?;
        Some(&mut world.repository_mut(id)?.permissions)
    };
    if let Some(found) = found {
        change(found);
    }
    Ok(Answer::no_content())
}

fn level_name(call: &Call, level: Level) -> &'static str {
    if call.param("slug").is_empty() {
        level.on_project()
    } else {
        level.on_repository()
    }
}

/// The permission in the query, of the kind this path takes.
fn permission(call: &Call) -> Result<Level, RestError> {
    let name = call.query.get("permission").unwrap_or_default();
    let wanted = Permission::parse(name).filter(|p| p.on_project == call.param("slug").is_empty());
    wanted
        .map(|p| p.level)
        .ok_or_else(|| RestError::invalid("permission", format!("'{name}' cannot be granted here")))
}

/// The users named in the query; `name` can repeat.
fn named_users(call: &Call, parameter: &str) -> Result<Vec<UserId>, RestError> {
    let world = call.app.world();
    let id = |name: &str| {
        world
            .user_named(name)
            .map(|user| user.id)
            .ok_or_else(|| RestError::no_such_user(name))
    };
    call.query.all(parameter).map(id).collect()
}

/// `GET …/permissions/users?filter=`
pub(crate) async fn users(call: Call) -> Reply {
    let world = call.app.world();
    let filter = call.query.get("filter").unwrap_or_default().to_lowercase();
    let render = call.render(&world);
    let matches = |id: &UserId| {
        world
            .users
            .get(id)
            .is_some_and(|user| user.name.to_lowercase().contains(&filter))
    };
    let entity = |(id, level): (&UserId, &Level)| {
        object! { "user": render.user(*id), "permission": level_name(&call, *level) }
    };
    let found = grants(&call, &world)?
        .users
        .iter()
        .filter(|(id, _)| matches(id))
        .map(entity)
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

/// `PUT …/permissions/users?name=&permission=`
pub(crate) async fn grant_user(call: Call) -> Reply {
    let (level, users) = (permission(&call)?, named_users(&call, "name")?);
    change(&call, |grants| {
        grants.users.extend(users.into_iter().map(|user| (user, level)));
    })
}

/// `DELETE …/permissions/users?name=`
pub(crate) async fn revoke_user(call: Call) -> Reply {
    let users = named_users(&call, "name")?;
    change(&call, |grants| {
        grants.users.retain(|user, _| !users.contains(user));
    })
}

/// `GET …/permissions/groups?filter=`
pub(crate) async fn groups(call: Call) -> Reply {
    let world = call.app.world();
    let filter = call.query.get("filter").unwrap_or_default().to_lowercase();
    let list: &BTreeMap<String, Level> = &grants(&call, &world)?.groups;
    let entity = |(name, level): (&String, &Level)| {
        object! { "group": object! { "name": name }, "permission": level_name(&call, *level) }
    };
    let found: Vec<Json> = list
        .iter()
        .filter(|(name, _)| name.to_lowercase().contains(&filter))
        .map(entity)
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

/// `PUT …/permissions/groups?name=&permission=`
pub(crate) async fn grant_group(call: Call) -> Reply {
    let level = permission(&call)?;
    let names: Vec<String> = call.query.all("name").map(str::to_owned).collect();
    if let Some(unknown) = names
        .iter()
        .find(|name| !call.app.world().groups.contains_key(*name))
    {
        return Err(RestError::not_found(
            "user.NoSuchGroupException",
            format!("Group {unknown} does not exist."),
        ));
    }
    change(&call, |grants| {
        grants.groups.extend(names.into_iter().map(|name| (name, level)));
    })
}

/// `DELETE …/permissions/groups?name=`
pub(crate) async fn revoke_group(call: Call) -> Reply {
    let names: Vec<&str> = call.query.all("name").collect();
    change(&call, |grants| {
        grants.groups.retain(|name, _| !names.contains(&name.as_str()));
    })
}

/// `DELETE …/permissions?user=&group=`
pub(crate) async fn revoke_all(call: Call) -> Reply {
    let users = named_users(&call, "user")?;
    let groups: Vec<&str> = call.query.all("group").collect();
    change(&call, |grants| {
        grants.users.retain(|user, _| !users.contains(user));
        grants.groups.retain(|name, _| !groups.contains(&name.as_str()));
    })
}
