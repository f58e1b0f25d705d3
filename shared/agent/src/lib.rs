//! A task in, a changed work tree and a report out: the boundary to coding agents and the only door to models.
//!
//! [`CodingAgent`] is what the resolver knows. [`Builtin`] is the agent that comes with the product: a loop with four
//! tools over an OpenAI-compatible endpoint. What an agent reports is for people to read; whether work was done is
//! decided elsewhere, by comparing the work tree with its commit.

mod builtin;
mod error;
mod http_client;
mod task;

pub use builtin::{Builtin, ModelSettings, Retries};
pub use error::Error;
pub use http_client::{HttpClientError, http_client};
pub use task::{CodingAgent, Ended, Limits, Progress, Report, Task, Usage};
