//! Diffs of pull requests and between commits, as JSON and as text (bitbucket-dc.md 3.8).

use std::sync::Arc;

use axum::response::IntoResponse;
use http::StatusCode;

use crate::entity;
use crate::git::commits;
use crate::git::diff::{FileDiff, Line, LineKind};
use crate::git::store::{CONTEXT_LINES, Diff, DiffOptions, NO_COMMIT};
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::json::{Json, object};
use crate::state::ids::{PullRequestId, PullRequestKey, RepositoryId};
use crate::state::permission::Level;

/// What a diff answer says about itself.
struct Shown<'a> {
    from: &'a str,
    to: &'a str,
    diff: &'a Diff,
    path: &'a str,
    options: &'a DiffOptions,
}

fn options(call: &Call) -> DiffOptions {
    let lines = call
        .query
        .number("contextLines")
        .and_then(|lines| u32::try_from(lines).ok());
    DiffOptions {
        context_lines: lines.unwrap_or(CONTEXT_LINES),
        ignore_whitespace: call
            .query
            .get("whitespace")
            .is_some_and(|w| w.eq_ignore_ascii_case("ignore-all")),
    }
}

/// `GET {PR}/diff` and `{PR}/diff/{path}`: JSON, or text if text is asked for.
pub(crate) async fn of_pull_request(call: Call) -> Reply {
    let key = call.pull_request(&call.app.world(), Level::Read)?;
    let options = options(&call);
    let (from, to, diff) = pull_request_diff(&call, key, &options).await?;
    let shown = Shown {
        from: &from,
        to: &to,
        diff: &diff,
        path: call.param("path"),
        options: &options,
    };
    if call.accepts("text/plain") {
        return Ok(text(&shown));
    }
    let with_comments = call.query.get("withComments") != Some("false");
    let anchors = if with_comments {
        anchors(&call, key)?
    } else {
        Vec::new()
    };
    Ok(Answer::ok(json(&shown, &anchors)))
}

/// A visible inline comment's place: id, path, line, type.
type Place = (Json, String, u64, String);

fn anchors(call: &Call, key: PullRequestKey) -> Result<Vec<Place>, RestError> {
    let viewer = Some(call.caller()?.user);
    let world = call.app.world();
    let visible = world
        .pull_request(key)?
        .comments
        .values()
        .filter(|comment| comment.visible_to(viewer));
    let place = |comment: &crate::state::comment::Comment| {
        let anchor = comment.anchor.as_ref()?;
        let line = anchor.line.as_ref()?;
        Some((
            Json::from(comment.id),
            anchor.path.clone(),
            line.line,
            line.line_type.clone(),
        ))
    };
    Ok(visible.filter_map(place).collect())
}

/// Target commit, source commit and the diff between them, or between `sinceId` and `untilId`.
pub(crate) async fn pull_request_diff(
    call: &Call,
    key: PullRequestKey,
    options: &DiffOptions,
) -> Result<(String, String, Arc<Diff>), RestError> {
    let (to, from) = {
        let world = call.app.world();
        let pr = world.pull_request(key)?;
        (pr.to.commit.clone(), pr.from.commit.clone())
    };
    let store = call.app.store();
    if let Some(since) = call.query.get("sinceId") {
        let until = call.query.get("untilId").unwrap_or(&from);
        let since = resolve(call, key.repository, since).await?;
        let until = resolve(call, key.repository, until).await?;
        let diff = store.plain_diff(key.repository, &since, &until, options).await?;
        return Ok((since, until, diff));
    }
    let diff = store.effective_diff(key.repository, &to, &from, options).await?;
    Ok((to, from, diff))
}

/// A commit named by the caller, else 404.
pub(crate) async fn resolve(call: &Call, repository: RepositoryId, name: &str) -> Result<String, RestError> {
    let found = call.app.store().resolve(repository, name).await?;
    match found {
        Some(id) => Ok(id),
        None => Err(RestError::no_such_commit(
            name,
            &call.app.world().repository(repository)?.slug,
        )),
    }
}

fn text(shown: &Shown<'_>) -> Answer {
    if shown.path.is_empty() {
        return Answer::text(shown.diff.text.clone());
    }
    let text = String::from_utf8_lossy(&shown.diff.text);
    let starts: Vec<usize> = text
        .match_indices("diff --git ")
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || text.as_bytes()[at - 1] == b'\n')
        .collect();
    let position = shown.diff.files.iter().position(|file| file.path() == shown.path);
    let part = position.and_then(|index| {
        let end = starts.get(index + 1).copied().unwrap_or(text.len());
        text.get(*starts.get(index)?..end)
    });
    Answer::text(part.unwrap_or_default())
}

fn json(shown: &Shown<'_>, places: &[Place]) -> Json {
    let wanted = |file: &&FileDiff| shown.path.is_empty() || file.path() == shown.path;
    let file = |file: &FileDiff| {
        let on_line = |line: &Line| {
            let number = if line.kind == LineKind::Removed {
                line.source
            } else {
                line.destination
            };
            let here =
                |place: &&Place| place.1 == file.path() && place.2 == number && place.3 == line.kind.name();
            places.iter().filter(here).map(|place| place.0.clone()).collect()
        };
        entity::diff(file, &on_line).with("lineComments", Vec::<Json>::new())
    };
    object! {
        "fromHash": shown.from,
        "toHash": shown.to,
        "contextLines": shown.options.context_lines,
        "whitespace": if shown.options.ignore_whitespace { "IGNORE_ALL" } else { "SHOW" },
        "diffs": shown.diff.files.iter().filter(wanted).map(file).collect::<Vec<_>>(),
        "truncated": false,
    }
}

