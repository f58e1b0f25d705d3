//! Commits and changes.

use super::diffs::{pull_request_diff, resolve};
use crate::entity;
use crate::git::commits;
use crate::git::store::{DiffOptions, NO_COMMIT};
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::{COMMITS_MAX, LIMIT_MAX};
use crate::json::{Json, object};
use crate::state::ids::RepositoryId;
use crate::state::permission::Level;

/// A commit id that git must not take for an option.
fn plain(id: &str) -> bool {
    id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `GET {R}/commits?until=&since=&path=`
pub(crate) async fn list(call: Call) -> Reply {
    let (repository, default) = repository(&call)?;
    let until = resolve(&call, repository, call.query.get("until").unwrap_or(&default)).await?;
    let page = call.page(COMMITS_MAX);
    let mut args = vec![until];
    if let Some(since) = call.query.get("since") {
        args.push(format!("^{}", resolve(&call, repository, since).await?));
    }
    // One more than the page needs tells whether it is the last.
    args.push(format!("--max-count={}", page.start + page.limit + 1));
    if let Some(path) = call.query.get("path") {
        args.extend(["--".to_owned(), path.to_owned()]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let found = commits::log(&call.app.store().dir(repository), &args).await?;
    Ok(Answer::ok(page.cut(found.iter().map(entity::commit).collect())))
}

fn repository(call: &Call) -> Result<(RepositoryId, String), RestError> {
    let world = call.app.world();
    let id = call.repository(&world, Level::Read)?;
    Ok((id, world.repository(id)?.default_branch.clone()))
}

/// `GET {R}/commits/{c}`
pub(crate) async fn get(call: Call) -> Reply {
    let (repository, _) = repository(&call)?;
    let id = resolve(&call, repository, call.param("commit")).await?;
    Ok(Answer::ok(entity::commit(
        &call.app.store().commit(repository, &id).await?,
    )))
}

/// `GET {R}/commits/{c}/changes?since=`
pub(crate) async fn changes(call: Call) -> Reply {
    let (repository, _) = repository(&call)?;
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
    let values = changed(&call, repository, &since, &until, false).await?;
    Ok(Answer::ok(with_hashes(&call, values, &since, &until)))
}

/// `GET {R}/changes?since=&until=`
pub(crate) async fn repository_changes(call: Call) -> Reply {
    let (repository, default) = repository(&call)?;
    let until = resolve(&call, repository, call.query.get("until").unwrap_or(&default)).await?;
    let since = match call.query.get("since") {
        Some(since) => resolve(&call, repository, since).await?,
        None => NO_COMMIT.to_owned(),
    };
    let values = changed(&call, repository, &since, &until, false).await?;
    Ok(Answer::ok(with_hashes(&call, values, &since, &until)))
}

/// `GET {R}/compare/changes?from=&to=`
pub(crate) async fn compare_changes(call: Call) -> Reply {
    let (repository, _) = repository(&call)?;
    let from = resolve(&call, repository, call.query.get("from").unwrap_or_default()).await?;
    let to = resolve(&call, repository, call.query.get("to").unwrap_or_default()).await?;
    let values = changed(&call, repository, &to, &from, true).await?;
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(values)))
}

/// `GET {R}/compare/commits?from=&to=`
pub(crate) async fn compare_commits(call: Call) -> Reply {
    let (repository, _) = repository(&call)?;
    let from = resolve(&call, repository, call.query.get("from").unwrap_or_default()).await?;
    let not_to = format!(
        "^{}",
        resolve(&call, repository, call.query.get("to").unwrap_or_default()).await?
    );
    let found = commits::log(&call.app.store().dir(repository), &[&from, &not_to]).await?;
    Ok(Answer::ok(
        call.page(COMMITS_MAX)
            .cut(found.iter().map(entity::commit).collect()),
    ))
}

/// `GET {R}/commits/{c}/merge-base?otherCommitId=`: 204 when there is none.
pub(crate) async fn merge_base(call: Call) -> Reply {
    let (repository, _) = repository(&call)?;
    let one = resolve(&call, repository, call.param("commit")).await?;
    let other = resolve(
        &call,
        repository,
        call.query.get("otherCommitId").unwrap_or_default(),
    )
    .await?;
    base(&call, repository, &one, &other).await
}

/// `GET {PR}/merge-base`
pub(crate) async fn pull_request_merge_base(call: Call) -> Reply {
    let (repository, to, from) = {
        let world = call.app.world();
        let key = call.pull_request(&world, Level::Read)?;
        let pr = world.pull_request(key)?;
        (key.repository, pr.to.commit.clone(), pr.from.commit.clone())
    };
    base(&call, repository, &to, &from).await
}

async fn base(call: &Call, repository: RepositoryId, one: &str, other: &str) -> Reply {
    let found = call.app.store().merge_base(repository, one, other).await?;
    let Some(id) = found else {
        return Ok(Answer::no_content());
    };
    Ok(Answer::ok(entity::commit(
        &call.app.store().commit(repository, &id).await?,
    )))
}

/// `GET {PR}/changes`: not pageable, at most 1000 (bitbucket-dc.md 3.2).
pub(crate) async fn of_pull_request(call: Call) -> Reply {
    let key = call.pull_request(&call.app.world(), Level::Read)?;
    let (from, to, _) = pull_request_diff(&call, key, &DiffOptions::default()).await?;
    let effective = call.query.get("sinceId").is_none();
    let mut values = changed(&call, key.repository, &from, &to, effective).await?;
    values.truncate(LIMIT_MAX);
    Ok(Answer::ok(with_hashes(&call, values, &from, &to)))
}

fn with_hashes(call: &Call, values: Vec<Json>, from: &str, to: &str) -> Json {
    let (size, limit) = (values.len(), call.page(LIMIT_MAX).limit.max(values.len()));
    object! {
        "fromHash": from,
        "toHash": to,
        "properties": object! { "changeScope": "ALL" },
        "values": values,
        "size": size,
        "isLastPage": true,
        "start": 0,
        "limit": limit,
        "nextPageStart": Json::Null,
    }
}

async fn changed(
    call: &Call,
    repository: RepositoryId,
    since: &str,
    until: &str,
    effective: bool,
) -> Result<Vec<Json>, RestError> {
    let store = call.app.store();
    let found = if since == NO_COMMIT || !plain(since) {
        let empty =
            crate::git::command::git_with_input(&store.dir(repository), &["mktree"], Some(b"")).await?;
        let empty = String::from_utf8_lossy(&empty).trim().to_owned();
        store.raw_changes(repository, &[&empty, until]).await?
    } else {
        let range = format!("{since}{}{until}", if effective { "..." } else { ".." });
        store.raw_changes(repository, &[&range]).await?
    };
    let world = call.app.world();
    let page = format!(
        "{}{}/diff",
        call.app.base_url(),
        call.render(&world).repository_path(world.repository(repository)?)
    );
    Ok(found.iter().map(|change| entity::change(change, &page)).collect())
}
