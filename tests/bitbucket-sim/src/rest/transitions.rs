//! Merge, decline, reopen, and the merge check (bitbucket-dc.md 3.5).

use http::StatusCode;

use super::pull_requests::check_version;
use crate::effects;
use crate::git::merge::{Identity, commit_tree};
use crate::http::answer::{Answer, Reply, RestError};
use crate::http::call::Call;
use crate::json::{Json, object};
use crate::state::activity::Action;
use crate::state::comment::CommentState;
use crate::state::ids::PullRequestKey;
use crate::state::permission::Level;
use crate::state::pull_request::{PullRequest, PullRequestState};
use crate::state::user::TokenScope;
use crate::webhook::payload::Event;

/// 409 for a write to a pull request that is no longer open.
pub(crate) fn illegal_state(pr: &PullRequest) -> RestError {
    let message = match pr.state {
        PullRequestState::Merged => "This pull request has already been merged.",
        PullRequestState::Declined => "This pull request has already been declined.",
        PullRequestState::Open => "This pull request is already open.",
    };
    RestError::conflict("pull.IllegalPullRequestStateException", message)
}

/// Why an open pull request may not be merged although its content merges.
fn vetoes(pr: &PullRequest) -> Vec<Json> {
    let tasks = pr
        .comments
        .values()
        .filter(|c| c.blocker && c.state == CommentState::Open)
        .count();
    if tasks == 0 {
        return Vec::new();
    }
    vec![object! {
        "summaryMessage": "Not all tasks have been resolved yet",
        "detailedMessage": format!("{tasks} open tasks must be resolved before this pull request can be merged."),
    }]
}

/// `GET {PR}/merge`: whether it can be merged; 409 if it is closed.
pub(crate) async fn check(call: Call) -> Reply {
    let key = {
        let world = call.app.world();
        let key = call.pull_request(&world, Level::Read)?;
        let pr = world.pull_request(key)?;
        if !pr.is_open() {
            return Err(illegal_state(pr));
        }
        key
    };
    let clean = effects::refresh_merge_ref(&call.app, key).await?;
    let vetoes = vetoes(call.app.world().pull_request(key)?);
    Ok(Answer::ok(object! {
        "canMerge": clean && vetoes.is_empty(),
        "conflicted": !clean,
        "outcome": if clean { "CLEAN" } else { "CONFLICTED" },
        "vetoes": vetoes,
    }))
}

struct MergePlan {
    key: PullRequestKey,
    to: crate::state::pull_request::RefEnd,
    from: crate::state::pull_request::RefEnd,
    message: String,
    name: String,
    email: String,
}

/// `POST {PR}/merge`: a merge commit on the target branch, made by the caller.
pub(crate) async fn merge(call: Call) -> Reply {
    let plan = plan(&call)?;
    let store = call.app.store();
    let user = call.caller()?.user;
    let lock = store.lock(plan.key.repository);
    let one_at_a_time = lock.lock().await;
    let Some(tree) = store
        .merged_tree(plan.key.repository, &plan.to.commit, &plan.from.commit)
        .await?
    else {
        let message = "The pull request has conflicts and cannot be merged.";
        return Err(
            RestError::conflict("pull.PullRequestMergeVetoedException", message)
                .extra("conflicted", true)
                .extra("vetoes", Vec::<Json>::new()),
        );
    };
    let at = format!("{} +0000", call.app.now() / 1000);
    let identity = Identity {
        name: &plan.name,
        email: &plan.email,
        at: &at,
    };
    let parents = [plan.to.commit.as_str(), plan.from.commit.as_str()];
    let dir = store.dir(plan.key.repository);
    let commit = commit_tree(&dir, &tree, &parents, &plan.message, &identity).await?;
    {
        let mut world = call.app.change();
        let now = call.app.now();
        let pr = world.pull_request_mut(plan.key)?;
        check_version(pr, call.version())?;
        pr.state = PullRequestState::Merged;
        pr.version += 1;
        (pr.updated, pr.closed) = (now, Some(now));
        pr.merge_commit = Some(commit.clone());
        world.record(
            plan.key,
            user,
            now,
            Action::Merged {
                commit: Some(commit.clone()),
            },
        )?;
    }
    store
        .update_ref(plan.key.repository, &plan.to.name, &commit)
        .await?;
    effects::refs_may_have_changed(&call.app, plan.key.repository, user).await?;
    drop(one_at_a_time);
    let world = call.app.world();
    let event = Event::of_pull_request("pr:merged", user, call.app.render(&world), plan.key);
    call.app.emit(&world, plan.key.repository, event);
    Ok(Answer::ok(call.render(&world).pull_request(plan.key)))
}

