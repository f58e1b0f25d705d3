//! Pull requests: list, open, read, delete (bitbucket-dc.md 3.5).

use http::StatusCode;

use super::diffs;
use crate::app::App;
use crate::entity::Render;
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::Json;
use crate::state::activity::Action;
use crate::state::ids::{PullRequestId, PullRequestKey, UserId};
use crate::state::permission::Level;
use crate::state::pull_request::{Participant, PullRequest, PullRequestState, RefEnd};
use crate::state::world::World;
use crate::webhook::payload::Event;

/// The limit of descriptions and comments (bitbucket-dc.md 3.6).
pub(crate) const TEXT_CHARS_MAX: usize = 32_768;

/// What a new pull request needs.
pub(crate) struct NewPullRequest {
    /// The next free number if absent or taken.
    pub(crate) id: Option<u64>,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) draft: bool,
    pub(crate) from: RefEnd,
    pub(crate) to: RefEnd,
    pub(crate) author: UserId,
    pub(crate) reviewers: Vec<UserId>,
}

/// Adds an open pull request to the world and tells the webhooks. Its git refs come with [`settle`](crate::control::take::settle).
pub(crate) fn open(
    app: &App,
    world: &mut World,
    new: NewPullRequest,
    now: i64,
) -> Result<PullRequestKey, RestError> {
    let repository = world.repository_mut(new.to.repository)?;
    let known = |id: &u64| repository.pull_requests.contains_key(&PullRequestId(*id));
    let id = new
        .id
        .filter(|id| !known(id))
        .unwrap_or(repository.last_pull_request + 1);
    repository.last_pull_request = repository.last_pull_request.max(id);
    let key = PullRequestKey {
        repository: new.to.repository,
        id: PullRequestId(id),
    };
    let pull_request = PullRequest {
        id: key.id,
        version: 0,
        title: new.title,
        description: new.description.filter(|text| !text.is_empty()),
        state: PullRequestState::Open,
        draft: new.draft,
        created: now,
        updated: now,
        closed: None,
        from: new.from,
        to: new.to,
        author: new.author,
        reviewers: new.reviewers.into_iter().map(Participant::new).collect(),
        participants: Vec::new(),
        merge_commit: None,
        comments: std::collections::BTreeMap::new(),
        activities: Vec::new(),
    };
    repository.pull_requests.insert(key.id, pull_request);
    world.record(key, new.author, now, Action::Opened)?;
    app.emit(
        world,
        key.repository,
        Event::of_pull_request("pr:opened", new.author, app.render(world), key),
    );
    Ok(key)
}

impl Call {
    /// Renders for the caller.
    pub(crate) fn render<'w>(&'w self, world: &'w World) -> Render<'w> {
        let viewer = self.caller().ok().map(|caller| caller.user);
        Render {
            world,
            base_url: self.app.base_url(),
            viewer,
        }
    }
}

/// `GET {R}/pull-requests`
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let id = call.repository(&world, Level::Read)?;
    let repository = world.repository(id)?;
    let state = call.query.get("state").unwrap_or("OPEN");
    let at = call.query.get("at");
    let outgoing = call
        .query
        .get("direction")
        .is_some_and(|d| d.eq_ignore_ascii_case("outgoing"));
    let filter = call.query.get("filterText").unwrap_or_default().to_lowercase();
    let wanted = |pr: &&PullRequest| {
        let end = if outgoing { &pr.from } else { &pr.to };
        (state.eq_ignore_ascii_case("all") || state.eq_ignore_ascii_case(pr.state.name()))
            && at.is_none_or(|at| end.name == at || end.display_id() == at)
            && pr.title.to_lowercase().contains(&filter)
    };
    let mut found: Vec<&PullRequest> = repository.pull_requests.values().filter(wanted).collect();
    found.sort_by_key(|pr| std::cmp::Reverse((pr.updated, pr.id)));
    if call
        .query
        .get("order")
        .is_some_and(|order| order.eq_ignore_ascii_case("oldest"))
    {
        found.reverse();
    }
    let render = call.render(&world);
    let entity = |pr: &PullRequest| {
        let entity = render.pull_request(PullRequestKey {
            repository: id,
            id: pr.id,
        });
        with_properties(entity, pr)
    };
    Ok(Answer::ok(
        call.page(LIMIT_MAX).cut(found.into_iter().map(entity).collect()),
    ))
}

fn with_properties(entity: Json, pr: &PullRequest) -> Json {
    let Json::Object(fields) = entity else {
        return entity;
    };
    let rest = fields
        .into_iter()
        .filter(|(key, _)| key != "properties")
        .collect();
    Json::Object(rest).with("properties", Render::properties(pr))
}

/// `GET {PR}`, also `GET {PR}.diff` and `{PR}.patch`, whose suffix is part of the number's segment.
pub(crate) async fn get(call: Call) -> Reply {
    if matches!(call.param("id").split_once('.'), Some((_, "diff" | "patch"))) {
        return diffs::suffixed(call).await;
    }
    let world = call.app.world();
    let key = call.pull_request(&world, Level::Read)?;
    let entity = call.render(&world).pull_request(key);
    if call.query.flag("withProperties") {
        return Ok(Answer::ok(with_properties(entity, world.pull_request(key)?)));
    }
    Ok(Answer::ok(entity))
}

/// 400 for a text over the limit.
pub(crate) fn check_text(field: &str, text: &str) -> Result<(), RestError> {
    if text.chars().count() > TEXT_CHARS_MAX {
        let message = format!("Please enter a value no longer than {TEXT_CHARS_MAX} characters");
        return Err(RestError::invalid(field, message));
    }
    Ok(())
}

/// 409 with both versions if the expected one is not the current one.
pub(crate) fn check_version(pr: &PullRequest, expected: Option<u64>) -> Result<(), RestError> {
    if expected == Some(pr.version) {
        return Ok(());
    }
    Err(RestError::out_of_date("pull request", pr.version, expected))
}

/// `DELETE {PR}`: its author or a repository admin.
pub(crate) async fn delete(call: Call) -> Reply {
    let mut world = call.app.change();
    let key = call.pull_request(&world, Level::Read)?;
    let caller = call.caller()?.user;
    let pr = world.pull_request(key)?;
    if caller != pr.author {
        call.pull_request(&world, Level::Admin)?;
    }
    check_version(pr, call.version())?;
    if pr.state == PullRequestState::Merged {
        let message = "A merged pull request cannot be deleted.";
        return Err(RestError::new(
            StatusCode::CONFLICT,
            "pull.IllegalPullRequestStateException",
            message,
        ));
    }
    let event = Event::of_pull_request("pr:deleted", caller, call.app.render(&world), key);
    call.app.emit(&world, key.repository, event);
    world
        .repository_mut(key.repository)?
        .pull_requests
        .remove(&key.id);
    Ok(Answer::no_content())
}
