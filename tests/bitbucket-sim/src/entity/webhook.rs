//! Webhooks as admins see them.

use crate::json::{Json, object};
use crate::state::webhook::Webhook;

/// A webhook entity; the secret is shown in clear text (bitbucket-dc.md 2.7).
pub(crate) fn webhook(webhook: &Webhook) -> Json {
    let configuration = match &webhook.secret {
        Some(secret) => object! { "secret": secret, "createdBy": "bitbucket" },
        None => object! { "createdBy": "bitbucket" },
    };
    // The password is never shown again.
    let credentials = webhook
        .credentials
        .as_ref()
        .map(|(username, _)| object! { "username": username });
    object! {
        "id": webhook.id,
        "name": &webhook.name,
        "createdDate": Json::Time(webhook.created),
        "updatedDate": Json::Time(webhook.updated),
        "events": webhook.events.clone(),
        "configuration": configuration,
    }
    .with_some("credentials", credentials)
    .with("url", &webhook.url)
    .with("active", webhook.active)
    .with(
        "scopeType",
        if webhook.project_scope {
            "project"
        } else {
            "repository"
        },
    )
    .with("sslVerificationRequired", webhook.ssl_verification_required)
}
