//! The REST resources, one file each; the routes are bitbucket-dc.md 3.11.

mod access_tokens;
mod activities;
mod admin;
mod anchors;
mod blocker_comments;
mod branches;
mod builds;
mod comment_effects;
pub(crate) mod comments;
mod commits;
mod diffs;
mod files;
mod insights;
mod markup;
mod participants;
mod permissions;
mod projects;
mod pull_request_writes;
pub(crate) mod pull_requests;
mod reactions;
mod repositories;
mod review;
mod routes;
mod suggestions;
mod transitions;
mod users;
mod webhooks;

pub(crate) use routes::router;
