//! The conformance list of bitbucket-dc.md section 8, item by item: real HTTP, real git.

mod activities;
mod comments;
mod faults;
mod git;
mod identity;
mod pages;
mod payloads;
mod pull_requests;
mod resources;
mod scene;
mod shape;
mod webhooks;
mod worlds;
