//! The test harness: a simulated Bitbucket, a scripted model, the executable as a child, and people who type.
//!
//! A scenario says what people and servers do, waits for what a person would see, and ends with a teardown that fails
//! on anything unexplained. Every wait has a limit and prints the thread when it expires.

pub mod child;
pub mod children;
pub mod fault;
pub mod git_cli;
pub mod inside;
pub mod nats_proxy;
pub mod nats_server;
pub mod openings;
pub mod person;
pub mod pull_request;
pub mod setup;
pub mod teardown;
pub mod thread;
pub mod waiting;
pub mod world;
