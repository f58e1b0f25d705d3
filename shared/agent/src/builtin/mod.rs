//! The agent that comes with the product: one linear conversation with a model that has five tools. All of it, the
//! tools included, runs inside the cell.

mod answer;
mod api;
mod child;
mod conversation;
mod driver;
mod line;
mod model;
mod prompt;
mod session;
mod sizes;
mod tools;

pub use api::Api;
pub use child::builtin_main;
pub(crate) use driver::Builtin;
