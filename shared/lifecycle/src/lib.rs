#![doc = include_str!("../README.md")]

pub mod http;

mod health;
mod pace;
mod shutdown;

pub use health::{Health, serve_health};
pub use shutdown::Shutdown;
