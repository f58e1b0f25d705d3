//! Webhook bodies in, events out (bitbucket-dc.md 2.3 to 2.5).

use pipeline::event::{Comment, EventBody, Person, PullRequest, Repository};
use pipeline::ids::CommentId;
use serde_json::Value;

use crate::json::without_lone_surrogates;
use crate::reading::{self, Unreadable, inside};

/// Characters of a foreign event key that are kept for people to read.
const EVENT_KEY_SHOWN_MAX: usize = 80;

/// A body that was understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// One of the events the pipeline works with.
    Event(Box<WebhookEvent>),
    /// Nothing to work with; to be acknowledged and counted.
    Ignored {
        /// The body's `eventKey`, shortened; empty where there is none.
        event_key: String,
        /// Why, as a sentence's end: "not an event the resolver uses".
        reason: String,
    },
}

/// What a webhook told; the envelope of [`pipeline::event::Event`] (delivery, connection, time) is the receiver's.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookEvent {
    /// The body's `eventKey`. The header of that name is not signed, so it is not looked at.
    pub event_key: String,
    /// The repository the event is about; a pull request's target repository.
    pub repository: Repository,
    /// Who did it; absent for deleted users.
    pub actor: Option<Person>,
    /// The pull request, for `pr:*`.
    pub pull_request: Option<PullRequest>,
    /// What happened.
    pub body: EventBody,
}

/// The body is not JSON.
#[derive(Debug, thiserror::Error)]
#[error("the body is not JSON: {0}")]
pub struct ParseError(#[from] serde_json::Error);

/// Reads a webhook's body, in both payload flavours.
///
/// Whatever is JSON is `Ok`: event keys the pipeline does not use, and known ones whose required parts are missing,
/// are [`Parsed::Ignored`] with the reason, so that Bitbucket gets its 2xx and keeps delivering.
pub fn parse(body: &[u8]) -> Result<Parsed, ParseError> {
    let value: Value = serde_json::from_slice(&without_lone_surrogates(body))?;
    let Some(event_key) = value.get("eventKey").and_then(Value::as_str) else {
        return Ok(ignored("", "the body has no `eventKey`"));
    };
    Ok(match read(event_key, &value) {
        Ok(Some(event)) => Parsed::Event(Box::new(event)),
        Ok(None) => ignored(event_key, "not an event the resolver uses"),
        Err(unreadable) => ignored(event_key, &unreadable.to_string()),
    })
}

fn ignored(event_key: &str, reason: &str) -> Parsed {
    let shown = event_key
        .chars()
        .filter(|c| !c.is_control())
        .take(EVENT_KEY_SHOWN_MAX)
        .collect();
    Parsed::Ignored {
        event_key: shown,
        reason: reason.to_owned(),
    }
}

/// `None` for keys the pipeline does not use.
fn read(event_key: &str, value: &Value) -> Result<Option<WebhookEvent>, Unreadable> {
    let body = match event_key {
        "pr:comment:added" => EventBody::CommentAdded {
            comment: comment(value)?,
        },
        "pr:comment:edited" => EventBody::CommentEdited {
            comment: comment(value)?,
            previous_text: reading::optional_text(value, "previousComment"),
        },
        "pr:comment:deleted" => EventBody::CommentDeleted {
            comment: comment(value)?,
        },
        "pr:opened" => EventBody::PullRequestOpened,
        "pr:modified" => EventBody::PullRequestModified,
        "pr:from_ref_updated" => EventBody::SourceBranchMoved {
            previous: reading::commit(value, "previousFromHash"),
        },
        "pr:merged" => EventBody::PullRequestMerged,
        "pr:declined" => EventBody::PullRequestDeclined,
        "pr:deleted" => EventBody::PullRequestDeleted,
        "repo:refs_changed" => EventBody::RefsChanged {
            refs: changed_refs(value),
        },
        // updated, approved, unapproved, needs_work
        key if key.starts_with("pr:reviewer:") => reviewers_changed(value),
        _ => return Ok(None),
    };
    let pull_request = match body {
        EventBody::RefsChanged { .. } => None,
        _ => Some(inside(value, "pullRequest", reading::pull_request)?),
    };
    let repository = match &pull_request {
        Some(pull_request) => pull_request.to_ref.repository.clone(),
        None => inside(value, "repository", reading::repository)?,
    };
    let actor = value.get("actor").and_then(reading::person);
    Ok(Some(WebhookEvent {
        event_key: event_key.to_owned(),
        repository,
        actor,
        pull_request,
        body,
    }))
}

/// The comment; its parent's id is beside it, at the top level, and only for replies (bitbucket-dc.md 2.5, 1).
fn comment(event: &Value) -> Result<Comment, Unreadable> {
    inside(event, "comment", |value| {
        Ok(Comment {
            id: reading::comment_id(value)?,
            version: reading::version(value)?,
            text: reading::text(value, "text")?,
            author: value.get("author").and_then(reading::person),
            parent: event
                .get("commentParentId")
                .and_then(Value::as_u64)
                .map(CommentId),
            created_at: reading::time(value, "createdDate"),
            updated_at: reading::time(value, "updatedDate"),
        })
    })
}

/// May be none: `changes` may be empty (bitbucket-dc.md 2.5).
fn changed_refs(value: &Value) -> Vec<String> {
    reading::list(value, "changes")
        .iter()
        .filter_map(|change| {
            let named = change.get("ref").and_then(|r| reading::optional_text(r, "id"));
            named.or_else(|| reading::optional_text(change, "refId"))
        })
        .collect()
}

fn reviewers_changed(value: &Value) -> EventBody {
    let names = |key| -> Vec<String> {
        reading::list(value, key)
            .iter()
            .filter_map(reading::person)
            .map(|person| person.name)
            .collect()
    };
    EventBody::ReviewersChanged {
        added: names("addedReviewers"),
        removed: names("removedReviewers"),
        status: value
            .get("participant")
            .and_then(|voter| reading::optional_text(voter, "status")),
    }
}
