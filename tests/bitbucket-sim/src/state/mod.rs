//! The instance's state, apart from what git keeps.

pub(crate) mod activity;
pub(crate) mod build;
pub(crate) mod comment;
pub(crate) mod ids;
pub(crate) mod insight;
pub(crate) mod permission;
pub(crate) mod pull_request;
pub(crate) mod repository;
pub(crate) mod user;
pub(crate) mod webhook;
pub(crate) mod world;
