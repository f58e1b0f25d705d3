//! git over HTTP as Bitbucket guards it: `/scm/<key>/<slug>.git/…`.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, Request, StatusCode, header};

use crate::app::App;
use crate::control::faults::Fault;
use crate::effects;
use crate::git::smart_http::{self, GitRequest};
use crate::http::answer::RestError;
use crate::http::query::Query;
use crate::state::ids::RepositoryId;
use crate::state::permission::Level;
use crate::state::user::Caller;

/// The art above the text of a refused push, as Bitbucket's hooks print it.
const BANNER: &str = "\
                         _ _
                        ( | )
    _ __   ___           \\ /    _
   | '_ \\ / _ \\          / \\   | |
   | | | | (_) |        ( | )  |_|
   |_| |_|\\___/          ~ ~   (_)
-----------------------------------------------------
";

/// Serves a git request of an authenticated caller.
pub(crate) async fn serve(
    app: &App,
    path: &str,
    request: Request<Body>,
    caller: Option<Caller>,
    faults: &[Fault],
) -> Response {
    let Some(caller) = caller else {
        return unauthorized(&RestError::anonymous());
    };
    let Some((key, slug, rest)) = split(path) else {
        return plain(StatusCode::NOT_FOUND, "Not Found");
    };
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let pushes = rest == "/git-receive-pack" || query.get("service") == Some("git-receive-pack");
    let served = matches!(
        (request.method(), rest.as_str()),
        (&Method::GET, "/info/refs") | (&Method::POST, "/git-upload-pack" | "/git-receive-pack")
    );
    if !served {
        return plain(StatusCode::NOT_FOUND, "Not Found");
    }
    let (repository, archived) = match find(app, &key, &slug, &caller, pushes) {
        Ok(found) => found,
        Err(response) => return response,
    };
    let reject = rejection(faults, archived);
    let (parts, body) = request.into_parts();
    let is_push = rest == "/git-receive-pack";
    let request = GitRequest {
        repository,
        path: rest,
        method: parts.method,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        user: caller.name.clone(),
        reject,
    };
    let response = if is_push {
        push(app, &request, body, &caller).await
    } else {
        smart_http::stream(app.store(), &request, body).await
    };
    response.unwrap_or_else(|error| {
        tracing::error!(error = format!("{error:#}"), path, "git over HTTP failed");
        plain(StatusCode::INTERNAL_SERVER_ERROR, "git http-backend failed")
    })
}

/// A push answers when its effects can be read: branches, pull requests, activities.
async fn push(app: &App, request: &GitRequest, body: Body, caller: &Caller) -> anyhow::Result<Response> {
    let lock = app.store().lock(request.repository);
    let _one_at_a_time = lock.lock().await;
    let response = smart_http::complete(app.store(), request, body).await?;
    effects::refs_may_have_changed(app, request.repository, caller.user).await?;
    Ok(response)
}

/// `/scm/KEY/slug.git/rest` in parts.
fn split(path: &str) -> Option<(String, String, String)> {
    let (key, rest) = path.strip_prefix("/scm/")?.split_once('/')?;
    let (slug, rest) = match rest.find(".git/") {
        Some(at) => (&rest[..at], &rest[at + ".git".len()..]),
        None => rest
            .split_once('/')
            .map(|(slug, _)| (slug, &rest[slug.len()..]))?,
    };
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    Some((decode(key), decode(slug), rest.to_owned()))
}

#[expect(
    clippy::result_large_err,
    reason = "the error is the answer itself, made once per request"
)]
fn find(
    app: &App,
    key: &str,
    slug: &str,
    caller: &Caller,
    pushes: bool,
) -> Result<(RepositoryId, bool), Response> {
    let world = app.world();
    let former = || {
        world
            .former_names
            .get(&(key.to_ascii_lowercase(), slug.to_ascii_lowercase()))
            .copied()
    };
    let id = world
        .repository_by_slug(key, slug)
        .map(|repository| repository.id)
        .or_else(former);
    let found = id.and_then(|id| world.repositories.get(&id));
    let level = found.and_then(|repository| world.caller_on_repository(caller, repository.id));
    match (found, level) {
        (Some(repository), Some(level)) if !pushes || level >= Level::Write => {
            Ok((repository.id, repository.archived))
        }
        (Some(_), Some(_)) => Err(plain(
            StatusCode::FORBIDDEN,
            "You are not permitted to push to this repository",
        )),
        (Some(_), None) | (None, _) => Err(plain(
            StatusCode::NOT_FOUND,
            "Repository not found\nThe requested repository does not exist, or you do not have permission to access it.",
        )),
    }
}

fn rejection(faults: &[Fault], archived: bool) -> Option<String> {
    let archived = archived.then_some("The repository is archived and cannot be pushed to.");
    let text = faults.iter().find_map(Fault::push_reject).or(archived)?;
    Some(format!(
        "{BANNER}{text}\n-----------------------------------------------------"
    ))
}

/// 401 with the challenge git needs to ask for credentials.
pub(crate) fn unauthorized(error: &RestError) -> Response {
    tracing::debug!(?error, "git request refused");
    let mut response = plain(StatusCode::UNAUTHORIZED, "Authentication failed");
    let challenge = HeaderValue::from_static("Basic realm=\"Atlassian Bitbucket\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain;charset=UTF-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_path_has_key_slug_and_rest() {
        let (key, slug, rest) = split("/scm/~jcitizen/my.app.git/info/refs").unwrap();
        assert_eq!(
            (key.as_str(), slug.as_str(), rest.as_str()),
            ("~jcitizen", "my.app", "/info/refs")
        );
        assert_eq!(split("/scm/P/s/git-upload-pack").unwrap().2, "/git-upload-pack");
        assert!(split("/scm/P").is_none());
    }
}
