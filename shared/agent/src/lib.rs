#![doc = include_str!("../README.md")]

mod acp;
mod builtin;
mod command;
mod driver;
mod endpoint;
mod error;
mod http_client;
mod installation;
mod json;
mod launcher;
mod lines;
mod outcome;
mod placeholder;
mod preset;
mod prompt;
mod proxy;
mod run;
mod task;
mod text;

pub use builtin::{Api, builtin_main};
pub use endpoint::{Endpoint, Prices, Provider};
pub use error::{BrokenOff, Error};
pub use http_client::{HttpClientError, http_client};
pub use installation::Installation;
pub use launcher::{Launcher, Wanted};
pub use preset::{Install, Kind, Preset, Start, presets};
pub use proxy::{Budget, Patience, Proxy, ProxyEnd, Redactor};
pub use run::{BackEnd, Sandboxed};
pub use task::{CodingAgent, Ended, Limits, ModelChoice, Progress, Report, Task, Usage};
