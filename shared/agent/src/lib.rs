#![doc = include_str!("../README.md")]

mod error;
mod http_client;
mod in_process;
mod task;

pub use error::Error;
pub use http_client::{HttpClientError, http_client};
pub use in_process::{Builtin, ModelSettings, Retries};
pub use task::{CodingAgent, Ended, Limits, Progress, Report, Task, Usage};
