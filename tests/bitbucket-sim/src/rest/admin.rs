//! Rate limit settings; administrators with a password only, as no token administers the instance.

use serde::Deserialize;

use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::{Json, object};
use crate::state::ids::UserId;
use crate::state::world::World;

fn administrator(call: &Call, world: &World) -> Result<(), RestError> {
    if world.is_administrator(call.caller()?) {
        Ok(())
    } else {
        Err(RestError::not_permitted())
    }
}

fn settings(world: &World) -> Json {
    let defaults = object! { "capacity": world.rate_limit.capacity, "fillRate": world.rate_limit.fill_rate };
    object! { "enabled": world.rate_limit.enabled, "defaultSettings": defaults }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettingsBody {
    enabled: Option<bool>,
    default_settings: Option<Bucket>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bucket {
    capacity: u32,
    fill_rate: u32,
}

/// `GET …/rate-limit/settings`
pub(crate) async fn rate_limit(call: Call) -> Reply {
    call.caller()?;
    Ok(Answer::ok(settings(&call.app.world())))
}

/// `PUT …/rate-limit/settings`
pub(crate) async fn set_rate_limit(call: Call) -> Reply {
    let body: SettingsBody = call.json()?;
    let mut world = call.app.change();
    administrator(&call, &world)?;
    world.rate_limit.enabled = body.enabled.unwrap_or(world.rate_limit.enabled);
    if let Some(bucket) = body.default_settings {
        (world.rate_limit.capacity, world.rate_limit.fill_rate) = (bucket.capacity, bucket.fill_rate);
    }
    call.app.limits().reset();
    Ok(Answer::ok(settings(&world)))
}

fn entity(call: &Call, world: &World, user: UserId, own: Option<(u32, u32)>) -> Json {
    object! { "user": call.render(world).user(user), "whitelisted": own.is_none() }.with_some(
        "settings",
        own.map(|(capacity, rate)| object! { "capacity": capacity, "fillRate": rate }),
    )
}

/// `GET …/rate-limit/settings/users`
pub(crate) async fn user_limits(call: Call) -> Reply {
    let world = call.app.world();
    administrator(&call, &world)?;
    let found = world
        .rate_limit
        .users
        .iter()
        .map(|(user, own)| entity(&call, &world, *user, *own))
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

#[derive(Deserialize)]
struct UsersBody {
    #[serde(default)]
    usernames: Vec<String>,
    #[serde(default)]
    whitelisted: bool,
    settings: Option<Bucket>,
}

fn set(call: &Call, world: &mut World, names: &[String], body: &UsersBody) -> Result<Vec<Json>, RestError> {
    let mut changed = Vec::new();
    for name in names {
        let user = world
            .user_named(name)
            .map(|user| user.id)
            .ok_or_else(|| RestError::no_such_user(name))?;
        let own = match (body.whitelisted, body.settings) {
            (true, _) => None,
            (false, Some(bucket)) => Some((bucket.capacity, bucket.fill_rate)),
            (false, None) => {
                return Err(RestError::invalid(
                    "settings",
                    "settings or whitelisted is required",
                ));
            }
        };
        world.rate_limit.users.insert(user, own);
        changed.push(entity(call, world, user, own));
    }
    Ok(changed)
}

/// `POST …/rate-limit/settings/users`
pub(crate) async fn set_user_limits(call: Call) -> Reply {
    let body: UsersBody = call.json()?;
    let mut world = call.app.change();
    administrator(&call, &world)?;
    let changed = set(&call, &mut world, &body.usernames, &body)?;
    Ok(Answer::ok(Json::List(changed)))
}

/// `GET …/rate-limit/settings/users/{userSlug}`
pub(crate) async fn user_limit(call: Call) -> Reply {
    let world = call.app.world();
    administrator(&call, &world)?;
    let user = world.user_by_slug(call.param("user"))?.id;
    let own = world
        .rate_limit
        .users
        .get(&user)
        .ok_or_else(|| RestError::no_such_user(call.param("user")))?;
    Ok(Answer::ok(entity(&call, &world, user, *own)))
}

/// `PUT …/rate-limit/settings/users/{userSlug}`
pub(crate) async fn set_user_limit(call: Call) -> Reply {
    let body: UsersBody = call.json()?;
    let mut world = call.app.change();
    administrator(&call, &world)?;
    let name = world.user_by_slug(call.param("user"))?.name.clone();
    let mut changed = set(&call, &mut world, &[name], &body)?;
    Ok(Answer::ok(changed.pop().unwrap_or(Json::Null)))
}

/// `DELETE …/rate-limit/settings/users/{userSlug}`
pub(crate) async fn remove_user_limit(call: Call) -> Reply {
    let mut world = call.app.change();
    administrator(&call, &world)?;
    let user = world.user_by_slug(call.param("user"))?.id;
    world.rate_limit.users.remove(&user);
    Ok(Answer::no_content())
}
