//! Webhooks of repositories and projects (bitbucket-dc.md 2.7).

use http::StatusCode;
use serde::Deserialize;

use crate::entity;
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::{Json, object};
use crate::state::ids::{ProjectId, RepositoryId, WebhookId};
use crate::state::permission::Level;
use crate::state::webhook::{EVENT_KEYS, Webhook};
use crate::state::world::{World, next};
use crate::webhook::send::Outgoing;

/// What a webhook belongs to.
#[derive(Clone, Copy)]
enum Scope {
    Repository(RepositoryId),
    Project(ProjectId),
}

/// The path's scope, if the caller administers it.
fn scope(call: &Call, world: &World) -> Result<Scope, RestError> {
    if call.param("slug").is_empty() {
        return Ok(Scope::Project(call.project(world, Level::Admin)?));
    }
    Ok(Scope::Repository(call.repository(world, Level::Admin)?))
}

fn hooks(world: &World, scope: Scope) -> &[Webhook] {
    match scope {
        Scope::Repository(id) => world
            .repositories
            .get(&id)
            .map_or(&[], |repository| &repository.webhooks),
        Scope::Project(id) => world.projects.get(&id).map_or(&[], |project| &project.webhooks),
    }
}

fn hooks_mut(world: &mut World, scope: Scope) -> Option<&mut Vec<Webhook>> {
    match scope {
        Scope::Repository(id) => world
            .repositories
            .get_mut(&id)
            .map(|repository| &mut repository.webhooks),
        Scope::Project(id) => world.projects.get_mut(&id).map(|project| &mut project.webhooks),
    }
}

fn find<'w>(call: &Call, world: &'w World) -> Result<(Scope, &'w Webhook), RestError> {
    let scope = scope(call, world)?;
    let id = call.param("webhook");
    let hook = hooks(world, scope).iter().find(|hook| hook.id.to_string() == id);
    let missing = || {
        RestError::not_found(
            "webhook.NoSuchWebhookException",
            format!("Webhook {id} does not exist."),
        )
    };
    Ok((scope, hook.ok_or_else(missing)?))
}

fn entity_of(call: &Call, hook: &Webhook) -> Json {
    let entity = entity::webhook(hook);
    if call.query.flag("statistics") {
        return entity.with(
            "statistics",
            call.app.deliveries().invocations.statistics(hook.id, None),
        );
    }
    entity
}

/// `GET …/webhooks?event=&statistics=`
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let scope = scope(&call, &world)?;
    let hears = |hook: &&Webhook| {
        call.query
            .all("event")
            .all(|key| hook.events.iter().any(|event| event == key))
    };
    let found = hooks(&world, scope)
        .iter()
        .filter(hears)
        .map(|hook| entity_of(&call, hook))
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

/// `GET {R}/webhooks/search?scopeType=`: those of the project too.
pub(crate) async fn search(call: Call) -> Reply {
    let world = call.app.world();
    let id = call.repository(&world, Level::Admin)?;
    let project = world.repository(id)?.project;
    let wanted = call.query.get("scopeType");
    let mut found: Vec<Json> = Vec::new();
    for (name, scope) in [
        ("repository", Scope::Repository(id)),
        ("project", Scope::Project(project)),
    ] {
        if wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name)) {
            found.extend(hooks(&world, scope).iter().map(|hook| entity_of(&call, hook)));
        }
    }
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

