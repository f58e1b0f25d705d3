//! What travels: events in, mentions, jobs and run records on the way, failures when it does not work out.
//!
//! Plain values with serde, no input or output, no runtime. Every message carries its version, ignores fields
//! it does not know, and has a JSON Schema in `schemas/`.

pub mod ids;
pub mod event;
pub mod mention;
pub mod job;
pub mod run;
pub mod decision;
pub mod failure;
pub mod failure_code;
pub mod message;
pub mod subject;
pub mod schema;
