#![doc = include_str!("../README.md")]

mod activity;
mod answer;
mod bot;
mod build_status;
mod client;
mod clients;
mod comment;
mod diff;
mod error;
mod exchange;
mod failure;
mod fresh;
mod json;
mod limiter;
mod links;
mod paging;
mod permission;
mod pull_request;
mod reaction;
mod reading;
mod route;
mod transport;
pub mod webhook;

pub use activity::{Activities, Hunk, Thread};
pub use bot::Bot;
pub use build_status::BuildStatus;
pub use client::Client;
pub use clients::Clients;
pub use comment::{Anchor, COMMENT_TEXT_MAX, Comment};
pub use diff::{ChangedFile, Changes, Diff};
pub use error::{ConflictWith, Error, Missing};
pub use limiter::RateLimit;
pub use pull_request::PullRequest;
