//! Which handler answers which route (bitbucket-dc.md 3.11).

use axum::Router;
use axum::routing::{delete, get, post, put};

use super::{
    access_tokens, activities, admin, blocker_comments, branches, builds, comments, commits, diffs, files,
    insights, markup, participants, permissions, projects, pull_request_writes, pull_requests, reactions,
    repositories, review, suggestions, transitions, users, webhooks,
};
use crate::app::App;

const API: &str = "/rest/api/latest";
const PROJECT: &str = "/projects/{key}";
const REPOSITORY: &str = "/projects/{key}/repos/{slug}";

/// Every route; unknown ones are answered by the door.
pub(crate) fn router() -> Router<App> {
    server()
        .merge(projects())
        .merge(repository())
        .merge(commit())
        .merge(pull_request())
        .merge(comment())
        .merge(webhooks(PROJECT))
        .merge(webhooks(REPOSITORY))
        .merge(permissions(PROJECT))
        .merge(permissions(REPOSITORY))
        .merge(access_tokens())
        .merge(other_modules())
}

fn server() -> Router<App> {
    let api = Router::new()
        .route("/application-properties", get(users::application_properties))
        .route("/users", get(users::list))
        .route("/users/{user}", get(users::get))
        .route("/admin/users", delete(users::delete))
        .route(
            "/admin/rate-limit/settings",
            get(admin::rate_limit).put(admin::set_rate_limit),
        )
        .route(
            "/admin/rate-limit/settings/users",
            get(admin::user_limits).post(admin::set_user_limits),
        )
        .route(
            "/admin/rate-limit/settings/users/{user}",
            get(admin::user_limit)
                .put(admin::set_user_limit)
                .delete(admin::remove_user_limit),
        )
        .route("/markup/preview", post(markup::preview))
        .route("/repos", get(repositories::search));
    Router::new().nest(API, api)
}

fn projects() -> Router<App> {
    let one = Router::new()
        .route(
            "/",
            get(projects::get).put(projects::update).delete(projects::delete),
        )
        .route("/repos", get(repositories::list).post(repositories::create));
    Router::new()
        .route(
            &format!("{API}/projects"),
            get(projects::list).post(projects::create),
        )
        .nest(&format!("{API}{PROJECT}"), one)
}

fn repository() -> Router<App> {
    let one = Router::new()
        .route(
            "/",
            get(repositories::get)
                .post(repositories::fork)
                .put(repositories::update)
                .delete(repositories::delete),
        )
        .route("/branches", get(branches::list).post(branches::create))
        .route("/tags", get(branches::tags))
        .route(
            "/default-branch",
            get(branches::default_branch).put(branches::set_default_branch),
        )
        .route("/browse", get(files::browse))
        .route("/browse/{*path}", get(files::browse))
        .route("/files", get(files::list))
        .route("/files/{*path}", get(files::list))
        .route("/raw/{*path}", get(files::raw))
        .route("/changes", get(commits::repository_changes))
        .route("/diff", get(diffs::of_repository))
        .route("/diff/{*path}", get(diffs::of_repository))
        .route("/compare/changes", get(commits::compare_changes))
        .route("/compare/commits", get(commits::compare_commits))
        .route("/compare/diff", get(diffs::compare))
        .route("/compare/diff/{*path}", get(diffs::compare))
        .route("/commits", get(commits::list))
        .route(
            "/pull-requests",
            get(pull_requests::list).post(pull_request_writes::create),
        );
    Router::new().nest(&format!("{API}{REPOSITORY}"), one)
}

fn commit() -> Router<App> {
    let one = Router::new()
        .route("/", get(commits::get))
        .route("/changes", get(commits::changes))
        .route("/diff", get(diffs::of_commit))
        .route("/diff/{*path}", get(diffs::of_commit))
        .route("/merge-base", get(commits::merge_base))
        .route(
            "/builds",
            get(builds::get).post(builds::set).delete(builds::delete),
        );
    Router::new().nest(&format!("{API}{REPOSITORY}/commits/{{commit}}"), one)
}

