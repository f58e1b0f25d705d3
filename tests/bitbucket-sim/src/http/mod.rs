//! The HTTP side: the door every request passes, authentication, answers, paging.

pub(crate) mod answer;
pub(crate) mod auth;
pub(crate) mod call;
pub(crate) mod door;
pub(crate) mod limit;
pub(crate) mod paging;
pub(crate) mod query;
pub(crate) mod server;
