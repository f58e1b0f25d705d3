//! The hop itself: an event, the connection's rules, a decision, at most one message.

use std::sync::Arc;

use config::ConnectionSource;
use jiff::Timestamp;
use pipeline::decision::Decision;
use pipeline::event::Event;
use pipeline::failure::Failure;
use pipeline::message::VERSION;
use pipeline::subject;
use worker::{Delivery, FailedRun, Handler, Nats, Publication};

use crate::decide::{Decided, Listener, Output, decide, ignored};

/// The role's name in decisions and of its durable consumer.
pub(crate) const ROLE: &str = "mention-parser";

pub(crate) struct Parser {
    pub(crate) connections: Arc<dyn ConnectionSource>,
    pub(crate) nats: Nats,
}

impl Handler for Parser {
    type Input = Event;

    async fn handle(&self, event: Event, delivery: &Delivery) -> Result<Vec<Publication>, Failure> {
        let decided = self.decide(&event, delivery.sequence);
        tracing::info!(
            delivery.id = %event.delivery,
            event.kind = event.body.kind(),
            verdict = ?decided.verdict,
            reason = decided.reason,
            "decided"
        );
        let publication = decided.output.as_ref().map(publication);
        self.nats.decide(decision(&event, decided)).await;
        Ok(publication.into_iter().collect())
    }

    /// An event belongs to no run yet.
    fn run_of(&self, _event: &Event) -> Option<FailedRun> {
        None
    }
}

impl Parser {
    fn decide(&self, event: &Event, sequence: u64) -> Decided {
        let Some(connection) = self.connections.get(&event.connection) else {
            return ignored(None, "the connection is no longer configured");
        };
        if !connection
            .repositories
            .covers(&event.repository.project, &event.repository.slug)
        {
            return ignored(None, "the repository is not one of the connection's");
        }
        decide(
            event,
            sequence,
            Listener {
                rules: &connection.mention,
                bot_user: connection.bot_user.as_deref(),
            },
        )
    }
}

/// Unique by subject: two webhooks for one comment version, or a redelivery, publish once.
fn publication(output: &Output) -> Publication {
    match output {
        Output::Mention(mention) => Publication::message(subject::mention(mention), mention.as_ref()),
        Output::Control(control) => Publication::message(subject::control(control), control.as_ref()),
    }
}

fn decision(event: &Event, decided: Decided) -> Decision {
    Decision {
        v: VERSION,
        at: Timestamp::now(),
        role: ROLE.to_owned(),
        delivery: event.delivery.clone(),
        connection: event.connection.clone(),
        instance: event.instance.clone(),
        repository: Some(event.repository.clone()),
        pull_request: event.pull_request.as_ref().map(|pull_request| pull_request.id),
        comment: decided.comment,
        run: decided.run,
        verdict: decided.verdict,
        reason: decided.reason,
    }
}
