//! Build statuses (bitbucket-dc.md 3.9).

use serde::Deserialize;

use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::COMMITS_MAX;
use crate::json::{Json, object};
use crate::state::build::BuildStatus;
use crate::state::ids::RepositoryId;
use crate::state::permission::Level;
use crate::state::world::World;

const STATES: [&str; 5] = ["SUCCESSFUL", "FAILED", "INPROGRESS", "CANCELLED", "UNKNOWN"];
const KEY_CHARS_MAX: usize = 255;
const NAME_CHARS_MAX: usize = 255;
const URL_CHARS_MAX: usize = 450;
const REF_CHARS_MAX: usize = 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildBody {
    key: Option<String>,
    state: Option<String>,
    url: Option<String>,
    name: Option<String>,
    description: Option<String>,
    parent: Option<String>,
    #[serde(rename = "ref")]
    branch: Option<String>,
    build_number: Option<String>,
    duration: Option<i64>,
    test_results: Option<serde_json::Value>,
    project_key: Option<String>,
    repository_slug: Option<String>,
}

fn commit(call: &Call) -> Result<&str, RestError> {
    let id = call.param("commit");
    let full = id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if full {
        Ok(id)
    } else {
        Err(RestError::invalid("commitId", "A full commit id is required"))
    }
}

fn status(
    body: BuildBody,
    repository: RepositoryId,
    commit: &str,
    now: i64,
) -> Result<BuildStatus, RestError> {
    let required = |field: &str, value: Option<String>, limit: usize| {
        let value = value.filter(|value| !value.is_empty() && value.chars().count() <= limit);
        value.ok_or_else(|| {
            RestError::invalid(field, format!("{field} is required, at most {limit} characters"))
        })
    };
    let optional = |field: &str, value: &Option<String>, limit: usize| match value {
        Some(text) if text.chars().count() > limit => Err(RestError::invalid(
            field,
            format!("{field} has at most {limit} characters"),
        )),
        _ => Ok(()),
    };
    optional("name", &body.name, NAME_CHARS_MAX)?;
    optional("buildNumber", &body.build_number, NAME_CHARS_MAX)?;
    optional("parent", &body.parent, REF_CHARS_MAX)?;
    optional("ref", &body.branch, REF_CHARS_MAX)?;
    let state = body.state.filter(|state| STATES.contains(&state.as_str()));
    Ok(BuildStatus {
        repository,
        commit: commit.to_owned(),
        key: required("key", body.key, KEY_CHARS_MAX)?,
        state: state
            .ok_or_else(|| RestError::invalid("state", format!("state is one of {}", STATES.join(", "))))?,
        url: required("url", body.url, URL_CHARS_MAX)?,
        name: body.name,
        description: body.description,
        parent: body.parent,
        branch: body.branch,
        build_number: body.build_number,
        duration: body.duration,
        test_results: body.test_results,
        created: now,
        updated: now,
    })
}

/// The same key on the same commit replaces.
fn store(world: &mut World, new: BuildStatus) -> Result<(), RestError> {
    let builds = &mut world.repository_mut(new.repository)?.builds;
    let same = |old: &BuildStatus| old.commit == new.commit && old.key == new.key;
    let created = builds
        .iter()
        .find(|old| same(old))
        .map_or(new.created, |old| old.created);
    builds.retain(|old| !same(old));
    builds.push(BuildStatus { created, ..new });
    Ok(())
}

/// `POST {R}/commits/{c}/builds`: `REPO_READ` is enough.
pub(crate) async fn set(call: Call) -> Reply {
    let body: BuildBody = call.json()?;
    let mut world = call.app.change();
    let repository = call.repository(&world, Level::Read)?;
    store(
        &mut world,
        status(body, repository, commit(&call)?, call.app.now())?,
    )?;
    Ok(Answer::no_content())
}

