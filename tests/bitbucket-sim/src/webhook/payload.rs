//! The events and what they carry (bitbucket-dc.md 2.5), in the order of 9.x.

use crate::app::App;
use crate::entity::Render;
use crate::json::{Json, object};
use crate::state::comment::Comment;
use crate::state::ids::{PullRequestKey, RepositoryId, UserId};
use crate::state::webhook::Webhook;
use crate::state::world::World;

/// An event about to be sent: its key and what follows the envelope's common keys.
pub(crate) struct Event {
    pub(crate) key: &'static str,
    pub(crate) actor: UserId,
    pub(crate) fields: Vec<(&'static str, Json)>,
}

impl Event {
    /// An event of a pull request.
    pub(crate) fn of_pull_request(
        key: &'static str,
        actor: UserId,
        render: Render<'_>,
        pr: PullRequestKey,
    ) -> Event {
        Event {
            key,
            actor,
            fields: vec![("pullRequest", render.pull_request(pr))],
        }
    }

    /// An event of a comment: the comment without anchor, and its parent's id for a reply.
    pub(crate) fn of_comment(
        key: &'static str,
        actor: UserId,
        render: Render<'_>,
        pr: PullRequestKey,
        comment: &Comment,
    ) -> Event {
        let event = Event::of_pull_request(key, actor, render, pr);
        let event = event.with("comment", render.bare_comment(pr, comment));
        match comment.parent {
            Some(parent) => event.with("commentParentId", parent),
            None => event,
        }
    }

    /// One more key.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Json>) -> Event {
        self.fields.push((key, value.into()));
        self
    }
}

impl App {
    /// Renders without a viewer, as webhooks do.
    pub(crate) fn render<'w>(&'w self, world: &'w World) -> Render<'w> {
        Render {
            world,
            base_url: self.base_url(),
            viewer: None,
        }
    }

    /// Sends an event to the hooks of a repository and of its project.
    pub(crate) fn emit(&self, world: &World, repository: RepositoryId, event: Event) {
        let Some(found) = world.repositories.get(&repository) else {
            return;
        };
        let of_project = world
            .projects
            .get(&found.project)
            .into_iter()
            .flat_map(|project| &project.webhooks);
        let wanted = |hook: &&Webhook| hook.active && hook.events.iter().any(|key| key == event.key);
        let hooks: Vec<&Webhook> = found.webhooks.iter().chain(of_project).filter(wanted).collect();
        if hooks.is_empty() {
            return;
        }
        let actor = self.render(world).user(event.actor);
        let envelope = object! { "eventKey": event.key, "date": date(self.now()), "actor": actor };
        let payload = event
            .fields
            .into_iter()
            .fold(envelope, |all, (key, value)| all.with(key, value));
        self.deliveries().emit(
            self,
            &hooks,
            ("repository", repository.to_string()),
            event.key,
            &payload,
        );
    }
}

/// The envelope's date, which is not RFC 3339: no colon in the offset.
fn date(at: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string()
}
