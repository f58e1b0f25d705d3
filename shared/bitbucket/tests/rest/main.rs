//! The client against a server on loopback whose answers each test writes down: what a real Bitbucket does only when
//! it is ill, away, or behind something.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod certificates;
mod failures;
mod network;
mod permissions;
mod reads;
mod server;
mod writes;
