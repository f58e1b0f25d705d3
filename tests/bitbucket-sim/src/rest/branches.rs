//! Branches, tags and the default branch.

use http::StatusCode;
use serde::Deserialize;

use super::diffs::resolve;
use crate::effects;
use crate::entity;
use crate::git::store::NO_COMMIT;
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::{Json, object};
use crate::state::ids::RepositoryId;
use crate::state::permission::Level;

/// `GET {R}/branches?filterText=&base=&orderBy=`: the default branch first.
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let id = call.repository(&world, Level::Read)?;
    let repository = world.repository(id)?;
    let filter = call.query.get("filterText").unwrap_or_default().to_lowercase();
    let mut found: Vec<(&String, &String)> = repository
        .refs
        .iter()
        .filter(|(name, _)| name.starts_with("refs/heads/") && name.to_lowercase().contains(&filter))
        .collect();
    let default = format!("refs/heads/{}", repository.default_branch);
    found.sort_by_key(|(name, _)| **name != default);
    let found = found
        .into_iter()
        .map(|(name, commit)| entity::branch(repository, name, commit))
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

/// `GET {R}/tags`
pub(crate) async fn tags(call: Call) -> Reply {
    let world = call.app.world();
    let id = call.repository(&world, Level::Read)?;
    let repository = world.repository(id)?;
    let tag = |(name, commit): (&String, &String)| {
        let display_id = name.strip_prefix("refs/tags/")?;
        Some(object! {
            "id": name, "displayId": display_id, "type": "TAG", "latestCommit": commit, "latestChangeset": commit,
        })
    };
    let found = repository.refs.iter().filter_map(tag).collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BranchBody {
    name: Option<String>,
    start_point: Option<String>,
    end_point: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// `POST {R}/branches`: 200.
pub(crate) async fn create(call: Call) -> Reply {
    create_with(call, StatusCode::OK).await
}

/// `POST /rest/branch-utils/latest/…/branches`: 201.
pub(crate) async fn create_by_utils(call: Call) -> Reply {
    create_with(call, StatusCode::CREATED).await
}

async fn create_with(call: Call, status: StatusCode) -> Reply {
    let body: BranchBody = call.json()?;
    let (id, slug) = writable(&call)?;
    let short = body
        .name
        .filter(|name| !name.is_empty())
        .ok_or_else(|| RestError::invalid("name", "A name is required"))?;
    let short = short.strip_prefix("refs/heads/").unwrap_or(&short).to_owned();
    let name = format!("refs/heads/{short}");
    let start = body
        .start_point
        .ok_or_else(|| RestError::invalid("startPoint", "A start point is required"))?;
    let commit = resolve(&call, id, &start).await?;
    if call.app.world().repository(id)?.refs.contains_key(&name) {
        let message = format!("Branch '{short}' already exists in repository '{slug}'");
        return Err(RestError::new(
            StatusCode::BAD_REQUEST,
            "repository.DuplicateRefException",
            message,
        ));
    }
    let dir = call.app.store().dir(id);
    if !crate::git::command::run(&dir, &["check-ref-format", &name], None)
        .await?
        .status
        .success()
    {
        return Err(RestError::invalid(
            "name",
            format!("'{short}' is not a valid branch name"),
        ));
    }
    move_ref(&call, id, &name, &commit).await?;
    let world = call.app.world();
    Ok(Answer::with_status(
        status,
        entity::branch(world.repository(id)?, &name, &commit),
    ))
}

fn writable(call: &Call) -> Result<(RepositoryId, String), RestError> {
    let world = call.app.world();
    let id = call.repository(&world, Level::Write)?;
    let repository = world.repository(id)?;
    if repository.archived {
        let message = "The repository is archived and cannot be modified.";
        return Err(RestError::conflict(
            "repository.RepositoryArchivedException",
            message,
        ));
    }
    Ok((id, repository.slug.clone()))
}

async fn move_ref(call: &Call, id: RepositoryId, name: &str, commit: &str) -> Result<(), RestError> {
    let user = call.caller()?.user;
    let lock = call.app.store().lock(id);
    let _one_at_a_time = lock.lock().await;
    call.app.store().update_ref(id, name, commit).await?;
    effects::refs_may_have_changed(&call.app, id, user).await?;
    Ok(())
}

/// `DELETE /rest/branch-utils/latest/…/branches`, with a body; a branch that is gone is no error.
pub(crate) async fn delete(call: Call) -> Reply {
    let body: BranchBody = call.json()?;
    let (id, _) = writable(&call)?;
    let name = body
        .name
        .ok_or_else(|| RestError::invalid("name", "A name is required"))?;
    let name = if name.starts_with("refs/") {
        name
    } else {
        format!("refs/heads/{name}")
    };
    let current = {
        let world = call.app.world();
        let repository = world.repository(id)?;
        if name == format!("refs/heads/{}", repository.default_branch) {
            let message = "The default branch cannot be deleted.";
            return Err(RestError::new(
                StatusCode::BAD_REQUEST,
                "repository.DefaultBranchDeletionException",
                message,
            ));
        }
        repository.refs.get(&name).cloned()
    };
    let Some(current) = current else {
        return Ok(Answer::no_content());
    };
    if body.end_point.is_some_and(|expected| expected != current) {
        let message = "The branch has moved since it was last seen.";
        return Err(RestError::new(
            StatusCode::BAD_REQUEST,
            "repository.RefOutOfDateException",
            message,
        ));
    }
    if !body.dry_run {
        move_ref(&call, id, &name, NO_COMMIT).await?;
    }
    Ok(Answer::no_content())
}

/// `GET {R}/default-branch`: 404 for an empty repository or a missing branch.
pub(crate) async fn default_branch(call: Call) -> Reply {
    let world = call.app.world();
    let id = call.repository(&world, Level::Read)?;
    let repository = world.repository(id)?;
    let name = format!("refs/heads/{}", repository.default_branch);
    let commit = repository
        .refs
        .get(&name)
        .ok_or_else(|| RestError::no_such_branch(&repository.default_branch))?;
    Ok(Answer::ok(entity::branch(repository, &name, commit)))
}

/// `PUT {R}/default-branch`
pub(crate) async fn set_default_branch(call: Call) -> Reply {
    let body: serde_json::Value = call.json()?;
    let mut world = call.app.change();
    let id = call.repository(&world, Level::Admin)?;
    let name = body
        .get("id")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let short = name.strip_prefix("refs/heads/").unwrap_or(name).to_owned();
    let repository = world.repository_mut(id)?;
    if !repository.refs.contains_key(&format!("refs/heads/{short}")) {
        return Err(RestError::no_such_branch(&short));
    }
    repository.default_branch = short;
    Ok(Answer::no_content())
}

/// `GET /rest/branch-utils/latest/…/branches/info/{c}`: branches that point to the commit.
pub(crate) async fn of_commit(call: Call) -> Reply {
    let world = call.app.world();
    let id = call.repository(&world, Level::Read)?;
    let repository = world.repository(id)?;
    let commit = call.param("commit");
    let here = repository
        .refs
        .iter()
        .filter(|(name, at)| name.starts_with("refs/heads/") && *at == commit);
    let found: Vec<Json> = here
        .map(|(name, at)| entity::branch(repository, name, at))
        .collect();
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(found)))
}
