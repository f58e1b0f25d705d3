//! Every request comes in here: context path, control API, pages, faults, limits, authentication, the log.

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tower::ServiceExt;

use super::answer::{RestError, json_response};
use super::auth::authenticate;
use super::call::Identified;
use super::server::Dropped;
use crate::app::App;
use crate::control::faults::{Fault, When};
use crate::control::requests::Seen;
use crate::git_door;
use crate::json::object;
use crate::state::user::Caller;
use crate::{control, page};

/// Larger than any REST body Bitbucket takes (attachments are not part of the simulator).
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Answers one request, or closes its connection when a fault says so.
pub(crate) async fn enter(app: App, router: Router, request: Request<Incoming>) -> Result<Response, Dropped> {
    let Some(path) = app.below_context(request.uri().path()).map(str::to_owned) else {
        return Ok(not_found(request.headers()));
    };
    let request = request.map(Body::new);
    if path.starts_with("/sim/") {
        return Ok(control::serve(&app, &path, request).await);
    }
    if path.starts_with("/rest/") || path.starts_with("/scm/") {
        // On its own task: a server finishes what it began, also when the client is gone.
        let answered = tokio::spawn(observed(app, router, path, request)).await;
        return answered.unwrap_or_else(|error| {
            tracing::error!(%error, "a request handler failed");
            Err(Dropped)
        });
    }
    Ok(page::serve(&app, &path, &request))
}

/// The body Bitbucket gives for a path it does not route; XML unless JSON is asked for.
pub(crate) fn not_found(headers: &HeaderMap) -> Response {
    unrouted(headers, StatusCode::NOT_FOUND)
}

fn unrouted(headers: &HeaderMap, status: StatusCode) -> Response {
    let message = format!(
        "HTTP {} {}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default()
    );
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if accept.contains("json") {
        let code = u32::from(status.as_u16());
        return json_response(
            status,
            &object! { "message": message, "status-code": code, "sub-code": -1 },
        );
    }
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><status><status-code>{}</status-code><message>{message}</message></status>",
        status.as_u16()
    );
    (status, [(header::CONTENT_TYPE, "application/xml")], xml).into_response()
}

/// A REST or git request: authenticated, limited, faulted, answered and logged.
async fn observed(
    app: App,
    router: Router,
    path: String,
    request: Request<Body>,
) -> Result<Response, Dropped> {
    let is_git = path.starts_with("/scm/");
    let mut seen = Seen::start(&app, &path, &request);
    let caller = authenticate(&app.world(), request.headers(), app.now());
    let known = caller.as_ref().ok().and_then(Option::as_ref).cloned();
    seen.identify(known.as_ref());
    let faults = app.faults().take(
        seen.method(),
        &path,
        known.as_ref().map(|caller| caller.name.as_str()),
    );
    let answered = match strike(&faults, When::Before).await {
        Struck::Dropped => Err(Dropped),
        Struck::Answered(response) => Ok(response),
        Struck::Nothing => {
            let arrived = Arrived {
                path: &path,
                caller,
                faults: &faults,
                is_git,
            };
            let response = answer(&app, router, request, arrived, &mut seen).await;
            match strike(&faults, When::After).await {
                Struck::Dropped => Err(Dropped),
                Struck::Answered(lost) => Ok(lost),
                Struck::Nothing => Ok(response),
            }
        }
    };
    let answered = answered.map(|response| name_caller(response, known.as_ref()));
    app.requests()
        .add(seen.end(answered.as_ref().ok().map(Response::status)));
    answered
}

/// What is known about a request when it is let in.
struct Arrived<'a> {
    path: &'a str,
    caller: Result<Option<Caller>, RestError>,
    faults: &'a [Fault],
    is_git: bool,
}

async fn answer(
    app: &App,
    router: Router,
    request: Request<Body>,
    arrived: Arrived<'_>,
    seen: &mut Seen,
) -> Response {
    let Arrived {
        path,
        caller,
        faults,
        is_git,
    } = arrived;
    let headers = request.headers().clone();
    let (parts, body) = request.into_parts();
    let (body, bytes) = if is_git {
        (body, None)
    } else {
        match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(collected) => {
                let bytes = collected.to_bytes();
                seen.body(&bytes);
                (Body::from(bytes.clone()), Some(bytes))
            }
            Err(_) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        }
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) if is_git => return git_door::unauthorized(&error),
        Err(error) => return error.into_response(),
    };
    if let Some(limited) = app.limits().check(app, caller.as_ref(), faults) {
        return limited;
    }
    let request = Request::from_parts(parts, body);
    if is_git {
        return git_door::serve(app, path, request, caller, faults).await;
    }
    if is_cross_site(request.method(), &headers) {
        return (StatusCode::FORBIDDEN, "XSRF check failed").into_response();
    }
    rest(router, path, request, caller, bytes.unwrap_or_default()).await
}

/// Browsers can send forms anywhere; Bitbucket wants proof that this is no browser.
fn is_cross_site(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let content_type = text("content-type");
    let is_form = content_type.starts_with("application/x-www-form-urlencoded")
        || content_type.starts_with("multipart/form-data");
    let writes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    writes && is_form && !text("x-atlassian-token").eq_ignore_ascii_case("no-check")
}

async fn rest(
    router: Router,
    path: &str,
    request: Request<Body>,
    caller: Option<Caller>,
    body: Bytes,
) -> Response {
    let (mut parts, _) = request.into_parts();
    let accept = parts.headers.clone();
    let query = parts
        .uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    // Every module answers below `latest` and below its own version.
    let mut segments: Vec<&str> = path.splitn(5, '/').collect();
    if let Some(version @ ("1.0" | "2.0")) = segments.get(3).copied() {
        tracing::trace!(version, "served as latest");
        segments[3] = "latest";
    }
    match format!("{}{query}", segments.join("/")).parse() {
        Ok(uri) => parts.uri = uri,
        Err(_) => return not_found(&accept),
    }
    let target = parts.uri.to_string();
    parts.extensions.insert(Identified { caller, target });
    let request = Request::from_parts(parts, Body::from(body));
    let Ok(response) = router.oneshot(request).await;
    match response.status() {
        // A handler's own 404 has a body type; the router's has none.
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
            if !response.headers().contains_key(header::CONTENT_TYPE) =>
        {
            unrouted(&accept, response.status())
        }
        _ => response,
    }
}

/// Authenticated answers name the caller, also when they refuse.
fn name_caller(mut response: Response, caller: Option<&Caller>) -> Response {
    if let Some(caller) = caller {
        let name: String = url::form_urlencoded::byte_serialize(caller.name.as_bytes()).collect();
        if let Ok(name) = HeaderValue::from_str(&name) {
            response.headers_mut().insert("X-AUSERNAME", name);
        }
        response
            .headers_mut()
            .insert("X-AUSERID", HeaderValue::from(caller.user.0));
    }
    response
}

enum Struck {
    Nothing,
    Answered(Response),
    Dropped,
}

async fn strike(faults: &[Fault], when: When) -> Struck {
    for fault in faults.iter().filter(|fault| fault.when() == when) {
        fault.wait().await;
        if fault.drops() {
            return Struck::Dropped;
        }
        if let Some(response) = fault.response() {
            return Struck::Answered(response);
        }
    }
    Struck::Nothing
}