/// `GET {PR}.diff` and `{PR}.patch`; errors are HTML, as Bitbucket has them here.
pub(crate) async fn suffixed(call: Call) -> Reply {
    let segment = call.param("id").to_owned();
    let (number, suffix) = segment.split_once('.').unwrap_or((segment.as_str(), ""));
    let is_patch = suffix == "patch";
    let key = {
        let world = call.app.world();
        let repository = call.repository(&world, Level::Read)?;
        let id = PullRequestId(
            number
                .parse()
                .map_err(|_| RestError::invalid("pullRequestId", "no number"))?,
        );
        let key = PullRequestKey { repository, id };
        world.pull_request(key)?;
        key
    };
    let (to, from, diff) = pull_request_diff(&call, key, &options(&call)).await?;
    if !is_patch {
        return Ok(Answer::text(diff.text.clone()));
    }
    let dir = call.app.store().dir(key.repository);
    let range = format!("{to}..{from}");
    Ok(Answer::text(
        crate::git::command::git(&dir, &["format-patch", "--stdout", &range]).await?,
    ))
}

/// `GET {R}/commits/{c}/diff[/{path}]?since=`: against the first parent unless `since` is given.
pub(crate) async fn of_commit(call: Call) -> Reply {
    let repository = call.repository(&call.app.world(), Level::Read)?;
    let until = resolve(&call, repository, call.param("commit")).await?;
    let since = match call.query.get("since") {
        Some(since) => resolve(&call, repository, since).await?,
        None => call
            .app
            .store()
            .commit(repository, &until)
            .await?
            .parents
            .first()
            .cloned()
            .unwrap_or(NO_COMMIT.into()),
    };
    between(&call, repository, &since, &until).await
}

/// `GET {R}/diff[/{path}]?since=&until=`: text only if asked for.
pub(crate) async fn of_repository(call: Call) -> Reply {
    let (repository, default) = {
        let world = call.app.world();
        let id = call.repository(&world, Level::Read)?;
        (id, world.repository(id)?.default_branch.clone())
    };
    let until = resolve(&call, repository, call.query.get("until").unwrap_or(&default)).await?;
    let since = match call.query.get("since") {
        Some(since) => resolve(&call, repository, since).await?,
        None => NO_COMMIT.to_owned(),
    };
    between(&call, repository, &since, &until).await
}

async fn between(call: &Call, repository: RepositoryId, since: &str, until: &str) -> Reply {
    let options = options(call);
    let diff = call
        .app
        .store()
        .plain_diff(repository, since, until, &options)
        .await?;
    let shown = Shown {
        from: since,
        to: until,
        diff: &diff,
        path: call.param("path"),
        options: &options,
    };
    Ok(if call.accepts("text/plain") {
        text(&shown)
    } else {
        Answer::ok(json(&shown, &[]))
    })
}

/// `GET {R}/compare/diff?from=&to=`: 406 as text when the histories have nothing in common.
pub(crate) async fn compare(call: Call) -> axum::response::Response {
    match compared(&call).await {
        Ok(None) => (StatusCode::NOT_ACCEPTABLE, "The histories have no common commit").into_response(),
        Ok(Some(answer)) => answer.into_response(),
        Err(error) => error.into_response(),
    }
}

async fn compared(call: &Call) -> Result<Option<Answer>, RestError> {
    let repository = call.repository(&call.app.world(), Level::Read)?;
    let from = resolve(call, repository, call.query.get("from").unwrap_or_default()).await?;
    let to = resolve(call, repository, call.query.get("to").unwrap_or_default()).await?;
    if call
        .app
        .store()
        .merge_base(repository, &to, &from)
        .await?
        .is_none()
    {
        return Ok(None);
    }
    let options = options(call);
    let diff = call
        .app
        .store()
        .effective_diff(repository, &to, &from, &options)
        .await?;
    let shown = Shown {
        from: &to,
        to: &from,
        diff: &diff,
        path: call.param("path"),
        options: &options,
    };
    Ok(Some(if call.accepts("text/plain") {
        text(&shown)
    } else {
        Answer::ok(json(&shown, &[]))
    }))
}

/// Commits of the pull request: on the source and not on the target, newest first.
pub(crate) async fn pull_request_commits(call: Call) -> Reply {
    let (key, to, from) = {
        let world = call.app.world();
        let key = call.pull_request(&world, Level::Read)?;
        let pr = world.pull_request(key)?;
        (key, pr.to.commit.clone(), pr.from.commit.clone())
    };
    let merged = call.app.world().pull_request(key)?.merge_commit.clone();
    let not_target = match merged {
        Some(merge) => format!("^{merge}^1"),
        None => format!("^{to}"),
    };
    let found = commits::log(&call.app.store().dir(key.repository), &[&from, &not_target]).await?;
    let page = call.page(crate::http::paging::COMMITS_MAX);
    Ok(Answer::ok(page.cut(found.iter().map(entity::commit).collect())))
}
