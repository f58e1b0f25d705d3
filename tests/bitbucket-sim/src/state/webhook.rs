//! Webhooks as registered, their invocations and the circuit breaker's memory.

use super::ids::WebhookId;

/// A webhook of a repository or project.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) id: WebhookId,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) active: bool,
    pub(crate) events: Vec<String>,
    pub(crate) secret: Option<String>,
    /// User name and password sent as Basic authentication.
    pub(crate) credentials: Option<(String, String)>,
    pub(crate) ssl_verification_required: bool,
    pub(crate) project_scope: bool,
    pub(crate) created: i64,
    pub(crate) updated: i64,
}

/// The keys the server accepts (bitbucket-dc.md 2.3).
pub(crate) const EVENT_KEYS: [&str; 22] = [
    "repo:refs_changed",
    "repo:modified",
    "repo:forked",
    "repo:comment:added",
    "repo:comment:edited",
    "repo:comment:deleted",
    "repo:secret_detected",
    "mirror:repo_synchronized",
    "project:modified",
    "pr:opened",
    "pr:from_ref_updated",
    "pr:modified",
    "pr:merged",
    "pr:declined",
    "pr:deleted",
    "pr:reviewer:updated",
    "pr:reviewer:approved",
    "pr:reviewer:unapproved",
    "pr:reviewer:needs_work",
    "pr:comment:added",
    "pr:comment:edited",
    "pr:comment:deleted",
];