fn plan(call: &Call) -> Result<MergePlan, RestError> {
    let world = call.app.world();
    let key = call.pull_request(&world, Level::Write)?;
    let caller = call.caller()?;
    if caller
        .token
        .as_ref()
        .is_some_and(|token| token.scope != TokenScope::User)
    {
        return Err(RestError::not_permitted());
    }
    let pr = world.pull_request(key)?;
    if !pr.is_open() {
        return Err(illegal_state(pr));
    }
    check_version(pr, call.version())?;
    let vetoes = vetoes(pr);
    if !vetoes.is_empty() {
        let message = "The pull request cannot be merged: a merge check vetoed it.";
        return Err(
            RestError::conflict("pull.PullRequestMergeVetoedException", message)
                .extra("conflicted", false)
                .extra("vetoes", vetoes),
        );
    }
    let body: serde_json::Value = call.json()?;
    let given = body.get("message").and_then(serde_json::Value::as_str);
    let subject = format!(
        "Pull request #{}: {}\n\nMerge in {} from {} to {}",
        pr.id,
        pr.title,
        world.full_name(key.repository),
        pr.from.display_id(),
        pr.to.display_id()
    );
    let user = world
        .users
        .get(&caller.user)
        .ok_or_else(RestError::bad_credentials)?;
    Ok(MergePlan {
        key,
        to: pr.to.clone(),
        from: pr.from.clone(),
        message: given.map_or(subject, str::to_owned),
        name: user.display_name.clone(),
        email: user.email.clone().unwrap_or_default(),
    })
}

/// `POST {PR}/decline`
pub(crate) async fn decline(call: Call) -> Reply {
    transition(&call, PullRequestState::Declined)
}

/// `POST {PR}/reopen`: no webhook tells of it.
pub(crate) async fn reopen(call: Call) -> Reply {
    transition(&call, PullRequestState::Open)
}

fn transition(call: &Call, to: PullRequestState) -> Reply {
    let mut world = call.app.change();
    let key = call.pull_request(&world, Level::Read)?;
    let caller = call.caller()?.user;
    let author = world.pull_request(key)?.author;
    if caller != author {
        call.pull_request(&world, Level::Write)?;
    }
    let repository = world.repository(key.repository)?;
    if repository.archived {
        return Err(RestError::new(
            StatusCode::CONFLICT,
            "repository.RepositoryArchivedException",
            "The repository is archived and cannot be modified.",
        ));
    }
    let now = call.app.now();
    let pr = world.pull_request_mut(key)?;
    let allowed = match to {
        PullRequestState::Declined => pr.state == PullRequestState::Open,
        _ => pr.state == PullRequestState::Declined,
    };
    if !allowed {
        return Err(illegal_state(pr));
    }
    check_version(pr, call.version())?;
    let declined = to == PullRequestState::Declined;
    pr.state = to;
    pr.version += 1;
    pr.updated = now;
    pr.closed = declined.then_some(now);
    world.record(
        key,
        caller,
        now,
        Action::Plain(if declined { "DECLINED" } else { "REOPENED" }),
    )?;
    if declined {
        let event = Event::of_pull_request("pr:declined", caller, call.app.render(&world), key);
        call.app.emit(&world, key.repository, event);
    } else {
        effects::refresh_merge_ref_later(&call.app, key);
    }
    Ok(Answer::ok(call.render(&world).pull_request(key)))
}
