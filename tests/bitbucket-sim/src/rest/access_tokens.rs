//! HTTP access tokens of users, projects and repositories (bitbucket-dc.md 4.1).

use serde::Deserialize;

use crate::entity;
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::Json;
use crate::state::ids::UserId;
use crate::state::permission::{Level, Permission};
use crate::state::user::{Token, TokenScope, User, user_slug};
use crate::state::world::{World, next};

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// What the path is about, if the caller may see its tokens: themselves, or what they administer.
fn scope(call: &Call, world: &World) -> Result<(TokenScope, Option<UserId>), RestError> {
    if !call.param("user").is_empty() {
        let user = world.user_by_slug(call.param("user"))?.id;
        let caller = call.caller()?;
        if caller.user != user && !world.is_administrator(caller) {
            return Err(RestError::not_permitted());
        }
        return Ok((TokenScope::User, Some(user)));
    }
    if call.param("slug").is_empty() {
        return Ok((TokenScope::Project(call.project(world, Level::Admin)?), None));
    }
    Ok((
        TokenScope::Repository(call.repository(world, Level::Admin)?),
        None,
    ))
}

fn of(scope: (TokenScope, Option<UserId>)) -> impl Fn(&&Token) -> bool {
    move |token| token.scope == scope.0 && scope.1.is_none_or(|owner| token.owner == owner)
}

fn find<'w>(call: &Call, world: &'w World) -> Result<&'w Token, RestError> {
    let scope = scope(call, world)?;
    let id = call.param("token");
    let missing = || {
        RestError::not_found(
            "accesstokens.NoSuchAccessTokenException",
            format!("There is no token {id}."),
        )
    };
    world
        .tokens
        .iter()
        .filter(of(scope))
        .find(|token| token.id == id)
        .ok_or_else(missing)
}

/// `GET …/access-tokens/…`: without the secrets.
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let scope = scope(&call, &world)?;
    let render = call.render(&world);
    let found = world
        .tokens
        .iter()
        .filter(of(scope))
        .map(|token| entity::token(render, token, false))
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

/// `GET …/{tokenId}`
pub(crate) async fn get(call: Call) -> Reply {
    let world = call.app.world();
    Ok(Answer::ok(entity::token(
        call.render(&world),
        find(&call, &world)?,
        false,
    )))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenBody {
    name: Option<String>,
    #[serde(default)]
    permissions: Vec<String>,
    expiry_days: Option<i64>,
}

fn check(body: &TokenBody, scope: TokenScope) -> Result<(), RestError> {
    let fits = |name: &String| {
        let permission = Permission::parse(name);
        permission
            .is_some_and(|permission| !matches!(scope, TokenScope::Repository(_)) || !permission.on_project)
    };
    if body.permissions.is_empty() || !body.permissions.iter().all(fits) {
        return Err(RestError::invalid(
            "permissions",
            "These permissions cannot be given to this kind of token",
        ));
    }
    Ok(())
}

/// `PUT …/access-tokens/…`: the answer has the secret, once.
pub(crate) async fn create(call: Call) -> Reply {
    let body: TokenBody = call.json()?;
    let mut world = call.app.change();
    let (scope, owner) = scope(&call, &world)?;
    check(&body, scope)?;
    let now = call.app.now();
    let number = next(&mut world.last.token);
    let name = body
        .name
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("token-{number}"));
    let owner = owner.unwrap_or_else(|| service_user(&mut world, &name));
    let token = Token {
        id: number.to_string(),
        name,
        secret: format!("BBDC-{}", uuid::Uuid::new_v4().simple()),
        owner,
        scope,
        permissions: body.permissions,
        created: now,
        expires: body.expiry_days.map(|days| now + days * MILLISECONDS_PER_DAY),
    };
    let answer = entity::token(call.render(&world), &token, true);
    world.tokens.push(token);
    Ok(Answer::ok(answer))
}

/// Project and repository tokens act as a user of their own, without e-mail, shown by the token's name.
fn service_user(world: &mut World, name: &str) -> UserId {
    let mut id = UserId(next(&mut world.last.user));
    while world.users.contains_key(&id) {
        id = UserId(next(&mut world.last.user));
    }
    let unique = format!("{}-{id}", user_slug(name));
    let user = User {
        id,
        name: unique.clone(),
        slug: unique,
        display_name: name.to_owned(),
        email: None,
        password: None,
        admin: false,
        active: true,
        service: true,
        deleted: false,
    };
    world.users.insert(id, user);
    id
}

/// `POST …/{tokenId}`: name and permissions.
pub(crate) async fn update(call: Call) -> Reply {
    let body: TokenBody = call.json()?;
    let mut world = call.app.change();
    let (scope, _) = scope(&call, &world)?;
    let id = find(&call, &world)?.id.clone();
    check(&body, scope)?;
    if let Some(token) = world.tokens.iter_mut().find(|token| token.id == id) {
        token.name = body.name.unwrap_or_else(|| token.name.clone());
        token.permissions = body.permissions;
    }
    let render = call.render(&world);
    let answer = world
        .tokens
        .iter()
        .find(|token| token.id == id)
        .map(|token| entity::token(render, token, false));
    Ok(Answer::ok(answer.unwrap_or(Json::Null)))
}

/// `DELETE …/{tokenId}`
pub(crate) async fn delete(call: Call) -> Reply {
    let mut world = call.app.change();
    let id = find(&call, &world)?.id.clone();
    world.tokens.retain(|token| token.id != id);
    Ok(Answer::no_content())
}
