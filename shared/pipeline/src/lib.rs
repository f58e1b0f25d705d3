//! What travels: events in, mentions, jobs and run records on the way, failures when it does not work out.
//!
//! Plain values with serde, no input or output, no runtime. Every message carries its version, ignores fields
//! it does not know, and has a JSON Schema in `schemas/`.

pub mod command;
pub mod countdown;
pub mod decision;
pub mod effect;
pub mod event;
pub mod failure;
pub mod failure_code;
pub mod ids;
pub mod job;
pub mod legible;
pub mod mention;
pub mod message;
pub mod options;
pub mod reference;
pub mod run;
pub mod schema;
pub mod subject;
pub mod verbs;
