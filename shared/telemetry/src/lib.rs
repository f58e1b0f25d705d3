#![doc = include_str!("../README.md")]

pub mod fields;
pub mod metrics;
pub mod trace;

mod init;

pub use init::{Guard, Settings, init};
