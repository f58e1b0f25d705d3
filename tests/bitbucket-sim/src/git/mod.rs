//! The bare repositories, worked on with git's own command line.

pub(crate) mod command;
pub(crate) mod commits;
pub(crate) mod diff;
pub(crate) mod files;
pub(crate) mod import;
pub(crate) mod merge;
pub(crate) mod smart_http;
pub(crate) mod store;
