//! Creating and updating pull requests (bitbucket-dc.md 3.5).

use serde::Deserialize;

use super::pull_requests::{NewPullRequest, check_text, check_version, open};
use super::transitions::illegal_state;
use crate::control::take::settle;
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::json::{Json, object};
use crate::state::activity::Action;
use crate::state::ids::{PullRequestKey, RepositoryId, UserId};
use crate::state::permission::Level;
use crate::state::pull_request::{Participant, PullRequest, RefEnd};
use crate::state::world::World;
use crate::webhook::payload::Event;

/// The limit of titles.
const TITLE_CHARS_MAX: usize = 255;

#[derive(Deserialize)]
struct NamedUser {
    user: UserName,
}

#[derive(Deserialize)]
struct UserName {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefBody {
    id: String,
    repository: Option<RepositoryBody>,
}

#[derive(Deserialize)]
struct RepositoryBody {
    slug: String,
    project: Option<ProjectBody>,
}

#[derive(Deserialize)]
struct ProjectBody {
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateBody {
    title: Option<String>,
    description: Option<String>,
    #[serde(default)]
    draft: bool,
    from_ref: Option<RefBody>,
    to_ref: Option<RefBody>,
    #[serde(default)]
    reviewers: Vec<NamedUser>,
}

/// `POST {R}/pull-requests`
pub(crate) async fn create(call: Call) -> Reply {
    let body: CreateBody = call.json()?;
    let (from, to) = {
        let world = call.app.world();
        let repository = call.repository(&world, Level::Read)?;
        let end = |body: &Option<RefBody>, field| {
            let body = body
                .as_ref()
                .ok_or_else(|| RestError::invalid(field, "A ref is required"))?;
            ref_end(&call, &world, repository, body)
        };
        (end(&body.from_ref, "fromRef")?, end(&body.to_ref, "toRef")?)
    };
    let in_target = call.app.store().dir(to.repository).exists();
    if from.repository == to.repository && in_target {
        let merged = call
            .app
            .store()
            .contains(to.repository, &to.commit, &from.commit)
            .await?;
        if merged {
            let message = format!(
                "{} is already up-to-date with {}",
                to.display_id(),
                from.display_id()
            );
            return Err(RestError::conflict("pull.EmptyPullRequestException", message));
        }
    }
    let key = {
        let mut world = call.app.change();
        refuse_duplicate(&call, &world, &from, &to)?;
        let title = checked_title(body.title.as_deref())?.to_owned();
        check_text("description", body.description.as_deref().unwrap_or_default())?;
        let author = call.caller()?.user;
        let reviewers = reviewers(&world, &body.reviewers, author)?;
        let new = NewPullRequest {
            id: None,
            title,
            description: body.description,
            draft: body.draft,
            from,
            to,
            author,
            reviewers,
        };
        open(&call.app, &mut world, new, call.app.now())?
    };
    settle(&call.app, key).await?;
    let world = call.app.world();
    Ok(Answer::created(call.render(&world).pull_request(key)))
}

fn ref_end(call: &Call, world: &World, default: RepositoryId, body: &RefBody) -> Result<RefEnd, RestError> {
    let repository = match &body.repository {
        None => world.repository(default)?,
        Some(named) => {
            let own = world.project_of(world.repository(default)?)?.key.clone();
            let key = named
                .project
                .as_ref()
                .map_or(own.as_str(), |project| project.key.as_str());
            let found = world.repository_by_slug(key, &named.slug);
            found.ok_or_else(|| RestError::no_such_repository(key, &named.slug))?
        }
    };
    if world
        .caller_on_repository(call.caller()?, repository.id)
        .is_none()
    {
        return Err(RestError::not_permitted());
    }
    let name = if body.id.starts_with("refs/") {
        body.id.clone()
    } else {
        format!("refs/heads/{}", body.id)
    };
    let commit = repository
        .refs
        .get(&name)
        .ok_or_else(|| RestError::no_such_branch(&body.id))?
        .clone();
    Ok(RefEnd {
        repository: repository.id,
        name,
        commit,
    })
}

fn refuse_duplicate(call: &Call, world: &World, from: &RefEnd, to: &RefEnd) -> Result<(), RestError> {
    let same = |pr: &&PullRequest| {
        let end = |a: &RefEnd, b: &RefEnd| a.repository == b.repository && a.name == b.name;
        pr.is_open() && end(&pr.from, from) && end(&pr.to, to)
    };
    let Some(existing) = world.repository(to.repository)?.pull_requests.values().find(same) else {
        return Ok(());
    };
    let key = PullRequestKey {
        repository: to.repository,
        id: existing.id,
    };
    let message = "Only one pull request may be open for a given source and target branch";
    Err(RestError::conflict("pull.DuplicatePullRequestException", message)
        .extra("existingPullRequest", call.render(world).pull_request(key)))
}

fn checked_title(title: Option<&str>) -> Result<&str, RestError> {
    match title.map(str::trim) {
        Some(title) if !title.is_empty() && title.chars().count() <= TITLE_CHARS_MAX => Ok(title),
        _ => Err(RestError::invalid(
            "title",
            "A title of at most 255 characters is required",
        )),
    }
}

fn reviewers(world: &World, named: &[NamedUser], author: UserId) -> Result<Vec<UserId>, RestError> {
    let mut users = Vec::new();
    let mut errors = Vec::new();
    for NamedUser {
        user: UserName { name },
    } in named
    {
        match world.user_named(name) {
            Some(user) if user.id == author => {
                errors.push((name, "The author of a pull request cannot be a reviewer"));
            }
            Some(user) if !users.contains(&user.id) => users.push(user.id),
            Some(_) => {}
            None => errors.push((name, "is not a user")),
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    let error = |(name, message): (&String, &str)| {
        object! { "context": name, "message": format!("{name}: {message}"), "exceptionName": Json::Null }
    };
    let message = "Errors encountered while adding some reviewers to this pull request.";
    Err(
        RestError::conflict("pull.InvalidPullRequestReviewersException", message).extra(
            "reviewerErrors",
            errors.into_iter().map(error).collect::<Vec<_>>(),
        ),
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateBody {
    title: Option<String>,
    description: Option<String>,
    draft: Option<bool>,
    to_ref: Option<RefBody>,
    #[serde(default)]
    reviewers: Vec<NamedUser>,
}

/// `PUT {PR}`: the author, or whoever may write. Reviewers are replaced, an absent description is cleared.
pub(crate) async fn update(call: Call) -> Reply {
    let body: UpdateBody = call.json()?;
    let mut world = call.app.change();
    let key = call.pull_request(&world, Level::Read)?;
    let caller = call.caller()?.clone();
    let before = world.pull_request(key)?.clone();
    if caller.user != before.author {
        call.pull_request(&world, Level::Write)?;
    }
    check_version(&before, call.version())?;
    if !before.is_open() {
        return Err(illegal_state(&before));
    }
    let title = match &body.title {
        Some(title) => checked_title(Some(title))?.to_owned(),
        None => before.title.clone(),
    };
    check_text("description", body.description.as_deref().unwrap_or_default())?;
    let reviewers = reviewers(&world, &body.reviewers, before.author)?;
    let to = body
        .to_ref
        .as_ref()
        .map(|to| ref_end(&call, &world, key.repository, to))
        .transpose()?;
    let now = call.app.now();
    let pr = world.pull_request_mut(key)?;
    pr.title = title;
    pr.description = body.description.filter(|text| !text.is_empty());
    pr.draft = body.draft.unwrap_or(pr.draft);
    pr.to = to.unwrap_or_else(|| before.to.clone());
    let kept = |user: &UserId| {
        before
            .reviewers
            .iter()
            .find(|reviewer| reviewer.user == *user)
            .cloned()
    };
    pr.reviewers = reviewers
        .iter()
        .map(|user| kept(user).unwrap_or_else(|| Participant::new(*user)))
        .collect();
    pr.version += 1;
    pr.updated = now;
    world.record(key, caller.user, now, Action::Plain("UPDATED"))?;
    tell_of_update(&call, &world, key, &before, caller.user)?;
    Ok(Answer::ok(call.render(&world).pull_request(key)))
}

fn tell_of_update(
    call: &Call,
    world: &World,
    key: PullRequestKey,
    before: &PullRequest,
    actor: UserId,
) -> Result<(), RestError> {
    let after = world.pull_request(key)?;
    let render = call.app.render(world);
    let changed = before.title != after.title
        || before.description != after.description
        || before.draft != after.draft
        || before.to != after.to;
    if changed {
        let target = object! {
            "id": &before.to.name,
            "displayId": before.to.display_id(),
            "type": "BRANCH",
            "latestCommit": &before.to.commit,
            "latestChangeset": &before.to.commit,
        };
        let event = Event::of_pull_request("pr:modified", actor, render, key)
            .with("previousTitle", &before.title)
            .with("previousDescription", before.description.as_ref())
            .with("previousDraft", before.draft)
            .with("previousTarget", target);
        call.app.emit(world, key.repository, event);
    }
    let users = |list: &[Participant]| list.iter().map(|reviewer| reviewer.user).collect::<Vec<_>>();
    let (old, new) = (users(&before.reviewers), users(&after.reviewers));
    let only = |these: &[UserId], those: &[UserId]| -> Vec<Json> {
        these
            .iter()
            .filter(|user| !those.contains(user))
            .map(|user| render.user(*user))
            .collect()
    };
    let (added, removed) = (only(&new, &old), only(&old, &new));
    if !added.is_empty() || !removed.is_empty() {
        let event = Event::of_pull_request("pr:reviewer:updated", actor, render, key)
            .with("addedReviewers", added)
            .with("removedReviewers", removed);
        call.app.emit(world, key.repository, event);
    }
    Ok(())
}
