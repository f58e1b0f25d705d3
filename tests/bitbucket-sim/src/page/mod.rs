//! The web page of a pull request or a commit, and the redirect that tokens get outside `/rest` and `/scm`.

pub(crate) mod markdown;
pub(crate) mod view;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Request, StatusCode, header};

use crate::app::App;

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Answers everything outside `/rest`, `/scm` and `/sim`.
pub(crate) fn serve(app: &App, path: &str, request: &Request<Body>) -> Response {
    // Tokens work on /rest and /scm only (bitbucket-dc.md 4.1).
    if request.headers().contains_key(header::AUTHORIZATION) {
        return login(app);
    }
    match path {
        "/sim-page.css" => asset("text/css;charset=UTF-8", CSS),
        "/sim-page.js" => asset("text/javascript;charset=UTF-8", SCRIPT),
        "/login" => asset(
            "text/html;charset=UTF-8",
            "<!doctype html><title>Log in</title><p>The simulator has no login page.",
        ),
        _ if is_page(path) => {
            let html = HTML.replace("{{context}}", app.context_path());
            ([(header::CONTENT_TYPE, "text/html;charset=UTF-8")], html).into_response()
        }
        _ => login(app),
    }
}

/// `/`, or a pull request or commit of a project or a user.
fn is_page(path: &str) -> bool {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match segments.as_slice() {
        ["" | "dashboard"] | ["projects" | "users", _, "repos", _, "commits", _] => true,
        ["projects" | "users", _, "repos", _, "pull-requests", id, ..] => id.parse::<u64>().is_ok(),
        _ => false,
    }
}

fn login(app: &App) -> Response {
    let mut response = StatusCode::FOUND.into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("{}/login", app.base_url())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn asset(content_type: &'static str, text: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        text,
    )
        .into_response()
}