/// `POST /rest/build-status/latest/commits/{c}`: the repository by body, else every one that knows the commit.
pub(crate) async fn set_anywhere(call: Call) -> Reply {
    let body: BuildBody = call.json()?;
    let mut world = call.app.change();
    let caller = call.caller()?;
    let named = body.project_key.as_deref().zip(body.repository_slug.as_deref());
    let named = named.and_then(|(key, slug)| Some(world.repository_by_slug(key, slug)?.id));
    let id = commit(&call)?;
    let by_commit = world
        .repositories
        .values()
        .find(|r| r.refs.values().any(|at| at == id))
        .map(|r| r.id);
    let repository = named
        .or(by_commit)
        .filter(|r| world.caller_on_repository(caller, *r).is_some());
    let repository = repository.ok_or_else(|| RestError::no_such_commit(id, ""))?;
    store(&mut world, status(body, repository, id, call.app.now())?)?;
    Ok(Answer::no_content())
}

fn entity(world: &World, build: &BuildStatus) -> Json {
    let repository = world.repositories.get(&build.repository);
    let project = repository.and_then(|repository| world.projects.get(&repository.project));
    object! { "key": &build.key }
        .with_some("name", build.name.as_ref())
        .with("state", &build.state)
        .with("url", &build.url)
        .with_some("description", build.description.as_ref())
        .with("createdDate", Json::Time(build.created))
        .with("updatedDate", Json::Time(build.updated))
        .with_some("projectKey", project.map(|project| &project.key))
        .with_some("repositorySlug", repository.map(|repository| &repository.slug))
        .with_some("ref", build.branch.as_ref())
        .with_some("parent", build.parent.as_ref())
        .with_some("buildNumber", build.build_number.as_ref())
        .with_some("duration", build.duration)
        .with_some("testResults", build.test_results.clone())
}

/// `GET {R}/commits/{c}/builds?key=`: one, by its key.
pub(crate) async fn get(call: Call) -> Reply {
    let world = call.app.world();
    let id = call.repository(&world, Level::Read)?;
    let commit = commit(&call)?;
    let key = call
        .query
        .get("key")
        .ok_or_else(|| RestError::invalid("key", "key is required"))?;
    let found = world
        .repository(id)?
        .builds
        .iter()
        .find(|build| build.commit == commit && build.key == key);
    let missing = || {
        RestError::not_found(
            "build.NoSuchBuildStatusException",
            format!("There is no build {key}."),
        )
    };
    Ok(Answer::ok(entity(&world, found.ok_or_else(missing)?)))
}

/// `DELETE {R}/commits/{c}/builds?key=`
pub(crate) async fn delete(call: Call) -> Reply {
    let mut world = call.app.change();
    let id = call.repository(&world, Level::Admin)?;
    let key = call
        .query
        .get("key")
        .ok_or_else(|| RestError::invalid("key", "key is required"))?;
    let commit = commit(&call)?;
    world
        .repository_mut(id)?
        .builds
        .retain(|build| build.commit != commit || build.key != key);
    Ok(Answer::no_content())
}

fn of_commit<'w>(call: &Call, world: &'w World) -> Result<Vec<&'w BuildStatus>, RestError> {
    let caller = call.caller()?;
    let commit = commit(call)?;
    let seen = world
        .repositories
        .values()
        .filter(|r| world.caller_on_repository(caller, r.id).is_some());
    Ok(seen
        .flat_map(|repository| &repository.builds)
        .filter(|build| build.commit == commit)
        .collect())
}

/// `GET /rest/build-status/latest/commits/{c}?orderBy=`: the only list.
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let mut found = of_commit(&call, &world)?;
    found.sort_by_key(|build| std::cmp::Reverse(build.updated));
    if call
        .query
        .get("orderBy")
        .is_some_and(|order| order.eq_ignore_ascii_case("oldest"))
    {
        found.reverse();
    }
    Ok(Answer::ok(call.page(COMMITS_MAX).cut(
        found.into_iter().map(|build| entity(&world, build)).collect(),
    )))
}

/// `GET /rest/build-status/latest/commits/stats/{c}`
pub(crate) async fn statistics(call: Call) -> Reply {
    let world = call.app.world();
    let found = of_commit(&call, &world)?;
    let count = |state: &str| found.iter().filter(|build| build.state == state).count();
    Ok(Answer::ok(object! {
        "successful": count("SUCCESSFUL"),
        "failed": count("FAILED"),
        "inProgress": count("INPROGRESS"),
        "cancelled": count("CANCELLED"),
        "unknown": count("UNKNOWN"),
    }))
}
