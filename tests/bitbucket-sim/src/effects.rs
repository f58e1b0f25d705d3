//! What follows from a change of refs: pull requests move, activities, webhooks, the `/merge` ref.

use std::collections::BTreeMap;

use crate::app::App;
use crate::entity;
use crate::git::commits::{self, Commit};
use crate::git::store::NO_COMMIT;
use crate::json::{Json, object};
use crate::state::activity::{Action, Rescoped};
use crate::state::ids::{PullRequestKey, RepositoryId, UserId};
use crate::state::pull_request::PullRequestState;
use crate::state::world::World;
use crate::webhook::payload::Event;

/// Commits listed in `repo:refs_changed` and in a RESCOPED activity, at most.
const EVENT_COMMITS_MAX: usize = 5;
const RESCOPED_COMMITS_MAX: &str = "-100";

/// A branch or tag that moved.
#[derive(Clone, Debug)]
struct RefChange {
    name: String,
    from: String,
    to: String,
}

/// How a pull request moves with it.
struct Move {
    key: PullRequestKey,
    rescoped: Rescoped,
    /// The target now contains the source: merged from outside.
    merged: bool,
}

/// Compares the refs with what was known, and lets everything follow that has to.
pub(crate) async fn refs_may_have_changed(
    app: &App,
    repository: RepositoryId,
    user: UserId,
) -> anyhow::Result<()> {
    let after = app.store().refs(repository).await?;
    let before = match app.world().repositories.get(&repository) {
        Some(repository) => repository.refs.clone(),
        None => return Ok(()),
    };
    let changes = compare(&before, &after);
    if changes.is_empty() {
        return Ok(());
    }
    let mut moves = Vec::new();
    for change in changes.iter().filter(|change| change.to != NO_COMMIT) {
        let keys = app.world().open_pull_requests_on(repository, &change.name);
        for key in keys {
            moves.extend(plan_move(app, repository, change, key).await?);
        }
    }
    let newest = match changes.iter().find(|change| change.to != NO_COMMIT) {
        Some(change) => commits::log(&app.store().dir(repository), &["-6", &change.to]).await?,
        None => Vec::new(),
    };
    let moved: Vec<PullRequestKey> = moves.iter().map(|m| m.key).collect();
    {
        let mut world = app.change();
        if let Some(repository) = world.repositories.get_mut(&repository) {
            repository.refs = after;
        }
        let event = refs_changed(app, &world, repository, user, &changes, &newest);
        app.emit(&world, repository, event);
        for one in moves {
            apply(app, &mut world, user, one)?;
        }
    }
    for key in moved {
        refresh_merge_ref_later(app, key);
    }
    Ok(())
}