/// `GET …/webhooks/{id}`
pub(crate) async fn get(call: Call) -> Reply {
    let world = call.app.world();
    let (_, hook) = find(&call, &world)?;
    Ok(Answer::ok(entity_of(&call, hook)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HookBody {
    name: Option<String>,
    url: Option<String>,
    #[serde(default)]
    active: Option<bool>,
    #[serde(default)]
    events: Vec<String>,
    configuration: Option<Configuration>,
    credentials: Option<Credentials>,
    #[serde(default)]
    ssl_verification_required: Option<bool>,
}

#[derive(Deserialize)]
struct Configuration {
    secret: Option<String>,
}

#[derive(Deserialize)]
struct Credentials {
    username: Option<String>,
    password: Option<String>,
}

/// All problems at once, as Bitbucket reports them; one unknown key refuses the whole hook.
fn checked(body: HookBody) -> Result<HookBody, RestError> {
    let mut messages = Vec::new();
    match body.url.as_deref().map(url::Url::parse) {
        None => messages.push("No URL was specified"),
        Some(Ok(url)) if matches!(url.scheme(), "http" | "https") => {}
        Some(_) => messages.push("The URL is not valid"),
    }
    if body.events.is_empty() {
        messages.push("At least one event must be provided");
    }
    if body.events.iter().any(|key| !EVENT_KEYS.contains(&key.as_str())) {
        // The placeholder is not filled in by the server either.
        messages.push("the event ${validatedValue} is unknown");
    }
    if messages.is_empty() {
        return Ok(body);
    }
    Err(RestError::new(
        StatusCode::BAD_REQUEST,
        "validation.ArgumentValidationException",
        messages.join("\n"),
    ))
}

fn hook(body: HookBody, id: WebhookId, project_scope: bool, now: i64) -> Webhook {
    let credentials = body
        .credentials
        .and_then(|given| Some((given.username?, given.password?)));
    Webhook {
        id,
        name: body.name.unwrap_or_default(),
        url: body.url.unwrap_or_default(),
        active: body.active.unwrap_or(true),
        events: body.events,
        secret: body
            .configuration
            .and_then(|given| given.secret)
            .filter(|secret| !secret.is_empty()),
        credentials,
        ssl_verification_required: body.ssl_verification_required.unwrap_or(true),
        project_scope,
        created: now,
        updated: now,
    }
}

/// `POST …/webhooks`: 201, or 200 by the instance's switch.
pub(crate) async fn create(call: Call) -> Reply {
    let mut world = call.app.change();
    let scope = scope(&call, &world)?;
    let body = checked(call.json()?)?;
    let id = WebhookId(next(&mut world.last.webhook));
    let hook = hook(body, id, matches!(scope, Scope::Project(_)), call.app.now());
    let answer = entity::webhook(&hook);
    if let Some(hooks) = hooks_mut(&mut world, scope) {
        hooks.push(hook);
    }
    let status = StatusCode::from_u16(world.server.webhook_create_status).unwrap_or(StatusCode::CREATED);
    Ok(Answer::with_status(status, answer))
}

/// `PUT …/webhooks/{id}` replaces: what is left out is gone, the secret too, and TLS checks are off.
pub(crate) async fn replace(call: Call) -> Reply {
    let mut world = call.app.change();
    let (scope, old) = find(&call, &world)?;
    let (id, created, project_scope) = (old.id, old.created, old.project_scope);
    let mut body = checked(call.json()?)?;
    body.ssl_verification_required = Some(body.ssl_verification_required.unwrap_or(false));
    let new = Webhook {
        created,
        ..hook(body, id, project_scope, call.app.now())
    };
    let answer = entity::webhook(&new);
    if let Some(known) =
        hooks_mut(&mut world, scope).and_then(|hooks| hooks.iter_mut().find(|hook| hook.id == id))
    {
        *known = new;
    }
    Ok(Answer::ok(answer))
}

/// `DELETE …/webhooks/{id}`
pub(crate) async fn delete(call: Call) -> Reply {
    let mut world = call.app.change();
    let (scope, hook) = find(&call, &world)?;
    let id = hook.id;
    if let Some(hooks) = hooks_mut(&mut world, scope) {
        hooks.retain(|hook| hook.id != id);
    }
    Ok(Answer::no_content())
}

/// `POST …/webhooks/test?url=`: an unsigned ping. Without `url` the server fails (bitbucket-dc.md 1).
pub(crate) async fn test(call: Call) -> Reply {
    scope(&call, &call.app.world())?;
    let Some(url) = call.query.get("url").filter(|url| url::Url::parse(url).is_ok()) else {
        let message = "An unexpected error occurred.";
        return Err(RestError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server.InternalServerException",
            message,
        ));
    };
    let credentials: Option<Credentials> = call.json().ok();
    let outgoing = Outgoing {
        url: url.to_owned(),
        event_key: "diagnostics:ping".to_owned(),
        body: "{\"test\": true}".to_owned(),
        secret: None,
        credentials: credentials.and_then(|given| Some((given.username?, given.password?))),
        verify_tls: call.query.get("sslVerificationRequired") != Some("false"),
    };
    let body = outgoing.body.clone();
    let url = outgoing.url.clone();
    let (sent, _) = call.app.deliveries().ping(&call.app, outgoing).await;
    let request = object! { "url": url, "method": "POST", "headers": sent.headers_json(), "body": body };
    let response = match &sent.result {
        Ok(received) => object! { "statusCode": u32::from(received.status), "body": &received.body },
        Err(error) => object! { "error": error },
    };
    Ok(Answer::ok(
        object! { "request": request, "response": response, "outcome": sent.outcome() },
    ))
}

/// `GET …/webhooks/{id}/latest?event=&outcome=`: 204 when there is none.
pub(crate) async fn latest(call: Call) -> Reply {
    let world = call.app.world();
    let (_, hook) = find(&call, &world)?;
    let invocations = &call.app.deliveries().invocations;
    let found = invocations.latest(hook.id, call.query.get("event"), call.query.get("outcome"));
    Ok(found.map_or_else(Answer::no_content, Answer::ok))
}

/// `GET …/webhooks/{id}/statistics?event=`
pub(crate) async fn statistics(call: Call) -> Reply {
    let world = call.app.world();
    let (_, hook) = find(&call, &world)?;
    Ok(Answer::ok(
        call.app
            .deliveries()
            .invocations
            .statistics(hook.id, call.query.get("event")),
    ))
}

/// `GET …/webhooks/{id}/statistics/summary`: the same, per event.
pub(crate) async fn summary(call: Call) -> Reply {
    let world = call.app.world();
    let (_, hook) = find(&call, &world)?;
    let invocations = &call.app.deliveries().invocations;
    let of = |key: &String| (key.clone(), invocations.statistics(hook.id, Some(key)));
    Ok(Answer::ok(Json::Object(hook.events.iter().map(of).collect())))
}
