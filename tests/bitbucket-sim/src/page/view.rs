//! What the page shows, as one JSON document that can be waited for.

use std::time::Duration;

use axum::response::Response;
use http::StatusCode;

use super::markdown;
use crate::app::App;
use crate::entity;
use crate::entity::Render;
use crate::git::commits;
use crate::git::diff::{FileDiff, Line};
use crate::git::store::{Diff, DiffOptions, NO_COMMIT};
use crate::http::answer::{RestError, json_response};
use crate::http::query::Query;
use crate::json::{Json, object};
use crate::state::comment::Comment;
use crate::state::ids::{PullRequestId, PullRequestKey, RepositoryId};
use crate::state::pull_request::PullRequest;
use crate::state::world::World;

/// Commits shown on the page, at most.
const COMMITS_MAX: &str = "-100";

/// `GET /sim/v1/pull-requests?after=&wait_ms=`: every pull request, for the start page.
pub(crate) async fn list(app: &App, query: &Query, wait: Duration) -> Json {
    let version = newer(app, query, wait).await;
    let world = app.world();
    let render = app.render(&world);
    let one = |key: PullRequestKey| {
        object! { "repository": world.full_name(key.repository), "pullRequest": render.pull_request(key) }
    };
    let all = world.repositories.values().flat_map(|repository| {
        let id = repository.id;
        repository.pull_requests.keys().map(move |pr| PullRequestKey {
            repository: id,
            id: *pr,
        })
    });
    object! { "version": version, "pullRequests": all.map(one).collect::<Vec<_>>(), "users": users(&world) }
}

/// `GET /sim/v1/pull-request-view?project=&repo=&id=&after=&wait_ms=`: waits while `after` is the newest.
pub(crate) async fn serve(app: &App, query: &Query, wait: Duration) -> Response {
    let version = newer(app, query, wait).await;
    match view(app, query, version).await {
        Ok(view) => json_response(StatusCode::OK, &view),
        Err(error) => axum::response::IntoResponse::into_response(error),
    }
}

/// `GET /sim/v1/commit-view?project=&repo=&commit=&after=&wait_ms=`: a commit and what it changed.
pub(crate) async fn commit(app: &App, query: &Query, wait: Duration) -> Response {
    let version = newer(app, query, wait).await;
    match commit_view(app, query, version).await {
        Ok(view) => json_response(StatusCode::OK, &view),
        Err(error) => axum::response::IntoResponse::into_response(error),
    }
}

async fn commit_view(app: &App, query: &Query, version: u64) -> Result<Json, RestError> {
    let name = query.get("commit").unwrap_or_default();
    let (repository, full_name) = {
        let world = app.world();
        let repository = find_repository(&world, query)?;
        (repository, world.full_name(repository))
    };
    let store = app.store();
    let no_such_commit = || RestError::no_such_commit(name, query.get("repo").unwrap_or_default());
    let id = store
        .resolve(repository, name)
        .await?
        .ok_or_else(no_such_commit)?;
    let commit = store.commit(repository, &id).await?;
    let since = commit.parents.first().map_or(NO_COMMIT, String::as_str);
    let diff = store
        .plain_diff(repository, since, &id, &DiffOptions::default())
        .await?;
    Ok(object! {
        "version": version,
        "repository": full_name,
        "commit": entity::commit(&commit),
        "files": files(&diff),
        "users": users(&app.world()),
    })
}

/// The number of the newest change; waits for one if `after` says that the page has it.
async fn newer(app: &App, query: &Query, wait: Duration) -> u64 {
    let mut changes = app.changes();
    if let Some(after) = query.number("after")
        && tokio::time::timeout(wait, changes.wait_for(|now| *now != after))
            .await
            .is_err()
    {
        tracing::trace!("the page is up to date");
    }
    *changes.borrow_and_update()
}

fn find_repository(world: &World, query: &Query) -> Result<RepositoryId, RestError> {
    let (project, slug) = (
        query.get("project").unwrap_or_default(),
        query.get("repo").unwrap_or_default(),
    );
    let repository = world.repository_by_slug(project, slug);
    Ok(repository
        .ok_or_else(|| RestError::no_such_repository(project, slug))?
        .id)
}

fn find(world: &World, query: &Query) -> Result<PullRequestKey, RestError> {
    let key = PullRequestKey {
        repository: find_repository(world, query)?,
        id: PullRequestId(query.number("id").unwrap_or_default()),
    };
    world.pull_request(key)?;
    Ok(key)
}

async fn view(app: &App, query: &Query, version: u64) -> Result<Json, RestError> {
    let (key, to, from, merge) = {
        let world = app.world();
        let key = find(&world, query)?;
        let pr = world.pull_request(key)?;
        (
            key,
            pr.to.commit.clone(),
            pr.from.commit.clone(),
            pr.merge_commit.clone(),
        )
    };
    let diff = app
        .store()
        .effective_diff(key.repository, &to, &from, &DiffOptions::default())
        .await?;
    let not_target = merge.map_or_else(|| format!("^{to}"), |merge| format!("^{merge}^1"));
    let dir = app.store().dir(key.repository);
    let commits = commits::log(&dir, &[COMMITS_MAX, &from, &not_target]).await?;
    let world = app.world();
    let render = app.render(&world);
    let pr = world.pull_request(key)?;
    let threads = pr.comments.values().filter(|comment| comment.parent.is_none());
    let threads: Vec<Json> = threads.map(|comment| thread(render, key, pr, comment)).collect();
    let repository = world.repository(key.repository)?;
    let builds = repository.builds.iter().filter(|build| build.commit == pr.from.commit).map(|build| {
        object! { "key": &build.key, "name": build.name.clone(), "state": &build.state, "url": &build.url, "description": build.description.clone() }
    });
    Ok(object! {
        "version": version,
        "repository": world.full_name(key.repository),
        "pullRequest": render.pull_request(key),
        "descriptionHtml": pr.description.as_deref().map(markdown::html),
        "users": users(&world),
        "files": files(&diff),
        "threads": threads,
        "commits": commits.iter().map(entity::commit).collect::<Vec<_>>(),
        "builds": builds.collect::<Vec<_>>(),
    })
}

fn files(diff: &Diff) -> Vec<Json> {
    let one = |file: &FileDiff| entity::diff(file, &|_: &Line| Vec::new()).with("path", file.path());
    diff.files.iter().map(one).collect()
}

fn thread(render: Render<'_>, key: PullRequestKey, pr: &PullRequest, comment: &Comment) -> Json {
    let replies: Vec<Json> = pr
        .replies(comment.id)
        .map(|reply| thread(render, key, pr, reply))
        .collect();
    render
        .bare_comment(key, comment)
        .with("html", markdown::html(&comment.text))
        .with("replies", replies)
        .with_some("anchor", comment.anchor.as_ref().map(entity::anchor))
}

/// People who can act on the page: those with a token.
fn users(world: &World) -> Json {
    let user = |user: &crate::state::user::User| {
        let token = world.tokens.iter().find(|token| token.owner == user.id)?;
        Some(object! {
            "name": &user.name, "slug": &user.slug, "displayName": &user.display_name, "token": &token.secret,
        })
    };
    Json::List(
        world
            .users
            .values()
            .filter(|u| !u.deleted && !u.service)
            .filter_map(user)
            .collect(),
    )
}
