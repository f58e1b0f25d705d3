//! Files and directories at a commit.

use super::diffs::resolve;
use crate::entity;
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::{LIMIT_MAX, PageRequest};
use crate::json::{Json, object};
use crate::state::ids::RepositoryId;
use crate::state::permission::Level;

/// Lines of one browse page, at most.
const BROWSE_LINES_MAX: usize = 5000;

/// Repository and commit: `at`, else the default branch.
async fn at(call: &Call) -> Result<(RepositoryId, String), RestError> {
    let (id, default) = {
        let world = call.app.world();
        let id = call.repository(&world, Level::Read)?;
        (id, world.repository(id)?.default_branch.clone())
    };
    let commit = resolve(call, id, call.query.get("at").unwrap_or(&default)).await?;
    Ok((id, commit))
}

fn no_such_path(path: &str, commit: &str) -> RestError {
    let message = format!("The path \"{path}\" does not exist at revision \"{commit}\"");
    RestError::not_found("content.NoSuchPathException", message)
}

/// `GET {R}/raw/{path}?at=`
pub(crate) async fn raw(call: Call) -> Reply {
    let (id, commit) = at(&call).await?;
    let path = call.param("path");
    let bytes = call
        .app
        .store()
        .file(id, &commit, path)
        .await?
        .ok_or_else(|| no_such_path(path, &commit))?;
    let is_text = std::str::from_utf8(&bytes).is_ok();
    Ok(Answer::bytes(
        if is_text {
            "text/plain;charset=UTF-8"
        } else {
            "application/octet-stream"
        },
        bytes,
    ))
}

/// `GET {R}/files[/{path}]?at=`: every file below, relative to the path.
pub(crate) async fn list(call: Call) -> Reply {
    let (id, commit) = at(&call).await?;
    let path = call.param("path").trim_end_matches('/');
    if call.app.store().entries(id, &commit, path).await?.is_none() {
        return Err(no_such_path(path, &commit));
    }
    let files = call.app.store().all_files(id, &commit, path).await?;
    Ok(Answer::ok(
        call.page(LIMIT_MAX)
            .cut(files.into_iter().map(Json::from).collect()),
    ))
}

/// `GET {R}/browse[/{path}]?at=`: a directory's children or a file's lines; `type=true` only says which.
pub(crate) async fn browse(call: Call) -> Reply {
    let (id, commit) = at(&call).await?;
    let path = call.param("path").trim_end_matches('/').to_owned();
    let entries = call.app.store().entries(id, &commit, &path).await?;
    if call.query.flag("type") {
        let kind = if entries.is_some() { "DIRECTORY" } else { "FILE" };
        return Ok(Answer::ok(object! { "type": kind }));
    }
    let Some(entries) = entries else {
        return file(&call, id, &commit, &path).await;
    };
    let child = |entry: crate::git::files::TreeEntry| {
        let kind = match entry.kind.as_str() {
            "tree" => "DIRECTORY",
            "commit" => "SUBMODULE",
            _ => "FILE",
        };
        object! { "path": entity::path(&entry.name), "contentId": entry.id, "type": kind }
            .with_some("size", entry.size)
    };
    let children = call.page(LIMIT_MAX).cut(entries.into_iter().map(child).collect());
    Ok(Answer::ok(
        object! { "path": entity::path(&path), "revision": commit, "children": children },
    ))
}

async fn file(call: &Call, id: RepositoryId, commit: &str, path: &str) -> Reply {
    let bytes = call
        .app
        .store()
        .file(id, commit, path)
        .await?
        .ok_or_else(|| no_such_path(path, commit))?;
    let Ok(text) = String::from_utf8(bytes) else {
        return Ok(Answer::ok(object! { "binary": true, "path": entity::path(path) }));
    };
    let page = PageRequest::of(&call.query, BROWSE_LINES_MAX);
    let limit = call
        .query
        .number("limit")
        .map_or(BROWSE_LINES_MAX, |_| page.limit);
    let all: Vec<&str> = text.lines().collect();
    let lines: Vec<Json> = all
        .iter()
        .skip(page.start)
        .take(limit)
        .map(|line| object! { "text": *line })
        .collect();
    let end = page.start + lines.len();
    let answer = object! {
        "lines": lines.clone(), "start": page.start, "size": lines.len(), "isLastPage": end >= all.len(), "limit": limit,
    };
    Ok(Answer::ok(
        answer.with_some("nextPageStart", (end < all.len()).then_some(end)),
    ))
}
