//! Reviewers, participants and their opinions.

use serde::Deserialize;

use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::http::paging::LIMIT_MAX;
use crate::json::Json;
use crate::state::activity::Action;
use crate::state::ids::{PullRequestKey, UserId};
use crate::state::permission::Level;
use crate::state::pull_request::{Participant, ReviewStatus};
use crate::state::world::World;
use crate::webhook::payload::Event;

/// `GET {PR}/participants`
pub(crate) async fn list(call: Call) -> Reply {
    let world = call.app.world();
    let key = call.pull_request(&world, Level::Read)?;
    let pr = world.pull_request(key)?;
    let render = call.render(&world);
    let author = render.participant(&Participant::new(pr.author), "AUTHOR");
    let reviewers = pr
        .reviewers
        .iter()
        .map(|reviewer| render.participant(reviewer, "REVIEWER"));
    let others = pr
        .participants
        .iter()
        .map(|participant| render.participant(participant, "PARTICIPANT"));
    Ok(Answer::ok(call.page(LIMIT_MAX).cut(
        std::iter::once(author).chain(reviewers).chain(others).collect(),
    )))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParticipantBody {
    user: Option<UserBody>,
    role: Option<String>,
    status: Option<String>,
    last_reviewed_commit: Option<String>,
}

#[derive(Deserialize)]
struct UserBody {
    name: String,
}

/// `POST {PR}/participants`: adds a reviewer.
pub(crate) async fn add(call: Call) -> Reply {
    let body: ParticipantBody = call.json()?;
    let mut world = call.app.change();
    let key = call.pull_request(&world, Level::Write)?;
    if body.role.as_deref().is_some_and(|role| role != "REVIEWER") {
        let message = "Only reviewers can be added.";
        return Err(RestError::new(
            http::StatusCode::BAD_REQUEST,
            "pull.InvalidPullRequestRoleException",
            message,
        ));
    }
    let name = body.user.map(|user| user.name).unwrap_or_default();
    let user = world
        .user_named(&name)
        .ok_or_else(|| RestError::no_such_user(&name))?
        .id;
    let before = world
        .pull_request(key)?
        .reviewers
        .iter()
        .any(|reviewer| reviewer.user == user);
    let pr = world.pull_request_mut(key)?;
    pr.participants.retain(|participant| participant.user != user);
    if !before {
        pr.reviewers.push(Participant::new(user));
        tell_of_reviewers(&call, &world, key, &[user], &[])?;
    }
    Ok(Answer::ok(
        call.render(&world)
            .participant(&Participant::new(user), "REVIEWER"),
    ))
}

fn tell_of_reviewers(
    call: &Call,
    world: &World,
    key: PullRequestKey,
    added: &[UserId],
    removed: &[UserId],
) -> Result<(), RestError> {
    let render = call.app.render(world);
    let users = |list: &[UserId]| list.iter().map(|user| render.user(*user)).collect::<Vec<Json>>();
    let event = Event::of_pull_request("pr:reviewer:updated", call.caller()?.user, render, key)
        .with("addedReviewers", users(added))
        .with("removedReviewers", users(removed));
    call.app.emit(world, key.repository, event);
    Ok(())
}

/// `DELETE {PR}/participants?username=` and `DELETE {PR}/participants/{userSlug}`
pub(crate) async fn remove(call: Call) -> Reply {
    let mut world = call.app.change();
    let key = call.pull_request(&world, Level::Write)?;
    let user = match call.query.get("username") {
        Some(name) => {
            world
                .user_named(name)
                .ok_or_else(|| RestError::no_such_user(name))?
                .id
        }
        None => world.user_by_slug(call.param("user"))?.id,
    };
    let pr = world.pull_request_mut(key)?;
    let before = pr.reviewers.len();
    pr.reviewers.retain(|reviewer| reviewer.user != user);
    if pr.reviewers.len() < before {
        tell_of_reviewers(&call, &world, key, &[], &[user])?;
    }
    Ok(Answer::no_content())
}

/// `PUT {PR}/participants/{userSlug}`: one's own opinion.
pub(crate) async fn set_status(call: Call) -> Reply {
    let body: ParticipantBody = call.json()?;
    let user = call.app.world().user_by_slug(call.param("user"))?.id;
    if user != call.caller()?.user {
        return Err(RestError::not_permitted());
    }
    let status = body.status.as_deref().and_then(ReviewStatus::parse);
    let status = status.ok_or_else(|| RestError::invalid("status", "UNAPPROVED, NEEDS_WORK or APPROVED"))?;
    give_opinion(&call, status, body.last_reviewed_commit)
}

/// `POST {PR}/approve`
pub(crate) async fn approve(call: Call) -> Reply {
    give_opinion(&call, ReviewStatus::Approved, None)
}

/// `DELETE {PR}/approve`
pub(crate) async fn unapprove(call: Call) -> Reply {
    give_opinion(&call, ReviewStatus::Unapproved, None)
}

/// Changes the caller's opinion, with activity and event.
pub(crate) fn give_opinion(call: &Call, status: ReviewStatus, commit: Option<String>) -> Reply {
    let mut world = call.app.change();
    let key = call.pull_request(&world, Level::Read)?;
    let user = call.caller()?.user;
    let now = call.app.now();
    let pr = world.pull_request_mut(key)?;
    if !pr.is_open() {
        return Err(super::transitions::illegal_state(pr));
    }
    if pr.author == user {
        let message = "Authors may not update their status.";
        return Err(RestError::new(
            http::StatusCode::BAD_REQUEST,
            "pull.InvalidPullRequestRoleException",
            message,
        ));
    }
    if !pr.reviewers.iter().any(|reviewer| reviewer.user == user) {
        pr.participants.retain(|participant| participant.user != user);
        pr.reviewers.push(Participant::new(user));
    }
    let head = pr.from.commit.clone();
    let Some(reviewer) = pr.reviewers.iter_mut().find(|reviewer| reviewer.user == user) else {
        return Err(RestError::not_permitted());
    };
    let previous = reviewer.status;
    reviewer.status = status;
    reviewer.last_reviewed_commit = Some(commit.unwrap_or(head));
    let reviewer = reviewer.clone();
    if previous != status {
        let (action, event_key) = match status {
            ReviewStatus::Approved => ("APPROVED", "pr:reviewer:approved"),
            ReviewStatus::NeedsWork => ("REVIEWED", "pr:reviewer:needs_work"),
            ReviewStatus::Unapproved => ("UNAPPROVED", "pr:reviewer:unapproved"),
        };
        world.record(key, user, now, Action::Plain(action))?;
        let render = call.app.render(&world);
        let event = Event::of_pull_request(event_key, user, render, key)
            .with("participant", render.participant(&reviewer, "REVIEWER"))
            .with("previousStatus", previous.name());
        call.app.emit(&world, key.repository, event);
    }
    Ok(Answer::ok(call.render(&world).participant(&reviewer, "REVIEWER")))
}
