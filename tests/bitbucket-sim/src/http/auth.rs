//! Who is calling: Bearer tokens and Basic credentials (bitbucket-dc.md 4.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

use super::answer::RestError;
use crate::state::user::{Caller, Token, TokenScope};
use crate::state::world::World;

/// The user name project and repository tokens use with Basic, from 9.4.
const TOKEN_USER: &str = "x-token-auth";

/// The caller, `None` for a request without credentials, or why the credentials are no good.
/// `now` is in epoch milliseconds.
pub(crate) fn authenticate(
    world: &World,
    headers: &HeaderMap,
    now: i64,
) -> Result<Option<Caller>, RestError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let value = value.to_str().map_err(|_| RestError::bad_credentials())?;
    let (scheme, credentials) = value.split_once(' ').ok_or_else(RestError::bad_credentials)?;
    let credentials = credentials.trim();
    let caller = if scheme.eq_ignore_ascii_case("bearer") {
        by_token(world, credentials, now, "Bearer")
    } else if scheme.eq_ignore_ascii_case("basic") {
        basic(world, credentials, now)
    } else {
        None
    };
    let caller = caller.ok_or_else(RestError::bad_credentials)?;
    if world.users.get(&caller.user).is_some_and(|user| !user.active) {
        return Err(RestError::unlicensed());
    }
    Ok(Some(caller))
}

fn valid_token<'w>(world: &'w World, secret: &str, now: i64) -> Option<&'w Token> {
    world
        .tokens
        .iter()
        .find(|token| token.secret == secret && token.expires.is_none_or(|at| at > now))
}

fn by_token(world: &World, secret: &str, now: i64, scheme: &'static str) -> Option<Caller> {
    let token = valid_token(world, secret, now)?;
    let user = world.users.get(&token.owner).filter(|user| !user.deleted)?;
    Some(Caller {
        user: user.id,
        name: user.name.clone(),
        scheme,
        token: Some(token.clone()),
    })
}

fn basic(world: &World, credentials: &str, now: i64) -> Option<Caller> {
    let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    if let Some(token) = valid_token(world, password, now) {
        let owner = world.users.get(&token.owner)?;
        let accepted = match token.scope {
            TokenScope::User => owner.name.eq_ignore_ascii_case(name),
            TokenScope::Project(_) | TokenScope::Repository(_) => name == TOKEN_USER,
        };
        return if accepted {
            by_token(world, password, now, "Basic")
        } else {
            None
        };
    }
    let user = world.user_named(name)?;
    let matches = user.password.as_deref() == Some(password);
    matches.then(|| Caller {
        user: user.id,
        name: user.name.clone(),
        scheme: "Basic",
        token: None,
    })
}
