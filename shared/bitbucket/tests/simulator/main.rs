//! The client against the simulator, which holds state and is strict where Bitbucket is: questions and writes that
//! belong together, faults on the way, and webhooks read from the wire.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod comments;
mod effects;
mod faults;
mod people;
mod pull_requests;
mod webhooks;
mod world;