fn pull_request() -> Router<App> {
    let one = Router::new()
        .route(
            "/",
            get(pull_requests::get)
                .put(pull_request_writes::update)
                .delete(pull_requests::delete),
        )
        .route("/activities", get(activities::list))
        .route("/merge", get(transitions::check).post(transitions::merge))
        .route("/decline", post(transitions::decline))
        .route("/reopen", post(transitions::reopen))
        .route(
            "/approve",
            post(participants::approve).delete(participants::unapprove),
        )
        .route("/changes", get(commits::of_pull_request))
        .route("/commits", get(diffs::pull_request_commits))
        .route("/diff", get(diffs::of_pull_request))
        .route("/diff/{*path}", get(diffs::of_pull_request))
        .route("/merge-base", get(commits::pull_request_merge_base))
        .route(
            "/participants",
            get(participants::list)
                .post(participants::add)
                .delete(participants::remove),
        )
        .route(
            "/participants/{user}",
            put(participants::set_status).delete(participants::remove),
        )
        .route(
            "/review",
            get(review::pending).put(review::finish).delete(review::discard),
        );
    Router::new().nest(&format!("{API}{REPOSITORY}/pull-requests/{{id}}"), one)
}

fn comment() -> Router<App> {
    let one = || get(comments::get).put(comments::edit).delete(comments::delete);
    let all = Router::new()
        .route("/comments", get(comments::list).post(comments::create))
        .route("/comments/{comment}", one())
        .route("/comments/{comment}/apply-suggestion", post(suggestions::apply))
        .route(
            "/blocker-comments",
            get(blocker_comments::list).post(blocker_comments::create),
        )
        .route("/blocker-comments/{comment}", one());
    Router::new().nest(&format!("{API}{REPOSITORY}/pull-requests/{{id}}"), all).route(
        &format!(
            "/rest/comment-likes/latest{REPOSITORY}/pull-requests/{{id}}/comments/{{comment}}/reactions/{{emoticon}}"
        ),
        put(reactions::add).delete(reactions::remove),
    )
}

fn webhooks(scope: &str) -> Router<App> {
    let all = Router::new()
        .route("/", get(webhooks::list).post(webhooks::create))
        .route("/search", get(webhooks::search))
        .route("/test", post(webhooks::test))
        .route(
            "/{webhook}",
            get(webhooks::get).put(webhooks::replace).delete(webhooks::delete),
        )
        .route("/{webhook}/latest", get(webhooks::latest))
        .route("/{webhook}/statistics", get(webhooks::statistics))
        .route("/{webhook}/statistics/summary", get(webhooks::summary));
    Router::new().nest(&format!("{API}{scope}/webhooks"), all)
}

fn permissions(scope: &str) -> Router<App> {
    let all = Router::new()
        .route("/", delete(permissions::revoke_all))
        .route(
            "/users",
            get(permissions::users)
                .put(permissions::grant_user)
                .delete(permissions::revoke_user),
        )
        .route(
            "/groups",
            get(permissions::groups)
                .put(permissions::grant_group)
                .delete(permissions::revoke_group),
        );
    Router::new().nest(&format!("{API}{scope}/permissions"), all)
}

fn access_tokens() -> Router<App> {
    let mut routes = Router::new();
    for scope in ["/users/{user}", PROJECT, REPOSITORY] {
        let path = format!("/rest/access-tokens/latest{scope}");
        routes = routes
            .route(&path, get(access_tokens::list).put(access_tokens::create))
            .route(
                &format!("{path}/{{token}}"),
                get(access_tokens::get)
                    .post(access_tokens::update)
                    .delete(access_tokens::delete),
            );
    }
    routes
}

fn other_modules() -> Router<App> {
    let branch_utils = format!("/rest/branch-utils/latest{REPOSITORY}/branches");
    let status = "/rest/build-status/latest/commits";
    let insights = format!("/rest/insights/latest{REPOSITORY}/commits/{{commit}}");
    let report = format!("{insights}/reports/{{report}}");
    Router::new()
        .route(
            &branch_utils,
            post(branches::create_by_utils).delete(branches::delete),
        )
        .route(
            &format!("{branch_utils}/info/{{commit}}"),
            get(branches::of_commit),
        )
        .route(&format!("{status}/stats/{{commit}}"), get(builds::statistics))
        .route(
            &format!("{status}/{{commit}}"),
            get(builds::list).post(builds::set_anywhere),
        )
        .route(&format!("{insights}/reports"), get(insights::list))
        .route(&format!("{insights}/annotations"), get(insights::all_annotations))
        .route(
            &report,
            get(insights::get).put(insights::set).delete(insights::delete),
        )
        .route(
            &format!("{report}/annotations"),
            get(insights::annotations)
                .post(insights::annotate)
                .delete(insights::clear_annotations),
        )
}