fn compare(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<RefChange> {
    let of = |refs: &BTreeMap<String, String>, name: &str| {
        refs.get(name).cloned().unwrap_or_else(|| NO_COMMIT.into())
    };
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .map(|name| RefChange {
            name: name.clone(),
            from: of(before, name),
            to: of(after, name),
        })
        .filter(|change| change.from != change.to)
        .collect()
}

async fn plan_move(
    app: &App,
    repository: RepositoryId,
    change: &RefChange,
    key: PullRequestKey,
) -> anyhow::Result<Option<Move>> {
    let pr = app
        .world()
        .pull_request(key)
        .ok()
        .map(|pr| (pr.from.clone(), pr.to.clone()));
    let Some((old_from, old_to)) = pr else {
        return Ok(None);
    };
    let (mut from, mut to) = (old_from.clone(), old_to.clone());
    let is_source = from.repository == repository && from.name == change.name;
    if is_source {
        from.commit.clone_from(&change.to);
        app.store().set_from_ref(key, repository, &from.commit).await?;
    } else {
        to.commit.clone_from(&change.to);
    }
    let dir = app.store().dir(key.repository);
    let (not_old, not_new) = (format!("^{}", old_from.commit), format!("^{}", from.commit));
    let (added, removed) = if is_source {
        let added = [RESCOPED_COMMITS_MAX, from.commit.as_str(), not_old.as_str()];
        let removed = [RESCOPED_COMMITS_MAX, old_from.commit.as_str(), not_new.as_str()];
        tokio::try_join!(commits::log(&dir, &added), commits::log(&dir, &removed))?
    } else {
        (Vec::new(), Vec::new())
    };
    let merged = !is_source
        && app
            .store()
            .contains(key.repository, &to.commit, &from.commit)
            .await?;
    let rescoped = Rescoped {
        from_hash: from.commit,
        previous_from_hash: old_from.commit,
        to_hash: to.commit,
        previous_to_hash: old_to.commit,
        added,
        removed,
    };
    Ok(Some(Move {
        key,
        rescoped,
        merged,
    }))
}

/// A push leaves the version as it is; only `updatedDate` moves.
fn apply(app: &App, world: &mut World, user: UserId, one: Move) -> anyhow::Result<()> {
    let now = app.now();
    let Ok(pr) = world.pull_request_mut(one.key) else {
        return Ok(());
    };
    let previous = one.rescoped.previous_from_hash.clone();
    let source_moved = previous != one.rescoped.from_hash;
    pr.from.commit.clone_from(&one.rescoped.from_hash);
    pr.to.commit.clone_from(&one.rescoped.to_hash);
    pr.updated = now;
    if one.merged {
        pr.state = PullRequestState::Merged;
        pr.closed = Some(now);
        pr.version += 1;
    }
    let rescoped = Action::Rescoped(Box::new(one.rescoped));
    world
        .record(one.key, user, now, rescoped)
        .map_err(|_| anyhow::anyhow!("a pull request went away"))?;
    let render = app.render(world);
    if source_moved {
        let event = Event::of_pull_request("pr:from_ref_updated", user, render, one.key);
        app.emit(
            world,
            one.key.repository,
            event.with("previousFromHash", previous),
        );
    }
    if one.merged {
        let event = Event::of_pull_request("pr:merged", user, render, one.key);
        app.emit(world, one.key.repository, event);
        world
            .record(one.key, user, now, Action::Merged { commit: None })
            .map_err(|_| anyhow::anyhow!("a pull request went away"))?;
    }
    Ok(())
}

fn refs_changed(
    app: &App,
    world: &World,
    repository: RepositoryId,
    user: UserId,
    changes: &[RefChange],
    newest: &[Commit],
) -> Event {
    let event = Event {
        key: "repo:refs_changed",
        actor: user,
        fields: Vec::new(),
    }
    .with("repository", app.render(world).repository_by_id(repository))
    .with("changes", changes.iter().map(change_entity).collect::<Vec<_>>());
    let Some(change) = changes.iter().find(|change| change.to != NO_COMMIT) else {
        return event;
    };
    let new = newest
        .iter()
        .take_while(|commit| commit.id != change.from)
        .take(EVENT_COMMITS_MAX);
    let event = event.with("commits", new.map(entity::commit).collect::<Vec<_>>());
    match newest.first() {
        Some(tip) => event.with("toCommit", with_parents(tip, newest)),
        None => event,
    }
}

fn change_entity(change: &RefChange) -> Json {
    let display_id = change.name.split('/').skip(2).collect::<Vec<_>>().join("/");
    let kind = match (change.from.as_str(), change.to.as_str()) {
        (NO_COMMIT, _) => "ADD",
        (_, NO_COMMIT) => "DELETE",
        _ => "UPDATE",
    };
    let ref_type = if change.name.starts_with("refs/tags/") {
        "TAG"
    } else {
        "BRANCH"
    };
    object! {
        "ref": object! { "id": &change.name, "displayId": display_id, "type": ref_type },
        "refId": &change.name,
        "fromHash": &change.from,
        "toHash": &change.to,
        "type": kind,
    }
}

/// The tip with its parents as whole commits.
fn with_parents(tip: &Commit, known: &[Commit]) -> Json {
    let Json::Object(mut fields) = entity::commit(tip) else {
        return Json::Null;
    };
    let parents: Vec<Json> = tip
        .parents
        .iter()
        .filter_map(|id| known.iter().find(|c| c.id == *id))
        .map(entity::commit)
        .collect();
    if parents.len() == tip.parents.len()
        && let Some((_, value)) = fields.iter_mut().find(|(key, _)| key == "parents")
    {
        *value = Json::List(parents);
    }
    Json::Object(fields)
}

/// Recomputes mergeability beside the answer, as Bitbucket does: the ref may lag.
pub(crate) fn refresh_merge_ref_later(app: &App, key: PullRequestKey) {
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(error) = refresh_merge_ref(&app, key).await {
            tracing::warn!(error = format!("{error:#}"), "the merge ref was not refreshed");
        }
    });
}

/// Whether an open pull request merges; its `/merge` ref says so too.
pub(crate) async fn refresh_merge_ref(app: &App, key: PullRequestKey) -> anyhow::Result<bool> {
    let lock = app.store().lock(key.repository);
    let _one_at_a_time = lock.lock().await;
    let ends = {
        let world = app.world();
        let pr = world.pull_request(key).ok().filter(|pr| pr.is_open());
        pr.map(|pr| (pr.to.commit.clone(), pr.from.commit.clone()))
    };
    let Some((to, from)) = ends else { return Ok(false) };
    app.store().refresh_merge_ref(key, &to, &from).await
}
