//! The routes of the control API.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;

use super::clock::ClockChange;
use super::document::Document;
use super::faults::FaultRule;
use super::{load, snapshot};
use crate::app::App;
use crate::http::answer::json_response;
use crate::http::query::Query;
use crate::json::{Json, object};
use crate::page;
use crate::state::world::World;
use crate::webhook::deliver::DeliveryMode;

/// A world document with a repository's files in it can be large.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A long poll waits at most this long, whatever is asked for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Answers a request below `/sim/`. No authentication: the simulator listens on loopback only.
pub(crate) async fn serve(app: &App, path: &str, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return problems(
            StatusCode::PAYLOAD_TOO_LARGE,
            &["the body is too large".to_owned()],
        );
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let Some(path) = path.strip_prefix("/sim/v1/") else {
        return unknown();
    };
    match route(app, &parts.method, path, &query, &body.to_bytes()).await {
        Ok(response) => response,
        Err(found) => problems(StatusCode::BAD_REQUEST, &found),
    }
}

async fn route(
    app: &App,
    method: &Method,
    path: &str,
    query: &Query,
    body: &Bytes,
) -> Result<Response, Vec<String>> {
    let segments: Vec<&str> = path.split('/').collect();
    Ok(match (method.as_str(), segments.as_slice()) {
        ("POST", ["world"]) => {
            let loaded = load::load(app, parse::<Document>(body)?).await?;
            json_response(StatusCode::CREATED, &loaded)
        }
        ("GET", ["world"]) => {
            let document = snapshot::document(&app.world());
            let value = serde_json::to_value(&document).map_err(|error| vec![error.to_string()])?;
            ok(Json::from(value))
        }
        ("DELETE", ["world"]) => reset(app).await?,
        ("GET", ["requests"]) => ok(app.requests().after(after(query), wait(query)).await),
        ("GET", ["deliveries"]) => ok(app.deliveries().log.after(after(query), wait(query)).await),
        ("POST", ["deliveries", "release"]) => ok(object! { "released": app.deliveries().release(app) }),
        ("PUT", ["faults"]) => {
            app.faults().replace(parse::<Vec<FaultRule>>(body)?);
            ok(app.faults().json())
        }
        ("GET", ["faults"]) => {
            if let Some(id) = query.number("held") {
                app.faults().wait_for_held(id, wait(query)).await;
            }
            ok(app.faults().json())
        }
        ("DELETE", ["faults"]) => {
            app.faults().replace(Vec::new());
            no_content()
        }
        ("POST", ["faults", id, "release"]) => {
            let id = id.parse().map_err(|_| vec![format!("{id} is no fault")])?;
            if app.faults().release(id) {
                no_content()
            } else {
                unknown()
            }
        }
        ("PUT", ["delivery-mode"]) => {
            app.deliveries().set_mode(parse::<DeliveryMode>(body)?);
            ok(delivery_mode(app))
        }
        ("GET", ["delivery-mode"]) => ok(delivery_mode(app)),
        ("PUT", ["clock"]) => {
            app.clock().change(&parse::<ClockChange>(body)?);
            ok(app.clock().json())
        }
        ("GET", ["clock"]) => ok(app.clock().json()),
        ("GET", ["pull-request-view"]) => page::view::serve(app, query, wait(query)).await,
        ("GET", ["commit-view"]) => page::view::commit(app, query, wait(query)).await,
        ("GET", ["pull-requests"]) => ok(page::view::list(app, query, wait(query)).await),
        _ => unknown(),
    })
}

fn delivery_mode(app: &App) -> Json {
    let (mode, waiting) = app.deliveries().mode();
    object! {
        "duplicate": mode.duplicate,
        "hold": mode.hold,
        "reverse": mode.reverse,
        "drop": mode.drop,
        "waiting": waiting,
    }
}

/// An empty world, no faults, no modes, the real time; log numbers go on.
async fn reset(app: &App) -> Result<Response, Vec<String>> {
    let _one_at_a_time = app.loading().await;
    app.faults().replace(Vec::new());
    app.deliveries().reset();
    app.requests().clear();
    app.limits().reset();
    app.clock().change(&ClockChange::back_to_real_time());
    let repositories: Vec<_> = std::mem::take(&mut *app.change())
        .repositories
        .into_keys()
        .collect();
    *app.change() = World::default();
    for id in repositories {
        app.store()
            .remove(id)
            .map_err(|error| vec![format!("{error:#}")])?;
    }
    app.store().forget();
    Ok(no_content())
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Vec<String>> {
    serde_json::from_slice(body).map_err(|error| vec![error.to_string()])
}

fn after(query: &Query) -> u64 {
    query.number("after").unwrap_or(0)
}

fn wait(query: &Query) -> Duration {
    Duration::from_millis(query.number("wait_ms").unwrap_or(0)).min(WAIT_MAX)
}

fn ok(json: Json) -> Response {
    json_response(StatusCode::OK, &json)
}

fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn unknown() -> Response {
    problems(
        StatusCode::NOT_FOUND,
        &["the control API has no such route".to_owned()],
    )
}

fn problems(status: StatusCode, problems: &[String]) -> Response {
    json_response(status, &object! { "problems": problems.to_vec() })
}
