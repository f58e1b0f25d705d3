#![doc = include_str!("../README.md")]

mod builtin;
mod error;
mod http_client;
mod task;

pub use builtin::{Builtin, ModelSettings, Retries};
pub use error::Error;
pub use http_client::{HttpClientError, http_client};
pub use task::{CodingAgent, Ended, Limits, Progress, Report, Task, Usage};
